"""Engine of processes on this machine, which stay warm and take one cell after another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from g2d.encoders import ENCODERS
from g2d.engine.callbacks import Callback, Record
from g2d.errors import RunError
from g2d.experiment.cells import Cell, Event, Failure, Finished, Progress, Said
from g2d.experiment.console import Console
from g2d.fusion import FUSIONS
from g2d.methods import METHODS
from g2d.modulations import MODULATIONS
from g2d.spawning import spawning

GRACE = 60.0
"""Seconds that an interrupted cell has to keep its state."""
PATIENCE = 1.0
"""Seconds between two looks at whether the processes are alive."""
REGISTRIES: tuple[Mapping[str, Any], ...] = (METHODS, ENCODERS, FUSIONS, MODULATIONS)
"""Names that a recipe can contain, which a script can extend."""


class EpochReporter(Callback):
    """Callback that sends every epoch to the process that shows the progress.

    Args:
        connection: Leads there.
        cell: Name of the cell.
        training: What is trained.
    """

    def __init__(self, connection: Connection, cell: str, training: str) -> None:
        self.connection, self.cell, self.training = connection, cell, training

    def on_start(self, epochs: int, done: int) -> None:
        """Remember the number of epochs."""
        self.epochs = epochs
        self.connection.send(Progress(self.cell, self.training, done, epochs))

    def on_epoch(self, record: Record) -> None:
        """Send the epoch."""
        self.connection.send(Progress(self.cell, self.training, record["epoch"], self.epochs))

    def on_notice(self, sentence: str) -> None:
        """Send a warning."""
        self.connection.send(Said(self.cell, sentence))


def work(connection: Connection, device: str | None) -> None:
    """Carry out the cells that arrive, until the connection is closed; runs in a new process.

    Args:
        connection: Brings cells and takes events.
        device: The CUDA device of this process; None leaves all visible.
    """
    # Ctrl-C in a terminal reaches every process; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):  # the first process has ended
        connection.send(None)
        while True:
            cell: Cell = connection.recv()
            console = _console(connection, cell.name)
            event: Event
            try:
                event = Finished(cell.name, cell.work(console))
            except Exception as error:
                event = Failure.of(cell.name, error)
            connection.send(event)


def _console(connection: Connection, cell: str) -> Console:
    return Console(
        say=lambda text: connection.send(Said(cell, text)),
        line=lambda training, headline: EpochReporter(connection, cell, training),
    )


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    cell: str | None = None
    ready: bool = False


class Workers:
    """Engine of local processes. A process that dies costs its cell only; another replaces it.

    Args:
        jobs: Number of processes.
        devices: CUDA devices, shared out in turn; empty leaves all of them to every process.
    """

    def __init__(self, jobs: int, devices: Sequence[str] = ()) -> None:
        self.slots = jobs
        # A forked process would inherit torch's threads and CUDA's state: start new ones.
        self.main = _registered_by_user()
        self.context = spawning(main=self.main)
        self.devices = [devices[i % len(devices)] if devices else None for i in range(jobs)]
        self.workers = [self._started(device) for device in self.devices]

    def _started(self, device: str | None) -> _Worker:
        own, other = self.context.Pipe()
        process = self.context.Process(target=work, args=(other, device))
        process.start()
        other.close()
        return _Worker(process, own)

    def start(self, cell: Cell) -> None:
        """Give the cell to a free process."""
        worker = next(worker for worker in self.workers if worker.cell is None)
        worker.cell = cell.name
        # A process that is dead already is noticed by the next look at its state.
        try:
            worker.connection.send(cell)
        except OSError:
            worker.connection.close()

    def events(self) -> Iterator[Event]:
        """Wait for messages of any process, at most :data:`PATIENCE` seconds."""
        wait([one.connection for one in self.workers if not one.connection.closed], PATIENCE)
        for place, worker in enumerate(self.workers):
            alive = worker.process.is_alive()  # before reading, so that no last message is lost
            for message in _received(worker.connection):
                if message is None:
                    worker.ready = True
                    continue
                if isinstance(message, Finished | Failure):
                    worker.cell = None
                yield message
            if not alive:
                yield from self._replace(place, worker)

    def _replace(self, place: int, worker: _Worker) -> Iterator[Event]:
        """Put a new process in the place of a dead one, and report its cell."""
        worker.connection.close()
        if not worker.ready:
            raise RunError(f"a process for the jobs ended while it started. {_advice(self.main)}")
        self.workers[place] = self._started(self.devices[place])
        if worker.cell is not None:
            yield Failure(worker.cell, _end_of(worker.process))

    def stop(self) -> None:
        """Ask every process to keep its state and end; end it after :data:`GRACE` seconds.

        Another Ctrl-C ends all of them at once.
        """
        for worker in self.workers:
            worker.process.terminate()
        try:
            self._join(GRACE)
        except BaseException:
            self._join(0)
            raise

    def close(self) -> None:
        """End the idle processes."""
        for worker in self.workers:
            worker.connection.close()
        self._join(GRACE)

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for worker in self.workers:
            # What a process still sends must be read, or it would wait for ever.
            while worker.process.is_alive() and time.monotonic() < deadline:
                for _ in _received(worker.connection):
                    pass
                worker.process.join(0.05)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _registered_by_user() -> bool:
    """Return whether a script has registered parts of its own, which new processes must do too."""
    parts = [part for entries in REGISTRIES for part in entries.values()]
    packages = {getattr(part, "__module__", __name__).partition(".")[0] for part in parts}
    return packages != {__name__.partition(".")[0]}


def _advice(main: bool) -> str:
    """Return what to do about a process that ends before it is ready."""
    if not main:
        return "Often memory ran out: use fewer jobs."
    return (
        "A script that registers parts of its own must call g2d with jobs below "
        'if __name__ == "__main__":, because the processes import the script.'
    )


def _received(connection: Connection) -> Iterator[Any]:
    """Yield the messages that have arrived."""
    try:
        while not connection.closed and connection.poll():
            yield connection.recv()
    except (EOFError, OSError):
        connection.close()


def _end_of(process: BaseProcess) -> str:
    """Return why a process ended, and what to do."""
    code = process.exitcode or 0
    if code < 0:
        how = f"by signal {-code} ({signal.Signals(-code).name}), often because memory ran out"
    else:
        how = f"with exit code {code}"
    return f"its process ended {how}. Run the same command again to continue."
