"""Value of every subset of the modalities, and each modality's Shapley share of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from g2d.analysis.pool import Pool
from g2d.functional.shapley import Coalition, coalitions, shares
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch

EMPTY: Coalition = frozenset()
"""The subset without modalities."""


@torch.no_grad()
def feature_means(model: MultimodalModel, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Return the mean features of every modality, which replace those of an absent modality.

    Args:
        model: Model of this library; in eval mode during the call.
        batches: Batches of the training rows; rows that lack a modality do not count for it.

    Returns:
        Means ``(D_m,)`` per modality.
    """
    sums: dict[str, Tensor] = {}
    with evaluating(model):
        for batch in batches:
            for m, encoded in model.encode(batch.inputs, present=batch.present).items():
                has = batch.has(m).double()
                total = torch.cat([has @ encoded.pooled.double(), has.sum()[None]])
                sums[m] = sums[m] + total if m in sums else total
    return {m: (total[:-1] / total[-1].clamp_min(1)).float() for m, total in sums.items()}


def coalition_values(pool: Pool, task: Task) -> dict[Coalition, tuple[Tensor, Tensor]]:
    """Return the value of every row for every subset of the modalities, the empty one included.

    The value is the logit of the true class, or the mean log-odds of the true states of several
    labels; for a regression, minus the loss (:meth:`g2d.task.Task.truth`).

    Args:
        pool: Rows and model; it decides what an absent modality is.
        task: Kind of target.

    Returns:
        Per subset the values ``(N,)`` and the :meth:`~g2d.task.Task.hits` ``(N,)``.
    """
    table = {}
    for subset in (EMPTY, *coalitions(pool.modalities)):
        logits = pool.logits(pool.own, without=set(pool.modalities) - subset)
        table[subset] = task.truth(logits, pool.target), task.hits(logits, pool.target)
    return table


def shapley_values(
    values: Mapping[Coalition, Tensor], modalities: tuple[str, ...]
) -> dict[str, Tensor]:
    """Return the exact Shapley values of every row; they add up to v(all) - v(none).

    With late fusion of linear heads, and logits as values, they are W_m (f^m - mean f^m) / k of
    the true class.

    Args:
        values: Values ``(N,)`` of every subset, the empty one included.
        modalities: Names of all modalities.

    Returns:
        Shapley values ``(N,)`` per modality.
    """
    return shares(values, modalities)
