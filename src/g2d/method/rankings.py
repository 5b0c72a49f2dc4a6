"""Confidence of the teachers, and how reliable the ranking is that follows from it (Eq. 5)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from g2d.functional.scoring import flip_rate, margin, ranking
from g2d.functional.sums import sum_and_count
from g2d.method.contract import Validation
from g2d.method.state import TrainState
from g2d.model import Teachers
from g2d.task import Task
from g2d.types import Batch, TeacherOutput

DOUBTFUL = 0.10
"""Rankings that flip more often, or whose teachers are closer, cause a warning."""


class RankingLog:
    """Log of the teachers' confidence over the updates of an epoch.

    Attributes:
        validation: Confidence of the teachers on the validation split, if known.
    """

    def __init__(self) -> None:
        self.validation: dict[str, float] | None = None
        self.clear()

    def clear(self) -> None:
        """Delete the updates that were logged."""
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.sums: dict[str, float] = {}

    def add(self, rho: Mapping[str, float]) -> None:
        """Log the confidence of one update."""
        self.counts[ranking(rho)] += 1
        self.sums = {m: self.sums.get(m, 0.0) + value for m, value in rho.items()}

    def state(self) -> dict[str, Any]:
        """Return the log as values that JSON can hold."""
        counts = [[list(order), count] for order, count in self.counts.items()]
        return {"validation": self.validation, "counts": counts, "sums": self.sums}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.validation, self.sums = state["validation"], dict(state["sums"])
        self.counts = Counter({tuple(order): count for order, count in state["counts"]})

    @property
    def mean(self) -> dict[str, float]:
        """Mean confidence over the updates."""
        return {m: total / max(self.counts.total(), 1) for m, total in self.sums.items()}

    def summary(self) -> dict[str, float]:
        """Return the values to record.

        Returns:
            ``confidence/<m>`` and ``confidence_validation/<m>`` per modality, and with two
            modalities or more ``ranking/flip_rate`` and ``ranking/margin``.
        """
        validation = self.validation or {}
        record = {f"confidence/{m}": value for m, value in self.mean.items()}
        record |= {f"confidence_validation/{m}": value for m, value in validation.items()}
        if len(self.sums) > 1:
            record["ranking/flip_rate"] = flip_rate(self.counts)
            record["ranking/margin"] = margin(self.mean)
        return record

    def doubts(self, by: str = "batch") -> dict[str, str]:
        """Return warnings about an unreliable ranking by topic; empty if it is reliable.

        Args:
            by: The ranking without its end; one that does not use the confidence on training rows
                alone has no doubts here.
        """
        if len(self.sums) < 2 or by not in ("batch", "epoch", "dataset"):
            return {}
        warnings = {}
        if by == "batch" and (rate := flip_rate(self.counts)) > DOUBTFUL:
            warnings["flip_rate"] = (
                f"The ranking is unreliable: it flips in {rate:.0%} of the updates. "
                "ranking='dataset' keeps it fixed."
            )
        if (gap := margin(self.mean)) < DOUBTFUL:
            warnings["margin"] = (
                f"The ranking is unreliable: teachers differ by only {gap:.2f} in confidence on "
                "the training rows."
            )
        if self.validation is not None and ranking(self.mean) != ranking(self.validation):
            train, valid = (" < ".join(ranking(rho)) for rho in (self.mean, self.validation))
            warnings["disagreement"] = (
                f"The ranking is unreliable: it is {train} by training confidence and {valid} by "
                "validation confidence. ranking='memorization' uses both."
            )
        return warnings


def batch_confidence(state: TrainState, batch: Batch, teacher: TeacherOutput) -> dict[str, float]:
    """Return rho_t^m over the batch of all processes  (Eq. 5).

    Sums and counts are added up before dividing, so that parts of unequal size weigh correctly. A
    modality that no row of the batch has gets infinite confidence and is ranked last, since nothing
    can be learned from it.
    """
    return _mean_confidence(state, [_confidence_sums(state.task, batch, teacher)])


@torch.no_grad()
def split_confidence(task: Task, teachers: Teachers, batches: Iterable[Batch]) -> dict[str, float]:
    """Return rho_t^m over many batches, which are the same on every process."""
    sums = [_confidence_sums(task, batch, teachers(batch)) for batch in batches]
    return _mean_confidence(None, sums)


@torch.no_grad()
def teachers_scores(state: TrainState, teachers: Teachers) -> dict[str, float]:
    """Return how much every teacher has learned, on the validation rows.

    It is comparable with :func:`own_scores` of the student.
    """
    task, metrics = state.task, {m: state.task.metrics() for m in teachers.modalities}
    confidence = split_confidence(task, teachers, state.validation_rows())
    for batch in state.validation_rows():
        for m, logits in teachers(batch).ranking_logits.items():
            rows = batch.has(m).bool()
            metrics[m].update(logits[rows], batch.target[rows])
    score = {m: own.compute()[task.headline] for m, own in metrics.items()}
    return {m: task.learned(confidence[m], score[m]) for m in teachers.modalities}


def own_scores(task: Task, validation: Validation) -> dict[str, float]:
    """Return how much the student's own predictions from the modalities have learned."""
    return {
        m: task.learned(validation.unimodal_confidence.get(m, math.nan), score)
        for m, score in validation.unimodal_score.items()
    }


def _confidence_sums(task: Task, batch: Batch, teacher: TeacherOutput) -> dict[str, Tensor]:
    return {
        m: sum_and_count(task.confidence(logits, batch.target), batch.has(m))
        for m, logits in teacher.ranking_logits.items()
    }


def _mean_confidence(state: TrainState | None, sums: list[dict[str, Tensor]]) -> dict[str, float]:
    total = torch.stack([torch.stack([part[m] for part in sums]).sum(0) for m in sums[0]])
    if state is not None:
        total = state.sum_across_processes(total)
    by_modality = zip(sums[0], total.tolist(), strict=True)
    return {m: s / n if n else float("inf") for m, (s, n) in by_modality}
