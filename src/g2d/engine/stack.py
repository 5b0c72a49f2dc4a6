"""Stacking: one prediction from the heads of several trained models, weighted on validation.

Two sets of teachers trained from different seeds are the control that costs as much as a student.
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
from g2d.types import Batch, Inputs, Output, Present


class Stack(Method):
    """Weighted sum l = sum_j a_j h_j over the heads of a student and of sets of teachers.

    The weights a come from :func:`g2d.functional.calibration.fit_head_weights`. A student whose
    prediction is a sum of heads (:meth:`~g2d.method.Method.head_scale`) adds one head per
    modality; any other student adds its fused prediction as one head. A student that is not
    trained (UME) adds none: it consists of its teachers.

    Args:
        method: The student's method, which predicts.
        sets: Sets of teachers; their weights are saved with this object.
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
        """Return None: the heads of a stack have weights already."""

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        """Refuse: the members of a stack are trained before it is built."""
        raise UnsupportedError("epochs of a stack must be 0: its members are trained before.")

    def heads(
        self, model: MultimodalModel, inputs: Inputs, present: Present = None
    ) -> list[tuple[str | None, Tensor]]:
        """Return the modality and the logits ``(B, C)`` of every head.

        A fused prediction has None as its modality. The plain mean of the logits is the stack
        without weights.
        """
        heads: list[tuple[str | None, Tensor]] = []
        for teachers in self.sets:
            assert isinstance(teachers, nn.ModuleDict)
            heads += [
                (m, teachers[m]({m: inputs[m]}, present=present).logits) for m in self.modalities
            ]
        if not self.method.trains:
            return heads
        output = self.method.predict(model, inputs, present)
        scale, z = self.method.head_scale(model), output.unimodal_logits
        if scale is None or z is None:
            return [*heads, (None, output.logits)]
        return [*heads, *((m, len(z) * scale * z[m]) for m in self.modalities)]

    @torch.no_grad()
    def fit(self, model: MultimodalModel, source: Source, batch_size: int) -> Mapping[str, float]:
        """Fit the weights of the heads on the validation rows.

        Args:
            model: The trained student.
            source: The data.
            batch_size: Rows per step.

        Returns:
            The weight of every head by member and modality.
        """
        device = next(model.parameters()).device
        kept, targets = list[list[tuple[str | None, Tensor]]](), list[Tensor]()
        for batch in Loader(source, "valid", batch_size, device=device).epoch(0):
            kept.append(self.heads(model, batch.inputs, batch.present))
            targets.append(batch.target)
        logits = [torch.cat([part[j][1] for part in kept]) for j in range(len(kept[0]))]
        with torch.enable_grad():
            weights = fit_head_weights(
                logits, torch.cat(targets), self.task.negative_log_likelihood
            )
        self.weights = weights.to(device)
        members = [f"teachers {i + 1}" for i in range(len(self.sets)) for _ in self.modalities]
        members += ["student"] * (len(logits) - len(members))
        return {
            f"{member}: {m or 'fused'}": weight
            for member, (m, _), weight in zip(members, kept[0], self.weights.tolist(), strict=True)
        }

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        """Return the weighted sum of all heads, and of each modality's own heads.

        With additive members the unimodal logits add up to the fused logits.
        """
        heads = self.heads(model, inputs, present)
        weights = self.weights
        if len(weights) == 0:
            weights = torch.full((len(heads),), 1 / len(heads), device=heads[0][1].device)
        weighted = [(m, weight * h) for (m, h), weight in zip(heads, weights, strict=True)]
        encoded = model.encode(inputs, present=present)
        z = {
            m: torch.stack([h for owner, h in weighted if owner == m]).sum(0)
            for m in self.modalities
        }
        features = {m: one.pooled for m, one in encoded.items()}
        return Output(features, torch.stack([h for _, h in weighted]).sum(0), z)

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *rest: object
    ) -> None:
        # The number of heads is known only after the first prediction.
        if f"{prefix}weights" in state_dict:
            self.weights = torch.ones_like(
                state_dict[f"{prefix}weights"], device=self.weights.device
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)
