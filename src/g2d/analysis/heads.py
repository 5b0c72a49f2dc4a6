"""Heads: who is right about which class, how honest their confidence is, and what weighing them would change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g2d.analysis.rows import Rows
from g2d.errors import ArgumentError
from g2d.functional.calibration import fit_head_weights
from g2d.task import Task


def per_class(rows: Rows) -> dict[str, list[float]]:
    """Per modality, the recall of every class by its own prediction; NaN for a class without rows. Classification only."""
    _must_have_classes(rows)
    found = {}
    for m, z in rows.unimodal.items():
        right, there = (z.argmax(1) == rows.target) & rows.has[m], rows.has[m]
        counts = [int(((rows.target == c) & there).sum()) for c in range(z.shape[1])]
        found[m] = [
            int(((rows.target == c) & right).sum()) / n if n else float("nan")
            for c, n in enumerate(counts)
        ]
    return found


@dataclass(frozen=True)
class Reliability:
    """A reliability curve.

    Args:
        confidence, accuracy, share: per bin of predicted confidence that holds rows: their mean confidence, how many of them are right, their share.
        error: the expected calibration error, sum of share * |accuracy - confidence|.
    """

    confidence: list[float]
    accuracy: list[float]
    share: list[float]
    error: float


def reliability(logits: Tensor, target: Tensor, bins: int = 10) -> Reliability:
    """Of a head's predictions, in bins of equal width.

    Example:
        >>> sure = torch.tensor([[9.0, -9.0]] * 4)
        >>> round(reliability(sure, torch.tensor([0, 0, 0, 1])).error, 2)
        0.25
    """
    p, guess = logits.float().softmax(1).max(1)
    place = (p * bins).long().clamp(max=bins - 1)
    members = [place == b for b in range(bins) if bool((place == b).any())]
    confidence = [p[some].mean().item() for some in members]
    accuracy = [(guess[some] == target[some]).float().mean().item() for some in members]
    share = [some.float().mean().item() for some in members]
    error = sum(s * abs(a - c) for s, a, c in zip(share, accuracy, confidence, strict=True))
    return Reliability(confidence, accuracy, share, error)


@dataclass(frozen=True)
class Reweighed:
    """What k positive weights on the heads would change.

    Args:
        weights: per modality; 1 is as it stands.
        before, after: the fused score on rows that the weights were not fitted on.
    """

    weights: Mapping[str, float]
    before: float
    after: float


def reweighed(valid: Rows, test: Rows, task: Task) -> Reweighed:
    """Fit weights of the heads on validation rows and look at the test rows: how much of a fused gap calibration alone closes.

    Only where the fused logits are the heads' sum or mean; the scale between the two is found from the rows.

    Raises:
        ArgumentError: the heads do not add up to the fused logits.
    """
    k = len(valid.unimodal)
    stacked = torch.stack(tuple(valid.unimodal.values())).sum(0)
    scale = ((stacked * valid.logits).sum() / stacked.square().sum()).item()
    if not torch.allclose(
        scale * stacked, valid.logits, rtol=1e-3, atol=1e-3 * float(valid.logits.abs().max())
    ):
        raise ArgumentError(
            "unimodal logits must add up to the fused logits to be weighed, found a difference: the fusion is not additive."
        )
    with torch.enable_grad():
        a = fit_head_weights(
            [k * scale * z for z in valid.unimodal.values()],
            valid.target,
            task.negative_log_likelihood,
        )
    weights = dict(zip(valid.unimodal, (k * a).tolist(), strict=True))
    after = scale * torch.stack([weights[m] * z for m, z in test.unimodal.items()]).sum(0)
    changed = Rows(after, test.unimodal, test.features, test.target, test.has, test.group)
    return Reweighed(
        weights, float(np.nanmean(test.hits(task))), float(np.nanmean(changed.hits(task)))
    )


def _must_have_classes(rows: Rows) -> None:
    if rows.target.ndim != 1:
        raise ArgumentError("rows must have classes, found values.")
