"""Table of which heads are right, against whether the fused prediction is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.analysis.bootstrap import Interval, bootstrap_mean, percent
from g2d.analysis.rows import Rows
from g2d.errors import UnsupportedError
from g2d.task import Task

Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Pattern:
    """Rows for which the same heads are right.

    Args:
        right: Modalities whose own prediction is right.
        share: Share of all rows.
        fused: Share of these rows for which the fused prediction is right; None without rows.
    """

    right: tuple[str, ...]
    share: float
    fused: float | None


@dataclass(frozen=True)
class ErrorTable:
    """The 2^k patterns of right heads, and the rates that follow from them.

    The fused accuracy is ``oracle + rescue - loss``.

    Args:
        patterns: Every pattern, the one with all heads right first.
        oracle: P(some head is right): accuracy of a choice that always picks a right head.
        rescue: P(fused right, no head right): what only the combination finds.
        loss: P(fused wrong, some head right): what a head knows and the fusion loses.
        ensemble: Accuracy of the mean of the heads' probabilities.
    """

    patterns: tuple[Pattern, ...]
    oracle: Interval
    rescue: Interval
    loss: Interval
    ensemble: Interval

    def __str__(self) -> str:
        return (
            f"Some modality alone is right in {percent(self.oracle.value)} of the rows; the model "
            f"loses {percent(self.loss.value)} of all rows in which one is right, and finds "
            f"{percent(self.rescue.value)} in which none is."
        )


def error_table(rows: Rows, task: Task) -> ErrorTable:
    """Return which heads are right, against whether the fused prediction is right.

    Args:
        rows: Output of a model with unimodal logits. The head of a modality that a row lacks
            counts as wrong.
        task: Kind of target; values have no right or wrong.

    Raises:
        UnsupportedError: The targets are values.

    Example:
        >>> z = {"a": torch.tensor([[1.0, 0], [1, 0]]), "b": torch.tensor([[0.0, 1], [0, 1]])}
        >>> has = dict.fromkeys(z, torch.tensor([True, True]))
        >>> rows = Rows(z["a"], z, z, torch.tensor([0, 1]), has, np.arange(2))
        >>> from g2d.task import Classification
        >>> table = error_table(rows, Classification(2))
        >>> table.oracle.value, table.loss.value, table.rescue.value
        (1.0, 0.5, 0.0)
        >>> [(pattern.right, pattern.share, pattern.fused) for pattern in table.patterns]
        [(('a', 'b'), 0.0, None), (('a',), 0.5, 1.0), (('b',), 0.5, 0.0), ((), 0.0, None)]
    """
    if not task.discrete:
        raise UnsupportedError("an error table must have classes, found values.")
    fused = rows.hits(task) == 1
    heads = {m: np.nan_to_num(rows.hits(task, m)) == 1 for m in rows.unimodal}
    some: Right = np.logical_or.reduce(list(heads.values()))
    chances = torch.stack([task.probabilities(z.double()) for z in rows.unimodal.values()])
    has = torch.stack([rows.has[m] for m in rows.unimodal]).double()
    mean = (chances * has[:, :, None]).sum(0) / has.sum(0).clamp_min(1)[:, None]

    def rate(where: Right) -> Interval:
        return bootstrap_mean(where.astype(np.float64), rows.group)

    return ErrorTable(
        tuple(_pattern(heads, fused, signs) for signs in product((True, False), repeat=len(heads))),
        oracle=rate(some),
        rescue=rate(fused & ~some),
        loss=rate(~fused & some),
        ensemble=rate(replace(rows, logits=task.logits_of(mean)).hits(task) == 1),
    )


def _pattern(heads: Mapping[str, Right], fused: Right, signs: tuple[bool, ...]) -> Pattern:
    """Return the rows in which each head is right or wrong as its sign tells."""
    where = np.stack(
        [right == sign for right, sign in zip(heads.values(), signs, strict=True)]
    ).all(0)
    return Pattern(
        tuple(m for m, sign in zip(heads, signs, strict=True) if sign),
        float(where.mean()),
        float(fused[where].mean()) if where.any() else None,
    )
