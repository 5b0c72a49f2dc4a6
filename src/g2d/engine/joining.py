"""The store through which the processes of one start of ``torchrun`` join.

``torchrun`` keeps its store when it restarts the processes. Those of the new start would read the
addresses of the old ones there, so every start has a prefix of its own, on which its processes
agree.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from datetime import timedelta

from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from g2d.errors import RunError

PAUSE = 0.05
"""Seconds between two looks into the store."""
PATIENCE = 600.0
"""Seconds until a process that has not joined is an error."""


def store_of_this_start() -> tuple[Store, str, int, int]:
    """Return the store of ``torchrun``, the prefix of this start, and rank and number of processes.

    Raises:
        RunError: Some processes did not join in time.
    """
    store, rank, processes = next(rendezvous("env://"))
    return store, agreed_prefix(store, rank, processes), rank, processes


def connection(seconds: float) -> Store:
    """Return a new connection to the store of ``torchrun``, for use by another thread.

    Args:
        seconds: Longest time for an answer.
    """
    return TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        wait_for_workers=False,
        timeout=timedelta(seconds=seconds),
    )


def agreed_prefix(store: Store, rank: int, processes: int, patience: float = PATIENCE) -> str:
    """Return a prefix that rank 0 has drawn, and that no earlier start has used.

    Every process writes a random word. Rank 0 publishes the prefix with all words that it sees, and
    a process takes the prefix once its own word is among them: what an earlier start has left in
    the store holds other words.

    Args:
        store: Shared by all processes, and by those of earlier starts.
        rank: Number of this process.
        processes: Number of processes.
        patience: Seconds to wait for the others.

    Raises:
        RunError: Some processes did not join in time.
    """
    own, deadline = uuid.uuid4().hex, time.monotonic() + patience
    names = [f"g2d/joins/{other}" for other in range(1, processes)]
    if rank == 0:
        prefix = f"g2d/{own}"

        def welcomed() -> bool:
            words = [_read(store, name) for name in names]
            store.set("g2d/welcome", json.dumps([prefix, words]))
            return int(store.add(f"{prefix}/joined", 0)) == processes - 1

        _wait(welcomed, deadline, processes)
        return prefix
    store.set(f"g2d/joins/{rank}", own)
    taken: list[str] = []

    def invited() -> bool:
        prefix, words = json.loads(_read(store, "g2d/welcome") or '["", []]')
        if own not in words:
            return False
        taken.append(prefix)
        return True

    _wait(invited, deadline, processes)
    store.add(f"{taken[0]}/joined", 1)
    return taken[0]


def _read(store: Store, name: str) -> str:
    """Return a value, empty if there is none yet."""
    return store.get(name).decode() if store.check([name]) else ""


def _wait(done: Callable[[], bool], deadline: float, processes: int) -> None:
    while not done():
        if time.monotonic() > deadline:
            raise RunError(
                f"all {processes} processes of torchrun must join, found some that did not. "
                "Their messages say why."
            )
        time.sleep(PAUSE)
