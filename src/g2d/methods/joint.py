"""Joint training: one loss on the fused prediction, the baseline of every method."""

from __future__ import annotations

from g2d.method import Modulation, SinglePass
from g2d.model import Teachers
from g2d.types import Batch, Output, TeacherOutput, Terms


class Joint(SinglePass):
    """L = L_S(l, y)  (Eq. 1), plus ``unimodal`` times the loss of each modality's own logits.

    Args:
        unimodal: Weight of sum_m L(z^m, y): 0 is the plain baseline, 1 uniform multi-loss training.
        modulation: Coefficients per modality, for "Joint + SMP" of Table 4; needs teachers for
            their confidence only.
        teachers: Frozen unimodal teachers.
    """

    def __init__(
        self,
        *,
        unimodal: float = 0.0,
        modulation: Modulation | None = None,
        teachers: Teachers | None = None,
    ) -> None:
        super().__init__(modulation=modulation, teachers=teachers)
        self.unimodal = unimodal
        self.wants_unimodal_logits = unimodal != 0

    def objective(self, output: Output, batch: Batch, teacher: TeacherOutput | None) -> Terms:
        terms = super().objective(output, batch, teacher)
        # A modulation can ask for unimodal logits that the loss does not need.
        own = output.unimodal_logits if self.unimodal != 0 else None
        for m, z in (own or {}).items():
            terms[f"unimodal/{m}"] = self.unimodal * self.task.loss(z, batch.target)
        return terms
