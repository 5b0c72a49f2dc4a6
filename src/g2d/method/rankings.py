"""The teachers' confidence, and how far the ranking it gives can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from g2d.functional.scoring import flip_rate, margin, ranking
from g2d.method.state import TrainState
from g2d.model import Teachers
from g2d.task import Task
from g2d.types import Batch, TeacherOutput


class RankingLog:
    """The teachers' confidence over an epoch's updates, and whether the ranking it gives can be trusted.

    Attributes:
        validation: their confidence on the validation split, if known.
    """

    def __init__(self) -> None:
        self.validation: dict[str, float] | None = None
        self.clear()

    def clear(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.sums: dict[str, float] = {}

    def add(self, rho: Mapping[str, float]) -> None:
        self.counts[ranking(rho)] += 1
        self.sums = {m: self.sums.get(m, 0.0) + value for m, value in rho.items()}

    @property
    def mean(self) -> dict[str, float]:
        return {m: total / max(self.counts.total(), 1) for m, total in self.sums.items()}

    def summary(self) -> dict[str, float]:
        """``confidence/m`` on train and validation, ``ranking/flip_rate``, ``ranking/margin``."""
        record = {f"confidence/{m}": value for m, value in self.mean.items()}
        record |= {
            f"confidence_validation/{m}": value for m, value in (self.validation or {}).items()
        }
        if len(self.sums) > 1:
            record |= {
                "ranking/flip_rate": flip_rate(self.counts),
                "ranking/margin": margin(self.mean),
            }
        return record

    def doubts(self) -> dict[str, str]:
        """Sentences about a ranking that may pick the wrong modality, by what is doubtful; empty if nothing is."""
        if len(self.sums) < 2:
            return {}
        found = {}
        if (rate := flip_rate(self.counts)) > 0.10:
            found["flip_rate"] = (
                f"The ranking is in doubt: it flips in {rate:.0%} of the updates. ranking='dataset' keeps it fixed."
            )
        if (gap := margin(self.mean)) < 0.10:
            found["margin"] = (
                f"The ranking is in doubt: teachers differ by only {gap:.2f} in confidence on the training rows."
            )
        if self.validation is not None and ranking(self.mean) != ranking(self.validation):
            train, valid = (" < ".join(ranking(rho)) for rho in (self.mean, self.validation))
            found["disagreement"] = (
                f"The ranking is in doubt: training confidence says {train}, validation confidence {valid}. ranking='memorization' weighs both."
            )
        return found


def batch_confidence(state: TrainState, batch: Batch, teacher: TeacherOutput) -> dict[str, float]:
    """rho_t^m over the batch of all processes  (Eq. 5), from sums and counts so that uneven parts weigh right.

    A modality that no row of the batch has is put last (infinite confidence: nothing to learn from it).
    """
    return _mean_confidence(state, [_confidence_sums(state.task, batch, teacher)])


@torch.no_grad()
def split_confidence(
    state: TrainState, teachers: Teachers, batches: Iterable[Batch]
) -> dict[str, float]:
    """rho_t^m over many batches, which every process sees whole."""
    sums = [_confidence_sums(state.task, batch, teachers(batch)) for batch in batches]
    return _mean_confidence(None, sums)


def _confidence_sums(task: Task, batch: Batch, teacher: TeacherOutput) -> dict[str, Tensor]:
    sums = {}
    for m, logits in teacher.ranking_logits.items():
        confidence = task.confidence(logits, batch.target)
        present = batch.has(m).to(confidence)
        sums[m] = torch.stack([(confidence * present).sum(), present.sum()]).double()
    return sums


def _mean_confidence(state: TrainState | None, sums: list[dict[str, Tensor]]) -> dict[str, float]:
    total = torch.stack([torch.stack([part[m] for part in sums]).sum(0) for m in sums[0]])
    if state is not None:
        total = state.sum_across_processes(total)
    return {
        m: s / n if n else float("inf") for m, (s, n) in zip(sums[0], total.tolist(), strict=True)
    }
