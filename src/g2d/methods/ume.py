"""UME, Uni-Modal Ensemble: the mean of the teachers, without joint training.

C. Du et al., "On Uni-Modal Feature Learning in Supervised Multi-Modal Learning", ICML 2023.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from torch import Tensor

from g2d.errors import UnsupportedError
from g2d.fusion import Late
from g2d.method import Cost, Method, TrainState, check_names
from g2d.model import MultimodalModel, Teachers, warm_start
from g2d.task import Task
from g2d.types import Batch, Inputs, Output, Present


class UME(Method):
    """l = (1/k) sum_m l_t^m: a student with late fusion, copied from its teachers and not trained.

    Args:
        teachers: Frozen unimodal teachers; :meth:`build` copies them into the model.
        combine: ``"logits"`` averages logits, so that an over-confident teacher can outvote the
            others. ``"probabilities"`` averages probabilities, from which the fused logits are
            computed; for classes and labels only.
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
        self.teachers, self.combine = teachers, combine

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        if not isinstance(model.fusion, Late):
            raise UnsupportedError(
                "fusion of UME must be late (the mean of the teachers' logits), "
                f"found {type(model.fusion).__name__.lower()}."
            )
        if self.combine == "probabilities" and not task.discrete:
            raise UnsupportedError(
                f"combine='probabilities' must have classes or labels, found a {task.kind} task. "
                "Use combine='logits'."
            )
        check_names("teachers", self.teachers.modalities, model.modalities)
        warm_start(model, self.teachers.models)
        return self

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        raise UnsupportedError(
            "epochs of UME must be 0, found a training step: only its teachers train."
        )

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        output = super().predict(model, inputs, present)
        z = output.unimodal_logits
        if self.combine == "logits" or z is None:
            return output
        probabilities = torch.stack(
            [self.task.probabilities(logits) for logits in z.values()]
        ).mean(0)
        return Output(output.features, self.task.logits_of(probabilities), z)
