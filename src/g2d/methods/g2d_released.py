"""G²D as its authors' released code runs it, kept apart so that its numbers can be reproduced and its drift be seen.

Where it differs from the paper: only convolution weights are suppressed; suppressing zeroes a gradient, so momentum and weight
decay go on moving the "frozen" weights; the last exclusive stage is one epoch longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from g2d.functional.losses import feature_terms, logit_terms
from g2d.functional.schedule import Tau
from g2d.method import Cost, Log, SinglePass, TrainState, spaces
from g2d.model import Teachers
from g2d.modulations import SMP
from g2d.types import Batch, Output, TeacherOutput


class G2DReleased(SinglePass):
    """The loss of G²D (Eq. 4); every encoder's backward is computed, then zeroed on convolution weights where kappa = 0.

    Args:
        teachers: frozen unimodal teachers.
        tau: Prioritization epochs, as in :class:`~g2d.modulations.SMP`.
        alpha, beta: weights of feature and logit distillation, for all modalities or for each.
        extra_epoch: the released code compares 0-based epochs inclusively, which adds one epoch to the last exclusive stage.
    """

    cost = Cost(teacher=1, flops=1.34)
    search = spaces(alpha=Log(0.1, 30), beta=Log(0.1, 10))
    needs_teachers = True
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
        super().__init__(modulation=_OpenDoor(tau, extra_epoch), teachers=teachers)
        self.alpha, self.beta = alpha, beta

    def objective(
        self, output: Output, batch: Batch, teacher: TeacherOutput | None
    ) -> dict[str, Tensor]:
        assert teacher is not None
        features = feature_terms(
            output.features, teacher.features, self.alpha, present=batch.present
        )
        logits = logit_terms(
            output.logits, teacher.logits, self.beta, self.task.distillation, present=batch.present
        )
        return {"task": self.task.loss(output.logits, batch.target)} | features | logits

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
