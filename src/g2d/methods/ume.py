"""UME, Uni-Modal Ensemble: the teachers' mean, and no joint training at all.

C. Du et al., "On Uni-Modal Feature Learning in Supervised Multi-Modal Learning", ICML 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from torch import Tensor

from g2d.errors import ArgumentError, UnsupportedError
from g2d.fusion import Late
from g2d.method import Cost, Method, TrainState
from g2d.model import MultimodalModel, Teachers, warm_start
from g2d.task import Task
from g2d.types import Batch, Inputs, Output


class UME(Method):
    """l = (1/k) sum_m l_t^m: a Late-fusion student that starts from its teachers and is never trained.

    Args:
        teachers: frozen unimodal teachers; :meth:`build` copies them into the model.
        combine: ``"logits"`` averages logits, which lets an over-confident teacher outvote the others; ``"probabilities"``
            averages predictions instead (the fused logits are then their logarithm). Classification only.
    """

    cost = Cost(
        forward=0, backward=0, updates="0", flops=0.0, besides="nothing is trained but the teachers"
    )
    needs_teachers = True
    trains = False

    def __init__(
        self, *, teachers: Teachers, combine: Literal["logits", "probabilities"] = "logits"
    ) -> None:
        super().__init__()
        if combine not in ("logits", "probabilities"):
            raise ArgumentError(f"combine must be 'logits' or 'probabilities', found {combine!r}.")
        self.teachers, self.combine = teachers, combine

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        if not isinstance(model.fusion, Late):
            raise UnsupportedError(
                f"fusion of UME must be late (the mean of the teachers' logits), found {type(model.fusion).__name__.lower()}."
            )
        if self.combine == "probabilities" and task.kind != "classification":
            raise UnsupportedError(
                f"combine='probabilities' must have classes, found a {task.kind} task. Use combine='logits'."
            )
        warm_start(model, self.teachers.models)
        return self

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        raise UnsupportedError(
            "epochs of UME must be 0: its teachers are all the training there is."
        )

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        output = super().predict(model, inputs, present)
        if self.combine == "logits" or output.unimodal_logits is None:
            return output
        probabilities = torch.stack(
            [z.float().softmax(1) for z in output.unimodal_logits.values()]
        ).mean(0)
        return Output(output.features, probabilities.clamp_min(1e-38).log(), output.unimodal_logits)
