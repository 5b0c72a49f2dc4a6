"""Value of every subset of the modalities, and each modality's Shapley share of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from g2d.analysis.rows import Predict, hits
from g2d.errors import ArgumentError
from g2d.functional.precision import at_least_float32
from g2d.functional.shapley import Coalition, coalitions, shares
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Encoded

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


@torch.no_grad()
def coalition_values(
    model: MultimodalModel,
    batches: Iterable[Batch],
    means: Mapping[str, Tensor],
    task: Task,
    predict: Predict | None = None,
) -> dict[Coalition, tuple[Tensor, Tensor]]:
    """Return the value of every row for every subset of the modalities, the empty one included.

    The value is the logit of the true class; for a regression, minus the loss. Modalities outside
    the subset have their mean features and no tokens.

    Args:
        model: Model of this library; in eval mode during the call.
        batches: Batches as the encoders take them.
        means: Mean features per modality, see :func:`feature_means`.
        task: Kind of target.
        predict: Function that returns the Output for a batch, for a method with a rule or heads
            of its own; by default the model's fusion predicts.

    Returns:
        Per subset the values ``(N,)`` and the :func:`~g2d.analysis.rows.hits` ``(N,)``.

    Raises:
        ArgumentError: There are no rows.
    """
    ask = predict or (lambda batch: model(batch.inputs, present=batch.present))
    parts: dict[Coalition, tuple[list[Tensor], list[Tensor]]] = {
        subset: ([], []) for subset in (EMPTY, *coalitions(model.modalities))
    }
    with evaluating(model):
        for batch in batches:
            for subset, (values, right) in parts.items():
                with _absent(model, {m: means[m] for m in model.modalities if m not in subset}):
                    logits = at_least_float32(ask(batch).logits)
                right.append(hits(task, logits, batch.target))
                values.append(
                    logits.gather(1, batch.target[:, None])[:, 0]
                    if batch.target.ndim == 1
                    else right[-1]
                )
    if not parts[EMPTY][0]:
        raise ArgumentError("batches must hold rows to analyze, found none.")
    return {
        subset: (torch.cat(values).cpu(), torch.cat(right).cpu())
        for subset, (values, right) in parts.items()
    }


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


@contextmanager
def _absent(model: MultimodalModel, means: Mapping[str, Tensor]) -> Iterator[None]:
    """Make the encoders of some modalities return their mean features and no tokens."""

    def mean_features(mean: Tensor, output: Tensor | Encoded) -> Encoded:
        encoded = output if isinstance(output, Encoded) else Encoded(output)
        pooled = mean.to(encoded.pooled).expand_as(encoded.pooled)
        if encoded.tokens is None:
            return Encoded(pooled)
        return Encoded(
            pooled,
            torch.zeros_like(encoded.tokens),
            torch.zeros(encoded.tokens.shape[:2], dtype=torch.bool, device=pooled.device),
        )

    hooks = [
        model.encoders[m].register_forward_hook(
            lambda _, __, output, mean=mean: mean_features(mean, output)
        )
        for m, mean in means.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
