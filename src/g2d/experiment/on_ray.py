"""Engine of a Ray cluster, which must exist already unless its address is ``local``."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

from g2d.engine.callbacks import Callback
from g2d.errors import ArgumentError
from g2d.experiment.cells import Cell, Event, Failure, Finished, Said
from g2d.experiment.console import Console, Say
from g2d.files import import_extra

PATIENCE = 1.0
"""Seconds between two looks at the cluster."""
GRACE = 60.0
"""Seconds that canceled tasks have to keep their state."""


class RayEngine:
    """Engine that gives every cell to a Ray cluster as a task.

    A task asks for as many CPUs as its cell has threads, and for a GPU if the cluster has some.
    Every machine of the cluster must have g2d installed, and see the same folders.

    Args:
        address: Address of the cluster, ``"auto"`` or ``"local"``.
        gpu: Ask for a GPU per cell.

    Raises:
        ArgumentError: No cluster can be reached at the address.
        MissingDependencyError: Ray is not installed.
    """

    def __init__(self, address: str, gpu: bool = True) -> None:
        self.ray = import_extra("ray", "ray", "--ray")
        self.owned = not self.ray.is_initialized()
        if self.owned:
            try:
                _connect(address)
                self.ray.init(address=address, log_to_driver=False, logging_level="error")
            except (OSError, ValueError, RuntimeError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise ArgumentError(
                    "ray must be the address of a cluster that runs, or local, found "
                    f"{address!r}: {reason}"
                ) from error
        resources = self.ray.cluster_resources()
        self.cpus = max(1, int(resources.get("CPU", 1)))
        self.gpus = int(resources.get("GPU", 0)) if gpu else 0
        self.slots = self.gpus or self.cpus
        self.tasks: dict[Any, str] = {}

    def start(self, cell: Cell) -> None:
        """Give the cell to the cluster, which starts it when it has room."""
        # A cell resumes in its folder: Ray must not repeat it by itself.
        options = {"num_cpus": min(cell.threads, self.cpus), "max_retries": 0}
        if self.gpus:
            options["num_gpus"] = 1
        task = self.ray.remote(carry_out_task).options(name=cell.name, **options)
        self.tasks[task.remote(cell, os.getcwd())] = cell.name

    def events(self) -> Iterator[Event]:
        """Wait until a task ends, at most :data:`PATIENCE` seconds."""
        ended, _ = self.ray.wait(list(self.tasks), num_returns=1, timeout=PATIENCE)
        for task in ended:
            name = self.tasks.pop(task)
            try:
                yield from self.ray.get(task)
            except self.ray.exceptions.RayError as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                yield Failure(
                    name, f"Ray lost it ({reason}). Run the same command again to continue."
                )

    def stop(self) -> None:
        """Cancel the tasks; each is interrupted as by Ctrl-C and can be resumed."""
        for task in self.tasks:
            self.ray.cancel(task)
        if self.tasks:
            self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=GRACE)
        self.close()

    def close(self) -> None:
        """Leave the cluster."""
        if self.owned:
            self.ray.shutdown()


def _connect(address: str) -> None:
    """Refuse an address at which nothing listens; Ray itself would try for minutes.

    Raises:
        OSError: There is no connection.
    """
    if match := re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address):
        socket.create_connection((match[1], int(match[2])), timeout=10).close()


def carry_out_task(cell: Cell, folder: str) -> list[Event]:
    """Carry out a cell on a machine of the cluster, and return its messages and how it ended.

    Args:
        cell: The cell.
        folder: Working directory of the command, from which relative paths count.
    """
    os.chdir(folder)
    events: list[Event] = []
    console = Console(
        lambda text: events.append(Said(cell.name, text)), line=_notices(events, cell)
    )
    try:
        events.append(Finished(cell.name, cell.work(console)))
    except Exception as error:
        events.append(Failure.of(cell.name, error))
    return events


class _Notices(Callback):
    """Callback that keeps the warnings of a training."""

    def __init__(self, say: Say) -> None:
        self.say = say

    def on_notice(self, sentence: str) -> None:
        self.say(sentence)


def _notices(events: list[Event], cell: Cell) -> Callable[[str, str], Callback]:
    return lambda training, headline: _Notices(lambda text: events.append(Said(cell.name, text)))
