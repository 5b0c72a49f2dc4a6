"""G²D as its authors' released code runs it, to reproduce its numbers and to show its drift.

It differs from the paper in three ways. Only convolution weights are suppressed. Suppressing sets a
gradient to zero, so that momentum and weight decay still move the weights. The last exclusive stage
is one epoch longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from g2d.functional.schedule import Tau
from g2d.method import Cost, Distillation, Log, TrainState, spaces
from g2d.model import Teachers
from g2d.modulations import SMP


class G2DReleased(Distillation):
    """The loss of G²D (Eq. 4); gradients of convolution weights are zero where kappa = 0.

    The backward pass of every encoder is computed.

    Args:
        teachers: Frozen unimodal teachers.
        tau: Prioritization epochs, as in :class:`~g2d.modulations.SMP`.
        alpha: Weight of the feature distillation, one for all modalities or one for each.
        beta: Weight of the logit distillation, one for all modalities or one for each.
        extra_epoch: Add one epoch to the last exclusive stage, as the released code does: it
            compares epochs counted from 0 and includes the last one.
    """

    cost = Cost(teacher=1, flops=1.34)
    search = spaces(alpha=Log(0.1, 30), beta=Log(0.1, 10))
    modulation: _OpenDoor

    def __init__(
        self,
        *,
        teachers: Teachers,
        tau: Tau = None,
        alpha: float | Mapping[str, float] = 1.0,
        beta: float | Mapping[str, float] = 1.0,
        extra_epoch: bool = True,
    ) -> None:
        super().__init__(
            teachers=teachers, modulation=_OpenDoor(tau, extra_epoch), alpha=alpha, beta=beta
        )

    def before_update(self, state: TrainState) -> None:
        for m, kappa in self.modulation.kappa.items():
            for parameter in state.model.encoders[m].parameters():
                if kappa == 0 and parameter.ndim == 4 and parameter.grad is not None:
                    parameter.grad.zero_()


class _OpenDoor(SMP):
    """The schedule of SMP, whose coefficients are kept for the update instead of the door."""

    def __init__(self, tau: Tau, extra_epoch: bool) -> None:
        super().__init__(tau=tau)
        self.extra_epoch = extra_epoch

    def stages(self, state: TrainState, modalities: Sequence[str]) -> tuple[int, ...]:
        lengths = list(super().stages(state, modalities))
        if self.extra_epoch and len(lengths) > 1:
            lengths[-2] += 1
        return tuple(lengths)

    def at_the_door(self, state: TrainState, kappa: dict[str, float]) -> dict[str, float]:
        self.kappa = kappa
        return {}
