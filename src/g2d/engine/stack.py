"""Stacking: one prediction from the heads of several trained models, weighed by what the validation rows say.

The control that costs as much as a student and needs none: two sets of teachers, trained from different seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from g2d.data import Loader, Source
from g2d.errors import UnsupportedError
from g2d.functional.calibration import fit_head_weights
from g2d.method import Method, TrainState
from g2d.model import MultimodalModel, Teachers
from g2d.types import Batch, Inputs, Output


class Stack(Method):
    """l = sum_j a_j h_j over the heads of the student and of sets of teachers, a as in :func:`g2d.functional.calibration.fit_head_weights`.

    A student whose prediction is a sum of heads (:meth:`~g2d.method.Method.head_scale`) gives one head per modality, any other
    its fused prediction as one head. A student that is not trained (UME) gives none: it is its teachers.

    Args:
        method: how the student is asked.
        sets: of teachers; their weights are saved with this object.
    """

    trains = False
    own_heads = True
    weights: Tensor

    def __init__(self, method: Method, sets: Sequence[Teachers]) -> None:
        super().__init__()
        self.method = method
        self.sets = nn.ModuleList(nn.ModuleDict(teachers.models) for teachers in sets)
        self.modalities, self.task = method.modalities, method.task
        self.register_buffer("head_weights", torch.ones(len(self.modalities)))
        self.register_buffer("weights", torch.ones(0))

    def head_scale(self, model: MultimodalModel) -> None:
        """Its heads are weighed already."""

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        raise UnsupportedError("epochs of a stack must be 0: its members are trained before.")

    def heads(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> list[tuple[str | None, Tensor]]:
        """Every head's modality (None for a fused prediction) and its logits ``(B, C)``; their plain mean is the stack without weights."""
        found: list[tuple[str | None, Tensor]] = []
        for teachers in self.sets:
            assert isinstance(teachers, nn.ModuleDict)
            found += [
                (m, teachers[m]({m: inputs[m]}, present=present).logits) for m in self.modalities
            ]
        if self.method.trains:
            output, scale = (
                self.method.predict(model, inputs, present),
                self.method.head_scale(model),
            )
            z = output.unimodal_logits
            found += (
                [(None, output.logits)]
                if scale is None or z is None
                else [(m, len(z) * scale * z[m]) for m in self.modalities]
            )
        return found

    def fit(self, model: MultimodalModel, source: Source, batch_size: int) -> Mapping[str, float]:
        """Weigh the heads on the validation rows. Returns the weights, by what they belong to."""
        kept, target, device = (
            list[list[tuple[str | None, Tensor]]](),
            list[Tensor](),
            next(model.parameters()).device,
        )
        with torch.no_grad():
            for batch in Loader(source, "valid", batch_size, device=device).epoch(0):
                kept.append(self.heads(model, batch.inputs, batch.present))
                target.append(batch.target)
        logits = [torch.cat([part[j][1] for part in kept]) for j in range(len(kept[0]))]
        self.weights = fit_head_weights(
            logits, torch.cat(target), self.task.negative_log_likelihood
        ).to(device)
        members = [f"teachers {i + 1}" for i in range(len(self.sets)) for _ in self.modalities]
        members += ["student"] * (len(kept[0]) - len(members))
        return {
            f"{member}: {m or 'fused'}": weight
            for member, (m, _), weight in zip(members, kept[0], self.weights.tolist(), strict=True)
        }

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        """The weighted sum, and for every modality that of its own heads: with additive members they add up to it."""
        heads = self.heads(model, inputs, present)
        weights = (
            self.weights
            if len(self.weights)
            else torch.full((len(heads),), 1 / len(heads), device=heads[0][1].device)
        )
        weighted = [(m, weight * h) for (m, h), weight in zip(heads, weights, strict=True)]
        features = {
            m: encoded.pooled for m, encoded in model.encode(inputs, present=present).items()
        }
        z = {
            m: torch.stack([h for owner, h in weighted if owner == m]).sum(0)
            for m in self.modalities
        }
        return Output(features, torch.stack([h for _, h in weighted]).sum(0), z)

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *rest: object
    ) -> None:
        # How many heads there are is known only when they have been asked.
        if f"{prefix}weights" in state_dict:
            self.weights = torch.ones_like(
                state_dict[f"{prefix}weights"], device=self.weights.device
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)
