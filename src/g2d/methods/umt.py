"""UMT, Uni-Modal Teacher: every encoder stays close to what it would have learned alone.

C. Du et al., "On Uni-Modal Feature Learning in Supervised Multi-Modal Learning", ICML 2023.
"""

from __future__ import annotations

from collections.abc import Mapping

from g2d.functional.losses import Reduction
from g2d.method import Cost, Distillation, Log, Modulation, spaces
from g2d.model import Teachers


class UMT(Distillation):
    """L = L_S + lambda * sum_m L_feat^m: G²D with beta = 0 and without modulation.

    Args:
        teachers: Frozen unimodal teachers.
        weight: lambda, one for all modalities or one for each.
        reduction: Reduction of the feature distance, see
            :func:`g2d.functional.losses.feature_distillation`.
        modulation: Coefficients per modality, for "UMT + SMP" of Table 4.
    """

    cost = Cost(teacher=1, flops=1.34)
    search = spaces(weight=Log(0.1, 30))

    def __init__(
        self,
        *,
        teachers: Teachers,
        weight: float | Mapping[str, float] = 1.0,
        reduction: Reduction = "mean",
        modulation: Modulation | None = None,
    ) -> None:
        super().__init__(
            teachers=teachers, modulation=modulation, alpha=weight, beta=0.0, reduction=reduction
        )
