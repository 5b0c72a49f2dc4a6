"""The objective that G²D, its released code and UMT share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from torch import Tensor

from g2d.functional.losses import Reduction, feature_terms, logit_terms
from g2d.method.modulation import Modulation
from g2d.method.rules import check_teacher_widths, per_modality
from g2d.method.single_pass import SinglePass
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task
from g2d.types import Batch, Output, TeacherOutput, Terms


class Distillation(SinglePass):
    """Base of methods with L = L_S + alpha * sum_m L_feat^m + beta * sum_m L_logit^m  (Eq. 4).

    Args:
        teachers: Frozen unimodal teachers.
        modulation: Coefficients per modality, if any.
        alpha: Weight of the feature distillation, one for all modalities or one for each.
        beta: Weight of the logit distillation, one for all modalities or one for each.
        temperature: Temperature of the logit distillation.
        reduction: Reduction of the feature distance, see
            :func:`g2d.functional.losses.feature_distillation`.
    """

    needs_teachers = True

    def __init__(
        self,
        *,
        teachers: Teachers,
        modulation: Modulation | None,
        alpha: float | Mapping[str, float],
        beta: float | Mapping[str, float],
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(modulation=modulation, teachers=teachers)
        self.alpha, self.beta = alpha, beta
        self.temperature, self.reduction = temperature, reduction

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        for name in ("alpha", "beta", "weight"):
            if name in self.arguments:
                per_modality(name, self.arguments[name], model.modalities)
        if self.teachers is not None:
            distilled = per_modality("alpha", self.alpha, model.modalities)
            check_teacher_widths(self.teachers, model, [m for m, a in distilled.items() if a != 0])
        return self

    @property
    def costs_interaction(self) -> list[str]:
        sources = {"features": self.alpha, "logits": self.beta}
        used = [name for name, weight in sources.items() if any(_each(weight))]
        causes = [f"distillation of unimodal {' and '.join(used)}"] if used else []
        return [*super().costs_interaction, *causes]

    def distilled(self, output: Output) -> Mapping[str, Tensor]:
        """Return the student's features ``(B, D_m)`` that are compared with the teachers'."""
        return output.features

    def objective(self, output: Output, batch: Batch, teacher: TeacherOutput | None) -> Terms:
        assert teacher is not None
        present = batch.present
        features = feature_terms(
            self.distilled(output),
            teacher.features,
            self.alpha,
            reduction=self.reduction,
            present=present,
        )
        logits = logit_terms(
            output.logits,
            teacher.logits,
            self.beta,
            self.task.distillation,
            temperature=self.temperature,
            present=present,
        )
        return super().objective(output, batch, teacher) | features | logits


def _each(weight: float | Mapping[str, float]) -> Iterable[float]:
    return weight.values() if isinstance(weight, Mapping) else (weight,)
