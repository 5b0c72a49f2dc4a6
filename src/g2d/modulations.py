"""Who may learn in this update: Sequential Modality Prioritization, and the partial suppression it is compared with.

Both read the teachers' confidence and give one coefficient kappa per modality, before the forward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from g2d.errors import ArgumentError
from g2d.functional.schedule import (
    Tau,
    checked_tau,
    coefficients,
    partial_suppression,
    prioritized,
    stage_epochs,
)
from g2d.functional.scoring import ranking
from g2d.method import Modulation, TrainState, split_confidence
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task

RankingBy = Literal["batch", "epoch", "dataset", "validation", "memorization"]


class SMP(Modulation):
    """Sequential Modality Prioritization: the weaker modalities learn first, alone  (Eqs. 6-8).

    In stage j < k only the encoder of pi[j] learns, the j-th least confident; in the last stage all do. The others are skipped
    entirely: their backward pass is not computed.

    Args:
        tau: Prioritization epochs tau_1..tau_k, one per stage; 0 skips a stage. Whole epochs, or
            shares of the run such as ``(0.25, 0.25, 0.5)``. If left out, half of the run is divided
            equally over the exclusive stages and all modalities learn in the other half.
            ``"none"`` suppresses nothing. See :func:`g2d.functional.schedule.stage_epochs`.
        ranking: whose confidence ranks. ``"batch"``: the teachers' on the training batch, anew in every update (the paper);
            ``"epoch"``: on all training rows, anew in every epoch; ``"dataset"``: on all training rows, once;
            ``"validation"``: on the validation rows, once; ``"memorization"``: training minus validation confidence, once: the
            teacher that memorised least learns first. All but ``"batch"`` need ``TrainState(rows=...)``.
        modulate, gate_heads, freeze_batchnorm: see :class:`~g2d.method.Modulation`.

    Source: Rakib & Bagavathi, ICCV 2025, Section 3.3.
    """

    def __init__(
        self,
        *,
        tau: Tau = None,
        ranking: RankingBy = "batch",
        modulate: str = "auto",
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> None:
        super().__init__(
            modulate=modulate, gate_heads=gate_heads, freeze_batchnorm=freeze_batchnorm
        )
        if ranking not in get_args(RankingBy):
            raise ArgumentError(
                f"ranking must be one of {', '.join(get_args(RankingBy))}, found {ranking!r}."
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
        by = self.ranking_by
        if by == "epoch":
            self.score = split_confidence(state, teachers, state.train_rows())
        elif by != "batch" and self.score is None:
            # The view of epoch 1, so that a resumed run ranks as the first one did.
            train = (
                {}
                if by == "validation"
                else split_confidence(state, teachers, state.train_rows(epoch=1))
            )
            valid = (
                {}
                if by == "dataset"
                else split_confidence(state, teachers, state.validation_rows())
            )
            self.score = (
                {m: train.get(m, 0.0) - valid[m] for m in valid}
                if by == "memorization"
                else train or valid
            )

    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        if self.tau == "none":
            return dict.fromkeys(rho, 1.0)
        tau = self.stages(state, tuple(rho))
        score = rho if self.score is None else self.score
        return coefficients(prioritized(ranking(score), state.epoch, tau), tuple(rho))


class PartialSuppression(Modulation):
    """Damp the confident modality instead of stopping it: kappa^m = 1 - tanh(x), x = rho^m / mean_{j≠m} rho^j, where x > 1  (Table 6).

    The paper does not say whose scores x compares; its section uses the teachers', and so does this.

    Args:
        epochs: modulate until this epoch; None is always.
        modulate, gate_heads, freeze_batchnorm: see :class:`~g2d.method.Modulation`.
    """

    def __init__(
        self,
        *,
        epochs: int | None = None,
        modulate: str = "auto",
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> None:
        super().__init__(
            modulate=modulate, gate_heads=gate_heads, freeze_batchnorm=freeze_batchnorm
        )
        self.epochs = epochs

    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        return (
            dict.fromkeys(rho, 1.0)
            if self.epochs is not None and state.epoch > self.epochs
            else partial_suppression(rho)
        )


MODULATIONS: dict[str, type[Modulation]] = {"smp": SMP, "partial_suppression": PartialSuppression}
