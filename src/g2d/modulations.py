"""Modulations: Sequential Modality Prioritization, and the partial suppression of Table 6.

Both give one coefficient kappa per modality: from the teachers' confidence before the forward pass,
or, if partial suppression scores the student, after the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor

from g2d.errors import ArgumentError, UnsupportedError
from g2d.functional.lags import PATIENCE, Turns, next_turn
from g2d.functional.schedule import (
    Tau,
    checked_tau,
    coefficients,
    partial_suppression,
    prioritized,
    stage_epochs,
)
from g2d.functional.windows import checked_length, first_epochs
from g2d.method import (
    AUTO,
    LAG,
    Modulate,
    Modulation,
    Ranking,
    Scope,
    StudentScores,
    TrainState,
    Validation,
    automatic,
    check_rows,
    checked_ranking,
    in_scope,
    kind_of,
    modulated,
    order_of,
    own_scores,
    run_order,
    scale_gradient_of,
    split_confidence,
    teachers_scores,
)
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task
from g2d.types import Batch, Output


class SMP(Modulation):
    """Sequential Modality Prioritization: weaker modalities learn first, alone  (Eqs. 6-8).

    In stage j < k only the encoder of pi[j] learns, the j-th least confident; in the last stage all
    encoders learn. The backward pass of the others is not computed.

    Args:
        tau: Prioritization epochs tau_1..tau_k, one per stage; 0 skips a stage. Whole epochs, or
            shares of the run such as ``(0.25, 0.25, 0.5)``. If left out, the ranking ``"lag"``
            decides; with other rankings, half of the run is divided equally over the exclusive
            stages and all modalities learn in the other half.
            ``"none"`` suppresses nothing. See :func:`g2d.functional.schedule.stage_epochs`.
        ranking: Who learns first: a name below, or all modalities in an order of one's own.
            Rankings by the teachers' confidence begin with the least confident modality. All but
            ``"batch"``, ``"random"`` and an order need ``TrainState(rows=...)``.

            - ``"auto"``: ``"lag"`` if ``tau`` is left out and the fusion adds one part per
              modality, otherwise ``"memorization"``;
            - ``"memorization"``: by the confidence on the training rows minus on the validation
              rows, once: the modality whose teacher memorized least learns first;
            - ``"batch"``: on the training batch, in every update (the paper's);
            - ``"epoch"``: on all training rows, in every epoch;
            - ``"dataset"``: on all training rows, once;
            - ``"validation"``: on the validation rows, once;
            - ``"lag"``: the modality furthest behind its teacher on the validation rows, after
              every epoch; turns are as long as they help, see :func:`g2d.functional.next_turn`.
              All modalities learn in the first epoch, and floor(E/2) of the E epochs at most are
              exclusive. ``tau`` must be left out;
            - ``"random"``: a random order, drawn once from the seed of the run;
            - the names but ``"auto"`` and ``"random"`` with the end ``"-reversed"``: in the
              opposite order.
        modulate: See :class:`~g2d.method.Modulation`.
        gate_heads: See :class:`~g2d.method.Modulation`.
        freeze_batchnorm: See :class:`~g2d.method.Modulation`.

    Raises:
        ArgumentError: tau or ranking is not valid, or the two contradict each other.

    Source: Rakib & Bagavathi, ICCV 2025, Section 3.3.
    """

    turns: Tensor

    def __init__(
        self,
        *,
        tau: Tau = None,
        ranking: Ranking = AUTO,
        modulate: Modulate = "auto",
        gate_heads: bool = False,
        freeze_batchnorm: bool = False,
    ) -> None:
        super().__init__(
            modulate=modulate, gate_heads=gate_heads, freeze_batchnorm=freeze_batchnorm
        )
        self.tau, self.given = checked_tau(tau), checked_ranking(ranking)
        self._rank_by(self.given)
        if self.by == LAG and tau not in (None, "none"):
            raise ArgumentError(
                f"tau must be left out with ranking={ranking!r}, whose turns are as long as they "
                f"help, found {tau!r}."
            )
        self.order: tuple[str, ...] | None = None
        self.of_teachers: dict[str, float] = {}
        self.learner: str | None = None

    def _rank_by(self, ranking: Ranking) -> None:
        self.ranking = ranking
        self.by, self.reverse = kind_of(ranking)

    @property
    def exclusive(self) -> bool:
        return self.tau != "none"

    def build(self, model: MultimodalModel, task: Task) -> None:
        """Check the modulation against the model.

        Raises:
            ArgumentError: tau or the order does not fit the modalities.
            UnsupportedError: The ranking needs unimodal logits, which the fusion does not have.
        """
        checked_tau(self.tau, model.modalities)
        checked_ranking(self.given, model.modalities)
        if self.given == AUTO:
            self._rank_by(automatic(self.tau, additive=model.fusion.additive))
        if self.by != LAG:
            return
        if not model.fusion.has_unimodal_logits:
            raise UnsupportedError(
                f"fusion must have unimodal logits with ranking={self.ranking!r}, found "
                f"{type(model.fusion).__name__.lower()}, which has none. Use late fusion or "
                "another ranking."
            )
        self.register_buffer("turns", _packed(Turns(), model.modalities))

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
        if self.by == LAG:
            if not self.of_teachers:
                check_rows(self.ranking, state)
                self.of_teachers = teachers_scores(state, teachers)
            self.learner = _unpacked(self.turns, teachers.modalities).learner
        elif self.by == "order":
            self.order = tuple(self.ranking)
        elif self.by == "epoch":
            score = split_confidence(state.task, teachers, state.train_rows())
            self.order = order_of(score, reverse=self.reverse)
        elif self.by != "batch" and self.order is None:
            self.order = run_order(self.ranking, state, teachers)

    def epoch_state(self) -> dict[str, Any]:
        return {"order": self.order, "of_teachers": self.of_teachers, "learner": self.learner}

    def load_epoch_state(self, values: Mapping[str, Any]) -> None:
        self.order = None if values["order"] is None else tuple(values["order"])
        self.of_teachers, self.learner = dict(values["of_teachers"]), values["learner"]

    def coefficients(self, state: TrainState, rho: Mapping[str, float]) -> dict[str, float]:
        if self.tau == "none":
            return dict.fromkeys(rho, 1.0)
        if self.by == LAG:
            return coefficients(rho if self.learner is None else (self.learner,), tuple(rho))
        tau = self.stages(state, tuple(rho))
        order = self.order or order_of(rho, reverse=self.reverse)
        return coefficients(prioritized(order, state.epoch, tau), tuple(rho))

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        if self.by != LAG or self.tau == "none":
            return {}
        own = {} if validation is None else own_scores(state.task, validation)
        if not own:
            raise ArgumentError(
                "validation must hold the student's unimodal confidence and score at the end of "
                f"every epoch with ranking={self.ranking!r}, found none. "
                "Call method.epoch_end(state, Validation(...)), or pass an order such as "
                "ranking=g2d.rank(teachers, train, valid)."
            )
        lag = {m: teacher - own.get(m, math.nan) for m, teacher in self.of_teachers.items()}
        names, most = tuple(lag), (state.epochs or 0) // 2
        turns = next_turn(_unpacked(self.turns, names), lag, most, smallest_first=self.reverse)
        self.turns.copy_(_packed(turns, names))
        return {f"lag/{m}": value for m, value in lag.items()}


def _packed(turns: Turns, modalities: Sequence[str]) -> Tensor:
    """Return turns as numbers, so that a checkpoint keeps them."""
    learner = -1 if turns.learner is None else modalities.index(turns.learner)
    lags = turns.lags
    finished = [m in turns.finished for m in modalities]
    padding = [0.0] * (PATIENCE + 1 - len(lags))
    numbers = [learner, turns.exclusive, turns.over, len(lags), *finished, *lags, *padding]
    return torch.tensor([float(number) for number in numbers])


def _unpacked(numbers: Tensor, modalities: Sequence[str]) -> Turns:
    """Return the turns that :func:`_packed` turned into numbers."""
    learner, exclusive, over, count, *rest = numbers.tolist()
    k = len(modalities)
    return Turns(
        learner=None if learner < 0 else modalities[int(learner)],
        finished=tuple(m for m, done in zip(modalities, rest[:k], strict=True) if done),
        exclusive=int(exclusive),
        lags=tuple(rest[k : k + int(count)]),
        over=bool(over),
    )


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
