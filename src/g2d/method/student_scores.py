"""Scores of the student's own predictions over a whole batch."""

from __future__ import annotations

import torch
from torch import Tensor

from g2d.functional.sums import sum_and_count
from g2d.method.state import TrainState
from g2d.task import Task
from g2d.types import Batch, Output


class StudentScores:
    """Mean confidence in the true target of every unimodal prediction z^m, over a whole batch.

    Add the output of every part of a batch, then read the means.

    Args:
        task: Kind of target, which defines the confidence.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._sums: list[Tensor] = []

    def clear(self) -> None:
        """Forget all parts; call it before a new batch."""
        self._sums = []

    def add(self, output: Output, batch: Batch) -> None:
        """Add the rows of a part.

        Args:
            output: Output of the student, with unimodal logits.
            batch: Rows of the part.
        """
        assert output.unimodal_logits is not None
        sums = [
            sum_and_count(self.task.confidence(z, batch.target), batch.has(m))
            for m, z in output.unimodal_logits.items()
        ]
        self._sums.append(torch.stack(sums))

    def means(self, state: TrainState) -> dict[str, float]:
        """Return s^m over the batch of all processes; 0 for a modality that no row has."""
        total = state.sum_across_processes(torch.stack(self._sums).sum(0)).tolist()
        names = state.model.modalities
        return {m: s / max(n, 1.0) for m, (s, n) in zip(names, total, strict=True)}
