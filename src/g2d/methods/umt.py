"""UMT, Uni-Modal Teacher: every encoder stays close to what it would have learnt alone.

C. Du et al., "On Uni-Modal Feature Learning in Supervised Multi-Modal Learning", ICML 2023.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from g2d.functional.losses import Reduction, feature_terms
from g2d.method import Cost, Log, Modulation, SinglePass, spaces
from g2d.model import Teachers
from g2d.types import Batch, Output, TeacherOutput


class UMT(SinglePass):
    """L = L_S + lambda * sum_m L_feat^m: G²D with beta = 0 and no modulation.

    Args:
        teachers: frozen unimodal teachers.
        weight: lambda, for all modalities or for each.
        reduction: of the feature distance, see :func:`g2d.functional.losses.feature_distillation`.
        modulation: "UMT + SMP" of Table 4, say.
    """

    cost = Cost(teacher=1, flops=1.34)
    search = spaces(weight=Log(0.1, 30))
    needs_teachers = True

    def __init__(
        self,
        *,
        teachers: Teachers,
        weight: float | Mapping[str, float] = 1.0,
        reduction: Reduction = "mean",
        modulation: Modulation | None = None,
    ) -> None:
        super().__init__(modulation=modulation, teachers=teachers)
        self.weight, self.reduction = weight, reduction

    def objective(
        self, output: Output, batch: Batch, teacher: TeacherOutput | None
    ) -> dict[str, Tensor]:
        assert teacher is not None
        features = feature_terms(
            output.features,
            teacher.features,
            self.weight,
            reduction=self.reduction,
            present=batch.present,
        )
        return {"task": self.task.loss(output.logits, batch.target)} | features
