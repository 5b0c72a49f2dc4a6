"""G²D, Gradient-Guided Distillation: unimodal teachers and modalities that learn one by one.

Frozen unimodal teachers distill into a student whose weaker modalities learn first, alone.

M. Rakib, A. Bagavathi, "G²D: Boosting Multimodal Learning with Gradient-Guided Distillation",
ICCV 2025, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from g2d.errors import ArgumentError
from g2d.functional.losses import Reduction
from g2d.functional.schedule import Tau
from g2d.method import AUTO, Cost, Distillation, Log, Modulation, Ranking, spaces
from g2d.model import Teachers
from g2d.modulations import SMP


class G2D(Distillation):
    """L = L_S + alpha * sum_m L_feat^m + beta * sum_m L_logit^m  (Eq. 4), with SMP  (Eqs. 5-8).

    1. The teachers' confidence in the true target, rho, ranks the modalities (Eq. 5).
    2. The stage of the epoch selects the prioritized modalities (Eq. 6): the weakest alone, then
       the next, finally all.
    3. Encoders that are not prioritized are skipped: kappa = 0, none of their weights changes
       (Eqs. 7-8).
    4. The student learns from the target, from its teachers' features and from their predictions
       (Eqs. 1-4).

    The authors' released code differs: it suppresses convolutions only, by setting their gradient
    to zero, so that momentum and weight decay still move them. That behavior is available as
    :class:`~g2d.methods.g2d_released.G2DReleased`.

    Args:
        teachers: Frozen unimodal teachers.
        tau: Prioritization epochs of :class:`~g2d.modulations.SMP`: whole epochs or shares, one per
            modality. If left out, the ranking ``"lag"`` decides; with other rankings, half of the
            run is divided equally over the exclusive stages. ``"none"`` trains the loss alone,
            without modulation.
        alpha: Weight of the feature distillation, one for all modalities or one for each.
        beta: Weight of the logit distillation, one for all modalities or one for each.
        temperature: Temperature of the logit distillation.
        reduction: Reduction of the feature distance: ``"sum"`` follows Eq. 2 literally, ``"mean"``
            is what alpha = 1 was used with.
        ranking: Who learns first, see :class:`~g2d.modulations.SMP`; ``"batch"`` is the paper's.
        gate_heads: See :class:`~g2d.modulations.SMP`.
        freeze_batchnorm: See :class:`~g2d.modulations.SMP`.
        modulation: A modulation in place of SMP (Table 6); ``tau`` must then be left out.
    """

    cost = Cost(teacher=1, flops=1.34, besides="a suppressed encoder has no backward pass")
    search = spaces(alpha=Log(0.1, 30), beta=Log(0.1, 10))

    def __init__(
        self,
        *,
        teachers: Teachers,
        tau: Tau = None,
        alpha: float | Mapping[str, float] = 1.0,
        beta: float | Mapping[str, float] = 1.0,
        temperature: float = 1.0,
        reduction: Reduction = "mean",
        ranking: Ranking = AUTO,
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
        modulation: Modulation | None = None,
    ) -> None:
        if modulation is not None and tau is not None:
            raise ArgumentError(
                "tau must be left out if another modulation is given, "
                f"found tau={tau!r} and {type(modulation).__name__}."
            )
        if modulation is None and tau != "none":
            modulation = SMP(
                tau=tau, ranking=ranking, gate_heads=gate_heads, freeze_batchnorm=freeze_batchnorm
            )
        super().__init__(
            teachers=teachers,
            modulation=modulation,
            alpha=alpha,
            beta=beta,
            temperature=temperature,
            reduction=reduction,
        )
