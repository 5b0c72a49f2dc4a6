"""Strength of the gradient at every encoder, and its agreement with the modality's own loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from g2d.functional.pareto import cosine
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch


@dataclass(frozen=True)
class Pull:
    """Gradient of one encoder, averaged over batches.

    Args:
        norm: Norm of the fused loss's gradient with respect to the encoder's parameters.
        agreement: Cosine between this gradient and that of the modality's own loss.
    """

    norm: float
    agreement: float


def gradient_pull(model: MultimodalModel, batches: Iterable[Batch], task: Task) -> dict[str, Pull]:
    """Measure the gradient of the loss at every encoder.

    Args:
        model: Model of this library; in eval mode during the call. Its ``.grad`` is not changed.
        batches: Batches as the encoders take them.
        task: Kind of target.

    Returns:
        A pull per modality whose encoder has trainable parameters.
    """
    norms: dict[str, list[float]] = {m: [] for m in model.modalities}
    agreements: dict[str, list[float]] = {m: [] for m in model.modalities}
    with evaluating(model), torch.enable_grad():
        for batch in batches:
            output = model(batch.inputs, present=batch.present, unimodal=True)
            fused = task.loss(output.logits, batch.target)
            for m, encoder in model.encoders.items():
                weights = [p for p in encoder.parameters() if p.requires_grad]
                if not weights:
                    continue
                per_row = task.loss_per_row(output.unimodal_logits[m], batch.target)
                own = (per_row * batch.has(m)).mean()
                joint, alone = (
                    _flat(torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True))
                    for loss in (fused, own)
                )
                norms[m].append(joint.norm().item())
                agreements[m].append(cosine(joint, alone))
    return {m: Pull(sum(n) / len(n), sum(agreements[m]) / len(n)) for m, n in norms.items() if n}


def _flat(gradients: tuple[torch.Tensor | None, ...]) -> torch.Tensor:
    return torch.cat([g.flatten() for g in gradients if g is not None] or [torch.zeros(1)])
