"""Batches in an order that is a function of (seed, epoch), from any position on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from g2d.data.source import Source
from g2d.data.splits import Split
from g2d.errors import ArgumentError
from g2d.spawning import needs_main, spawning
from g2d.types import Batch

STOP_SIGNALS = {getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)}
"""Signals that stop a run; some systems lack the last one."""
SECONDS_AFTER_SIGTERM = 60
"""Time that a process that reads ahead lives after SIGTERM, unless it is stopped earlier."""


class Loader:
    """Batches of a split, as the model sees them.

    A last training batch with fewer than two rows per process joins the one before it, because
    BatchNorm needs two rows.

    Args:
        source: Source of the rows.
        split: Name of the split.
        batch_size: Rows of one update, over all processes together.
        seed: Seed of the order and the views.
        shuffle: Whether every epoch has a new order.
        device: Device on which views are computed and batches are returned.
        workers: Number of processes that read ahead; 0 reads in this one.
        process: Number of this process, from 0.
        processes: Number of processes. Each global batch is cut into near-equal parts, so that
            several processes see the same batches as one.
    """

    def __init__(
        self,
        source: Source,
        split: Split,
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
            rule = f"batch_size must be at least the number of processes ({processes})"
            raise ArgumentError(f"{rule}, found {batch_size}.")
        self.source, self.split, self.batch_size = source, split, batch_size
        self.seed, self.shuffle = seed, shuffle
        self.device, self.workers = torch.device(device), workers
        self.process, self.processes = process, processes
        self.ids = source.rows(split)

    def __len__(self) -> int:
        return len(self.cuts(len(self.ids)))

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch]:
        """Yield the batches of an epoch.

        Args:
            epoch: Epoch.
            start: Number of the first batch to yield.
        """
        yield from self._batches(self.order(epoch), epoch, start)

    def sample(self, fraction: float, epoch: int) -> Iterator[Batch]:
        """Yield batches over a share of the rows, at least one row, the same in every process.

        Args:
            fraction: Share of the rows, in (0, 1].
            epoch: Epoch whose order begins with the chosen rows.
        """
        order = self.order(epoch) if fraction < 1 else self.ids
        rows = order[: max(1, round(fraction * len(order)))]
        yield from self._batches(rows, epoch, 0, whole=True)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the sample ids in the order of an epoch."""
        if not self.shuffle:
            return self.ids
        return np.random.default_rng([self.seed, epoch]).permutation(self.ids)

    def cuts(self, rows: int) -> list[slice]:
        """Return where the global batches of that many rows begin and end."""
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
        # With its own generator, the reader draws nothing from torch's global one.
        reader: DataLoader[Batch] = DataLoader(
            _Rows(self.source),
            batch_sampler=parts,
            collate_fn=_identity,
            num_workers=self.workers,
            worker_init_fn=_end_with_parent,
            multiprocessing_context=self._context(),
            generator=torch.Generator(),
        )
        train = self.split == "train"
        with _signals_later():
            batches = iter(reader)
        for batch in batches:
            batch = batch.to(self.device)
            yield self.source.view(batch, seed=self.seed, epoch=epoch, train=train)

    def _context(self) -> BaseContext | None:
        """Return how readers start; None is torch's way, which is best where processes fork."""
        if not self.workers or multiprocessing.get_start_method() == "fork":
            return None
        return spawning(main=needs_main(self.source))


class _Rows(Dataset[Batch]):
    """Rows of a source, gathered a whole batch at a time."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return self.source.size

    def __getitems__(self, indices: NDArray[np.int64]) -> Batch:
        return self.source.gather(indices)


@contextmanager
def _signals_later() -> Iterator[None]:
    """Let signals wait while readers start, so that none meets a reader without its handlers."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent(worker: int) -> None:
    """Leave signals to the training process, which needs its readers until it has stopped.

    They often reach all processes of a command. After SIGTERM a reader ends by itself, but only
    after a while. If the training process was killed, its readers end without a word about the
    connection that they lost.

    Args:
        worker: Number of the reader.
    """
    parent, show = os.getppid(), sys.excepthook

    def while_it_lives(*error: Any) -> None:
        time.sleep(0.1)  # the connection breaks right before the parent has ended
        if os.getppid() == parent:
            show(*error)

    sys.excepthook = while_it_lives
    for number in STOP_SIGNALS - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(SECONDS_AFTER_SIGTERM))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _identity(batch: Any) -> Any:
    return batch
