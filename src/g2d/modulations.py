"""Modulations: Sequential Modality Prioritization, and the partial suppression of Table 6.

Both read the teachers' confidence and give one coefficient kappa per modality before the forward
pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from g2d.functional.schedule import (
    Tau,
    checked_tau,
    coefficients,
    partial_suppression,
    prioritized,
    stage_epochs,
)
from g2d.functional.scoring import ranking
from g2d.functional.windows import checked_length, first_epochs
from g2d.method import Modulate, Modulation, TrainState, split_confidence
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task

RankingBy = Literal["batch", "epoch", "dataset", "validation", "memorization"]
"""Which confidence ranks the modalities, see :class:`SMP`."""


class SMP(Modulation):
    """Sequential Modality Prioritization: weaker modalities learn first, alone  (Eqs. 6-8).

    In stage j < k only the encoder of pi[j] learns, the j-th least confident; in the last stage all
    encoders learn. The backward pass of the others is not computed.

    Args:
        tau: Prioritization epochs tau_1..tau_k, one per stage; 0 skips a stage. Whole epochs, or
            shares of the run such as ``(0.25, 0.25, 0.5)``. If left out, half of the run is divided
            equally over the exclusive stages and all modalities learn in the other half.
            ``"none"`` suppresses nothing. See :func:`g2d.functional.schedule.stage_epochs`.
        ranking: Which confidence of the teachers ranks the modalities. All but ``"batch"`` need
            ``TrainState(rows=...)``.

            - ``"batch"``: on the training batch, in every update (the paper);
            - ``"epoch"``: on all training rows, in every epoch;
            - ``"dataset"``: on all training rows, once;
            - ``"validation"``: on the validation rows, once;
            - ``"memorization"``: on the training rows minus on the validation rows, once: the
              modality whose teacher memorized least learns first.
        modulate: See :class:`~g2d.method.Modulation`.
        gate_heads: See :class:`~g2d.method.Modulation`.
        freeze_batchnorm: See :class:`~g2d.method.Modulation`.

    Source: Rakib & Bagavathi, ICCV 2025, Section 3.3.
    """

    def __init__(
        self,
        *,
        tau: Tau = None,
        ranking: RankingBy = "batch",
        modulate: Modulate = "auto",
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> None:
        super().__init__(
            modulate=modulate, gate_heads=gate_heads, freeze_batchnorm=freeze_batchnorm
        )
        self.tau, self.ranking_by = checked_tau(tau), ranking
        self.score: dict[str, float] | None = None

    def build(self, model: MultimodalModel, task: Task) -> None:
        checked_tau(self.tau, model.modalities)

    def stages(self, state: TrainState, modalities: Sequence[str]) -> tuple[int, ...]:
        """Return the epochs of every stage in this run.

        Raises:
            ArgumentError: if the number of epochs is needed but unknown, or too small.
        """
        return stage_epochs(self.tau, state.epochs, modalities)

    def epoch_start(self, state: TrainState, teachers: Teachers) -> None:
        if self.tau == "none":
            return
        self.stages(state, teachers.modalities)  # fails here rather than after a pass over the rows
        if self.ranking_by == "epoch":
            self.score = split_confidence(state, teachers, state.train_rows())
        elif self.ranking_by != "batch" and self.score is None:
            self.score = self._fixed_score(state, teachers)

    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        if self.tau == "none":
            return dict.fromkeys(rho, 1.0)
        tau = self.stages(state, tuple(rho))
        score = rho if self.score is None else self.score
        return coefficients(prioritized(ranking(score), state.epoch, tau), tuple(rho))

    def _fixed_score(self, state: TrainState, teachers: Teachers) -> dict[str, float]:
        """Return the score that ranks the modalities in the whole run."""
        if self.ranking_by == "validation":
            return split_confidence(state, teachers, state.validation_rows())
        # The views of epoch 1, so that a resumed run ranks as the first one did.
        train = split_confidence(state, teachers, state.train_rows(epoch=1))
        if self.ranking_by == "dataset":
            return train
        valid = split_confidence(state, teachers, state.validation_rows())
        return {m: train[m] - valid[m] for m in valid}


class PartialSuppression(Modulation):
    """Damping of modalities whose teachers are more confident than the others  (Table 6).

    kappa^m = 1 - tanh(x) if x = rho^m / mean_{j≠m} rho^j > 1, else 1.

    The paper does not say which confidence x compares; its section uses the teachers', and so does
    this class.

    Args:
        epochs: First epochs that are modulated: their number as an int, or a share of the run as a
            float; None modulates in all epochs.
        modulate: See :class:`~g2d.method.Modulation`.
        gate_heads: See :class:`~g2d.method.Modulation`.
        freeze_batchnorm: See :class:`~g2d.method.Modulation`.
    """

    def __init__(
        self,
        *,
        epochs: int | float | None = None,
        modulate: Modulate = "auto",
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> None:
        super().__init__(
            modulate=modulate, gate_heads=gate_heads, freeze_batchnorm=freeze_batchnorm
        )
        self.epochs = checked_length(epochs, "epochs")

    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        last = first_epochs(self.epochs, state.epochs, "epochs")
        if last is not None and state.epoch > last:
            return dict.fromkeys(rho, 1.0)
        return partial_suppression(rho)


MODULATIONS: dict[str, type[Modulation]] = {"smp": SMP, "partial_suppression": PartialSuppression}
