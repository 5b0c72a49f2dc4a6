"""Batches in an order that is a function of (seed, epoch), at a position that is an integer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from g2d.data.source import Source
from g2d.errors import ArgumentError
from g2d.types import Batch


class Loader:
    """Batches of a split, as the model sees them.

    Args:
        source: where the rows are. split: which of them.
        batch_size: rows of one update, over all processes together.
        seed: of order and views. shuffle: a new order every epoch.
        device: where views are computed and batches end up.
        workers: processes that read ahead; 0 reads in this one.
        process, processes: every global batch is cut into near-equal parts, so that two processes see the batches of one.

    A last training batch with fewer than two rows per process joins the one before (BatchNorm needs two).
    """

    def __init__(
        self,
        source: Source,
        split: str,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = False,
        device: torch.device | str = "cpu",
        workers: int = 0,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        if batch_size < processes:
            raise ArgumentError(
                f"batch_size must be at least the number of processes ({processes}), found {batch_size}."
            )
        self.source, self.split, self.batch_size, self.seed, self.shuffle = (
            source,
            split,
            batch_size,
            seed,
            shuffle,
        )
        self.device, self.workers, self.process, self.processes = (
            torch.device(device),
            workers,
            process,
            processes,
        )
        self.ids = source.rows(split)

    def __len__(self) -> int:
        return len(self.cuts(len(self.ids)))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from a position on."""
        yield from self._batches(self.order(epoch), epoch, start)

    def sample(self, fraction: float, epoch: int) -> Iterator[Batch]:
        """Batches over a share of the rows, whole on every process; at least one row."""
        order = self.order(epoch) if fraction < 1 else self.ids
        rows = order[: max(1, round(fraction * len(order)))]
        yield from self._batches(rows, epoch, 0, whole=True)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Sample ids in the order of an epoch."""
        if not self.shuffle:
            return self.ids
        return np.random.default_rng([self.seed, epoch]).permutation(self.ids)

    def cuts(self, rows: int) -> list[slice]:
        """Where the global batches begin and end."""
        edges = [*range(0, rows, self.batch_size), rows]
        if self.split == "train" and len(edges) > 2 and edges[-1] - edges[-2] < 2 * self.processes:
            edges.pop(-2)
        return [slice(a, b) for a, b in pairwise(edges)]

    def _batches(
        self, order: NDArray[np.int64], epoch: int, start: int, whole: bool = False
    ) -> Iterator[Batch]:
        parts: list[Any] = [
            order[cut] if whole else np.array_split(order[cut], self.processes)[self.process]
            for cut in self.cuts(len(order))[start:]
        ]
        # An order of its own for the reading: sampling draws nothing from torch's global generator.
        reader: DataLoader[Batch] = DataLoader(
            _Rows(self.source),
            batch_sampler=parts,
            collate_fn=_identity,
            num_workers=self.workers,
            generator=torch.Generator(),
            pin_memory=False,
        )
        for batch in reader:
            yield self.source.view(
                batch.to(self.device), seed=self.seed, epoch=epoch, train=self.split == "train"
            )


class _Rows(Dataset[Batch]):
    """Gathers a whole batch at once."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return self.source.size

    def __getitems__(self, indices: NDArray[np.int64]) -> Batch:
        return self.source.gather(indices)


def _identity(batch: Any) -> Any:
    return batch
