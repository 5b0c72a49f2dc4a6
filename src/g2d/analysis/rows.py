"""One pass over some rows, kept: what every figure of this package is computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.task import Task
from g2d.types import Batch, Output

Predict = Callable[[Batch], Output]
"""How a model is asked; of your own model: a function that returns an Output with its unimodal logits."""


@dataclass(frozen=True)
class Rows:
    """What a model said about N rows, on the CPU.

    Args:
        logits: ``(N, C)`` fused.
        unimodal: per modality ``(N, C)``; empty if the model has no unimodal prediction.
        features: per modality ``(N, D_m)``.
        target: ``(N,)`` or ``(N, C)``.
        has: per modality ``(N,)`` bool.
        group: ``(N,)``; rows of one group are not independent, and are drawn together by a bootstrap.
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
        return tuple(self.features)

    def at(self, rows: NDArray[np.int64]) -> Rows:
        """Some of the rows."""
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
        """Per row, the probability given to the truth by a modality's own prediction, or by the fused one; NaN where the row lacks the modality."""
        return self._where(task.confidence(self._logits(modality), self.target), modality)

    def hits(self, task: Task, modality: str | None = None) -> NDArray[np.float64]:
        """Per row what the headline metric rewards: 1 for the right class; for values, minus the squared error in the scaled unit."""
        logits = self._logits(modality)
        found = (
            (task.predict(logits) == self.target).float()
            if self.target.ndim == 1
            else -task.loss_per_row(logits, self.target)
        )
        return self._where(found, modality)

    def _logits(self, modality: str | None) -> Tensor:
        if modality is not None and modality not in self.unimodal:
            raise ArgumentError(
                f"rows must hold the unimodal logits of {modality!r}, found none: ask the model for them."
            )
        return self.logits if modality is None else self.unimodal[modality]

    def _where(self, values: Tensor, modality: str | None) -> NDArray[np.float64]:
        found: NDArray[np.float64] = values.double().numpy().copy()
        if modality is not None:
            found[~self.has[modality].numpy()] = np.nan
        return found


@torch.no_grad()
def collect(
    predict: Predict, batches: Iterable[Batch], group: NDArray[np.int64] | None = None
) -> Rows:
    """Ask a model about every row, once.

    Args:
        predict: how it is asked; in eval mode, by its method's own rule.
        batches: rows as the encoders take them.
        group: per row; by default every row is its own.

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
        raise ArgumentError("batches must hold rows to analyse, found none.")
    names = tuple(kept[0][1].features)

    def joined(parts: Iterable[Tensor]) -> Tensor:
        return torch.cat([part.detach().cpu() for part in parts])

    z = [output.unimodal_logits for _, output in kept if output.unimodal_logits]
    target = joined(batch.target for batch, _ in kept)
    return Rows(
        joined(output.logits.float() for _, output in kept),
        {m: joined(part[m].float() for part in z) for m in z[0]} if z else {},
        {m: joined(output.features[m].float() for _, output in kept) for m in names},
        target,
        {m: joined(batch.has(m) for batch, _ in kept) for m in names},
        np.arange(len(target))
        if group is None
        else np.unique(np.asarray(group), return_inverse=True)[1],
    )
