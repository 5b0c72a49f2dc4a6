"""What every subset of the modalities achieves, and each one's Shapley share of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from g2d.analysis.rows import Predict
from g2d.errors import ArgumentError
from g2d.functional.shapley import Coalition, coalitions, shares
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Encoded

EMPTY: Coalition = frozenset()


@torch.no_grad()
def feature_means(model: MultimodalModel, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """The mean feature ``(D_m,)`` of every modality over (training) rows that have it: what stands for a modality that is absent."""
    sums: dict[str, Tensor] = {}
    with evaluating(model):
        for batch in batches:
            for m, encoded in model.encode(batch.inputs, present=batch.present).items():
                there = batch.has(m).double()
                found = torch.cat([there @ encoded.pooled.double(), there.sum()[None]])
                sums[m] = sums[m] + found if m in sums else found
    return {m: (total[:-1] / total[-1].clamp_min(1)).float() for m, total in sums.items()}


@torch.no_grad()
def coalition_values(
    model: MultimodalModel,
    batches: Iterable[Batch],
    means: Mapping[str, Tensor],
    task: Task,
    predict: Predict | None = None,
) -> dict[Coalition, tuple[Tensor, Tensor]]:
    """Per subset of the modalities, the empty one included: the value of every row, and whether the prediction is right.

    The value is the logit of the true class; of a regression, minus the loss. Modalities outside the subset have their mean feature, and
    no tokens.

    Args:
        means: of :func:`feature_means`.
        predict: how the model is asked, where its method has a rule or heads of its own; by default its fusion answers.

    Returns:
        value ``(N,)`` and right ``(N,)``.
    """
    ask = predict or (lambda batch: model(batch.inputs, present=batch.present))
    found: dict[Coalition, tuple[list[Tensor], list[Tensor]]] = {
        some: ([], []) for some in (EMPTY, *coalitions(model.modalities))
    }
    with evaluating(model):
        for batch in batches:
            for some, (values, right) in found.items():
                with _absent(model, {m: means[m] for m in model.modalities if m not in some}):
                    logits = ask(batch).logits.float()
                classes = batch.target.ndim == 1
                values.append(
                    logits.gather(1, batch.target[:, None])[:, 0]
                    if classes
                    else -task.loss_per_row(logits, batch.target)
                )
                right.append((logits.argmax(1) == batch.target).float() if classes else values[-1])
    if not found[EMPTY][0]:
        raise ArgumentError("batches must hold rows to analyse, found none.")
    return {
        some: (torch.cat(values).cpu(), torch.cat(right).cpu())
        for some, (values, right) in found.items()
    }


def shapley_values(
    values: Mapping[Coalition, Tensor], modalities: tuple[str, ...]
) -> dict[str, Tensor]:
    """Exact Shapley values of every row, ``(N,)`` per modality; they add up to v(all) - v(none).

    With a late fusion of linear heads and logits as values they are W_m (f^m - mean f^m) / k of the true class.
    """
    return shares(values, modalities)


@contextmanager
def _absent(model: MultimodalModel, means: Mapping[str, Tensor]) -> Iterator[None]:
    """These modalities' encoders answer with a mean feature and no tokens, whoever asks them."""

    def answer(mean: Tensor, output: Tensor | Encoded) -> Encoded:
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
            lambda _, __, output, mean=mean: answer(mean, output)
        )
        for m, mean in means.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
