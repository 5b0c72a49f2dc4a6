"""Modulations: Sequential Modality Prioritization, and the partial suppression of Table 6.

Both give one coefficient kappa per modality: from the teachers' confidence before the forward pass,
or, if partial suppression scores the student, after the backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal

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
from g2d.functional.windows import checked_length, first_epochs
from g2d.method import (
    Modulate,
    Modulation,
    Scope,
    StudentScores,
    TrainState,
    in_scope,
    modulated,
    scale_gradient_of,
    split_confidence,
)
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task
from g2d.types import Batch, Output

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

    def epoch_state(self) -> dict[str, Any]:
        return {"score": self.score}

    def load_epoch_state(self, values: Mapping[str, Any]) -> None:
        self.score = values["score"]

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
    """Damping of modalities that are more confident than the others  (Table 6).

    kappa^m = 1 - tanh(alpha x) if x = s^m / mean_{j≠m} s^j > 1, else 1.

    The paper does not say which confidence x compares; its section uses the teachers', which is the
    default. The only partial suppression of the authors' code is ``scores="student"`` with
    ``scope="conv_only"``, the coefficient of :class:`~g2d.methods.ogm_ge.OGMGE` without noise.

    Args:
        epochs: First epochs that are modulated: their number as an int, or a share of the run as a
            float; None modulates in all epochs.
        scores: Whose confidence in the true target is the score s^m: the ``"teachers"``', known
            before the forward pass, or the ``"student"``'s own under its unimodal logits z^m.
        alpha: Strength of the suppression.
        scope: Parameters of an encoder that are damped: ``"all"``, or ``"conv_only"``, those with
            four dimensions.
        modulate: See :class:`~g2d.method.Modulation`.
        gate_heads: See :class:`~g2d.method.Modulation`.
        freeze_batchnorm: See :class:`~g2d.method.Modulation`.

    Raises:
        ArgumentError: alpha is negative, or two arguments contradict each other.
    """

    def __init__(
        self,
        *,
        epochs: int | float | None = None,
        scores: Literal["teachers", "student"] = "teachers",
        alpha: float = 1.0,
        scope: Scope = "all",
        modulate: Modulate = "auto",
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> None:
        super().__init__(
            modulate=modulate, gate_heads=gate_heads, freeze_batchnorm=freeze_batchnorm
        )
        if alpha < 0:
            raise ArgumentError(f"alpha must not be negative, found {alpha}.")
        if gate_heads and scope == "conv_only":
            raise ArgumentError(
                "scope must be 'all' with gate_heads, found 'conv_only': heads are linear layers. "
                "Leave out gate_heads."
            )
        if freeze_batchnorm and (scores == "student" or scope == "conv_only"):
            raise ArgumentError(
                "freeze_batchnorm must have scores='teachers' and scope='all', which suppress "
                f"before the forward pass, found {scores!r} and {scope!r}. "
                "Leave out freeze_batchnorm."
            )
        self.epochs, self.alpha = checked_length(epochs, "epochs"), alpha
        self.scope: Scope = scope
        self.wants_unimodal_logits = scores == "student"
        self.kappa: dict[str, float] = {}

    @property
    def at_features(self) -> bool:
        """Whether the coefficients act on the gradient of the features, at the door."""
        return self.scope == "all" and not self.wants_unimodal_logits

    def build(self, model: MultimodalModel, task: Task) -> None:
        self.own_scores = StudentScores(task)
        if self.gate_heads and not model.fusion.additive:
            model.fusion.refuse_head_gate({})

    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        """Return kappa^m by the teachers; with the student's scores it is not known yet."""
        self.own_scores.clear()
        if self.wants_unimodal_logits:
            return {}
        self.kappa = self._suppressed(state, rho)
        return self.kappa

    def at_the_door(self, state: TrainState, kappa: dict[str, float]) -> dict[str, float]:
        return super().at_the_door(state, kappa) if self.at_features else {}

    def observe(self, output: Output, batch: Batch) -> None:
        if self.wants_unimodal_logits:
            self.own_scores.add(output, batch)

    def before_update(self, state: TrainState) -> dict[str, float]:
        if self.at_features:
            return {}
        if self.wants_unimodal_logits:
            self.kappa = self._suppressed(state, self.own_scores.means(state))
        selected = partial(in_scope, scope=self.scope)
        at_gradient = modulated(
            state, self.kappa, self.modulate, heads=self.gate_heads, only=selected
        )
        for m, kappa in at_gradient.items():
            modules = state.branch(m) if self.gate_heads else [state.model.encoders[m]]
            for parameter in chain.from_iterable(module.parameters() for module in modules):
                if selected(parameter):
                    scale_gradient_of(parameter, kappa)
        return self.kappa

    def _suppressed(self, state: TrainState, scores: Mapping[str, float]) -> dict[str, float]:
        last = first_epochs(self.epochs, state.epochs, "epochs")
        if last is not None and state.epoch > last:
            return dict.fromkeys(scores, 1.0)
        return partial_suppression(scores, strength=self.alpha)


MODULATIONS: dict[str, type[Modulation]] = {"smp": SMP, "partial_suppression": PartialSuppression}
