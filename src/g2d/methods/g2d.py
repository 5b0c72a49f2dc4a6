"""G²D, Gradient-Guided Distillation: frozen unimodal teachers distil into a student whose weaker modalities learn first, alone.

M. Rakib, A. Bagavathi, "G²D: Boosting Multimodal Learning with Gradient-Guided Distillation", ICCV 2025, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.losses import Reduction, feature_terms, logit_terms
from g2d.functional.schedule import Tau
from g2d.method import Cost, Log, Modulation, SinglePass, spaces
from g2d.model import Teachers
from g2d.modulations import SMP, RankingBy
from g2d.types import Batch, Output, TeacherOutput


class G2D(SinglePass):
    """L = L_S + alpha * sum_m L_feat^m + beta * sum_m L_logit^m  (Eq. 4), under Sequential Modality Prioritization  (Eqs. 5-8).

    1. The teachers' confidence in the truth, rho, ranks the modalities (Eq. 5).
    2. The stage of the epoch says who is prioritized (Eq. 6): the weakest alone, then the next, at last all.
    3. Encoders that are not prioritized are skipped: kappa = 0, not a bit of them moves (Eqs. 7-8).
    4. The student learns from the truth, from its teachers' features and from their predictions (Eqs. 1-4).

    Args:
        teachers: frozen unimodal teachers.
        tau: Prioritization epochs of :class:`~g2d.modulations.SMP`: whole epochs or shares, one per
            modality. If left out, half of the run is divided equally over the exclusive stages.
            ``"none"`` trains the loss alone, without modulation.
        alpha, beta: weights of feature and logit distillation, for all modalities or for each.
        temperature: of the logit distillation.
        reduction: of the feature distance; ``"sum"`` is the letter of Eq. 2, ``"mean"`` what alpha = 1 was used with.
        ranking, gate_heads, freeze_batchnorm: see :class:`~g2d.modulations.SMP`.
        modulation: A modulation in place of SMP (Table 6); ``tau`` must then be left out.

    Differs from the authors' released code, which gates convolutions only, and by a zeroed gradient that momentum and weight
    decay still move: that behaviour lives in :class:`~g2d.methods.g2d_released.G2DReleased`.
    """

    cost = Cost(teacher=1, flops=1.34, besides="a suppressed encoder has no backward pass")
    search = spaces(alpha=Log(0.1, 30), beta=Log(0.1, 10))
    needs_teachers = True

    def __init__(
        self,
        *,
        teachers: Teachers,
        tau: Tau = None,
        alpha: float | Mapping[str, float] = 1.0,
        beta: float | Mapping[str, float] = 1.0,
        temperature: float = 1.0,
        reduction: Reduction = "mean",
        ranking: RankingBy = "batch",
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
        modulation: Modulation | None = None,
    ) -> None:
        if modulation is not None and tau is not None:
            raise ArgumentError(
                "tau must be left out where another modulation is given, "
                f"found tau={tau!r} and {type(modulation).__name__}."
            )
        if modulation is None and tau != "none":
            modulation = SMP(
                tau=tau, ranking=ranking, gate_heads=gate_heads, freeze_batchnorm=freeze_batchnorm
            )
        super().__init__(modulation=modulation, teachers=teachers)
        self.alpha, self.beta, self.temperature, self.reduction = (
            alpha,
            beta,
            temperature,
            reduction,
        )

    def objective(
        self, output: Output, batch: Batch, teacher: TeacherOutput | None
    ) -> dict[str, Tensor]:
        assert teacher is not None
        features = feature_terms(
            output.features,
            teacher.features,
            self.alpha,
            reduction=self.reduction,
            present=batch.present,
        )
        logits = logit_terms(
            output.logits,
            teacher.logits,
            self.beta,
            self.task.distillation,
            temperature=self.temperature,
            present=batch.present,
        )
        return {"task": self.task.loss(output.logits, batch.target)} | features | logits
