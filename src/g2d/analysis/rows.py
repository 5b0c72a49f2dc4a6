"""Output of a model for some rows, from which all figures of this package are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.precision import at_least_float32
from g2d.task import Task
from g2d.types import Batch, Output

Predict = Callable[[Batch], Output]
"""Function that returns a model's Output for a batch, with unimodal logits if it has any."""


@dataclass(frozen=True)
class Rows:
    """Output of a model for N rows, on the CPU.

    Args:
        logits: Fused logits ``(N, C)``.
        unimodal: Unimodal logits ``(N, C)`` per modality; empty if the model has none.
        features: Features ``(N, D_m)`` per modality.
        target: Targets ``(N,)`` or ``(N, C)``.
        has: Rows that have the modality ``(N,)``, bool, per modality.
        group: Number of each row's group ``(N,)``; rows of one group are not independent, and a
            bootstrap draws them together.
    """

    logits: Tensor
    unimodal: Mapping[str, Tensor]
    features: Mapping[str, Tensor]
    target: Tensor
    has: Mapping[str, Tensor]
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the data."""
        return tuple(self.features)

    def at(self, rows: NDArray[np.int64]) -> Rows:
        """Return some of the rows.

        Args:
            rows: Row numbers.
        """
        index = torch.from_numpy(rows)
        unimodal, features, has = (
            {m: values[index] for m, values in table.items()}
            for table in (self.unimodal, self.features, self.has)
        )
        return Rows(
            self.logits[index],
            unimodal,
            features,
            self.target[index],
            has,
            np.unique(self.group[rows], return_inverse=True)[1],
        )

    def confidence(self, task: Task, modality: str | None = None) -> NDArray[np.float64]:
        """Return the confidence of each row in its true target (Eq. 5).

        Args:
            task: Kind of target.
            modality: Modality whose own prediction counts; None for the fused prediction.

        Returns:
            Confidence ``(N,)``; NaN where the row lacks the modality.
        """
        return self._where(task.confidence(self._logits(modality), self.target), modality)

    def hits(self, task: Task, modality: str | None = None) -> NDArray[np.float64]:
        """Return the quantity of each row that the score rewards (:meth:`g2d.task.Task.hits`).

        Args:
            task: Kind of target.
            modality: Modality whose own prediction counts; None for the fused prediction.

        Returns:
            Values ``(N,)``; NaN where the row lacks the modality.
        """
        return self._where(task.hits(self._logits(modality), self.target), modality)

    def _logits(self, modality: str | None) -> Tensor:
        if modality is not None and modality not in self.unimodal:
            raise ArgumentError(
                f"rows must hold the unimodal logits of {modality!r}, found none. "
                "Use a predict function that returns them."
            )
        return self.logits if modality is None else self.unimodal[modality]

    def _where(self, values: Tensor, modality: str | None) -> NDArray[np.float64]:
        """Return values as an array, NaN in rows that lack the modality."""
        array: NDArray[np.float64] = values.double().numpy().copy()
        if modality is not None:
            array[~self.has[modality].numpy()] = np.nan
        return array


@torch.no_grad()
def collect(
    predict: Predict, batches: Iterable[Batch], group: NDArray[np.int64] | None = None
) -> Rows:
    """Run a model once on every row.

    Args:
        predict: Function that returns the Output for a batch, with the model in eval mode.
        batches: Batches as the encoders take them.
        group: Group of every row ``(N,)``; by default every row is a group.

    Raises:
        ArgumentError: There are no rows.

    Example:
        >>> from g2d.fusion import Late
        >>> from g2d.model import MultimodalModel
        >>> model = MultimodalModel({"image": torch.nn.Linear(2, 3)}, Late({"image": 3}, 4)).eval()
        >>> batch = Batch({"image": torch.zeros(5, 2)}, torch.zeros(5, dtype=torch.int64))
        >>> rows = collect(lambda batch: model(batch.inputs, unimodal=True), [batch])
        >>> len(rows), rows.modalities
        (5, ('image',))
    """
    kept = [(batch, predict(batch)) for batch in batches]
    if not kept:
        raise ArgumentError("batches must hold rows to analyze, found none.")
    names = tuple(kept[0][1].features)

    def joined(parts: Iterable[Tensor]) -> Tensor:
        return torch.cat([part.detach().cpu() for part in parts])

    z = [output.unimodal_logits for _, output in kept if output.unimodal_logits]
    target = joined(batch.target for batch, _ in kept)
    return Rows(
        joined(at_least_float32(output.logits) for _, output in kept),
        {m: joined(at_least_float32(part[m]) for part in z) for m in z[0]} if z else {},
        {m: joined(at_least_float32(output.features[m]) for _, output in kept) for m in names},
        target,
        {m: joined(batch.has(m) for batch, _ in kept) for m in names},
        group_numbers(group, len(target)),
    )


def group_numbers(group: NDArray[np.int64] | None, rows: int) -> NDArray[np.int64]:
    """Return groups numbered from 0 without gaps; by default every row is a group.

    Args:
        group: Group of every row, or None.
        rows: Number of rows.

    Example:
        >>> group_numbers(np.array([7, 3, 7]), 3).tolist()
        [1, 0, 1]
    """
    return (
        np.arange(rows) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
    )


def reward(task: Task, logits: Tensor, target: Tensor) -> NDArray[np.float64]:
    """Return the share of the score that each row contributes; its mean is the score.

    The score is the accuracy, of several labels per row the subset accuracy; for values it is the
    explained share of their variance (R²), and a row contributes 1 - ||p - y||² / Var(y).

    Args:
        task: Kind of target.
        logits: Logits ``(N, C)``.
        target: Targets ``(N,)`` or ``(N, C)`` of the same rows, whose variance is that of all.

    Example:
        >>> from g2d.task import Regression
        >>> y = torch.tensor([[0.0], [2.0]])
        >>> reward(Regression(output="identity"), torch.tensor([[0.0], [1.0]]), y).tolist()
        [1.0, 0.0]
    """
    right: NDArray[np.float64] = task.hits(logits, target).double().numpy()
    return right if task.discrete else 1 + right / variance(target)


def variance(target: Tensor) -> float:
    """Return the mean variance of the outputs of a regression.

    Args:
        target: Values ``(N, C)``.
    """
    return max(float(target.float().var(0, unbiased=False).mean()), 1e-12)


def chance_score(task: Task, target: Tensor) -> float:
    """Return the score of the best constant prediction: the most frequent answer's share, or 0.

    Args:
        task: Kind of target.
        target: Targets ``(N,)`` or ``(N, C)``.
    """
    if not task.discrete:
        return 0.0
    return float(target.unique(dim=0, return_counts=True)[1].max() / len(target))
