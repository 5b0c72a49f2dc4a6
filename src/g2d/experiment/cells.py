"""Cells: units of work that end whole or not at all, carried out by an engine."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from g2d.errors import G2DError, RunError, UnsupportedError
from g2d.experiment.console import Console
from g2d.machine import machine_fault
from g2d.report.formatting import counted


@dataclass(frozen=True)
class Cell:
    """A unit of work, such as a run or a teacher.

    Args:
        name: Its name for the user; names of cells differ.
        work: The work; another process can receive it. It reports to a console.
        threads: Threads that it uses.
        needs: Names of the cells that must end before it starts.
        group: Cells of one group are left out if one of them is not supported; empty for none.
    """

    name: str
    work: Callable[[Console], Any]
    threads: int = 1
    needs: frozenset[str] = frozenset()
    group: str = ""


@dataclass(frozen=True)
class Failure:
    """Reason why a cell has no result.

    Args:
        cell: Name of the cell.
        reason: The reason in words.
        unsupported: A method is not defined for its task; this is not an error.
        trace: The traceback of an unexpected error; empty for all others.
    """

    cell: str
    reason: str
    unsupported: bool = False
    trace: str = ""

    @classmethod
    def of(cls, cell: str, error: Exception) -> Failure:
        """Return the failure that an error means.

        Args:
            cell: Name of the cell.
            error: What its work raised.
        """
        if isinstance(error, G2DError):
            return cls(cell, str(error), isinstance(error, UnsupportedError))
        if (sentence := machine_fault(error)) is not None:
            return cls(cell, sentence)
        trace = "".join(traceback.format_exception(error))
        return cls(cell, f"{type(error).__name__}: {error} (this is a bug in g2d)", trace=trace)

    def __str__(self) -> str:
        return f"{self.cell}: {self.reason}"


@dataclass(frozen=True)
class Said:
    """A message of a cell for the user."""

    cell: str
    text: str


@dataclass(frozen=True)
class Progress:
    """A finished epoch of a cell.

    Args:
        cell: Name of the cell.
        training: What is trained.
        epoch: The epoch.
        epochs: All epochs of the training.
    """

    cell: str
    training: str
    epoch: int
    epochs: int


@dataclass(frozen=True)
class Finished:
    """The result of a cell."""

    cell: str
    result: Any


Event = Said | Progress | Finished | Failure
"""What an engine reports."""


class Engine(Protocol):
    """Carries cells out, here or elsewhere."""

    slots: int
    """Number of cells that can run at the same time."""

    def start(self, cell: Cell) -> None:
        """Start a cell; a slot is free."""

    def events(self) -> Iterator[Event]:
        """Wait until something happens, and yield it. A few seconds may pass without an event."""

    def stop(self) -> None:
        """End everything that still runs; it can be resumed."""

    def close(self) -> None:
        """Release the processes; nothing runs any more."""


class Watcher(Protocol):
    """Shows what happens to cells."""

    def started(self, cell: str) -> None:
        """Show that a cell has started."""

    def happened(self, event: Event) -> None:
        """Show an event."""


@dataclass
class Outcomes:
    """Results of cells, and why others have none.

    Args:
        results: The results of finished cells, by name.
        failures: Why the others have none, in the order in which it was found out.
    """

    results: dict[str, Any] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def extended(self, other: Outcomes) -> Outcomes:
        """Return these outcomes with those of more cells."""
        return Outcomes(self.results | other.results, [*self.failures, *other.failures])


def carry_out(cells: Sequence[Cell], engine: Engine, watcher: Watcher) -> Outcomes:
    """Carry out cells in their order, as many at the same time as the engine has slots.

    A cell that fails is reported, and the rest is finished. Cells that need it fail too. If this
    function is interrupted, the engine ends the cells that still run.

    Args:
        cells: The cells.
        engine: Carries them out.
        watcher: Shows what happens.
    """
    run = _Execution(list(cells), engine, watcher)
    try:
        while run.waiting or run.running:
            run.fill()
            for event in engine.events() if run.running else ():
                run.record(event)
    except BaseException:
        engine.stop()
        raise
    engine.close()
    return run.outcomes


class _Execution:
    """State of :func:`carry_out`."""

    def __init__(self, cells: list[Cell], engine: Engine, watcher: Watcher) -> None:
        self.waiting, self.engine, self.watcher = cells, engine, watcher
        self.running: dict[str, Cell] = {}
        self.outcomes = Outcomes()
        self.unknown = {cell.name for cell in cells}

    def fill(self) -> None:
        """Start cells whose needs are met, until every slot is taken."""
        for cell in list(self.waiting):
            if len(self.running) >= self.engine.slots:
                return
            if cell not in self.waiting or cell.needs & self.unknown:
                continue
            self.waiting.remove(cell)
            failed = sorted({failure.cell for failure in self.outcomes.failures} & cell.needs)
            if failed:
                self.record(Failure(cell.name, f"it needs what failed ({', '.join(failed)})."))
                continue
            self.running[cell.name] = cell
            self.watcher.started(cell.name)
            self.engine.start(cell)

    def record(self, event: Event) -> None:
        """Note a result or a failure, and show every event."""
        if isinstance(event, Finished):
            self.outcomes.results[event.cell] = event.result
        elif isinstance(event, Failure):
            self.outcomes.failures.append(event)
        self.watcher.happened(event)
        if isinstance(event, Finished | Failure):
            self.unknown.discard(event.cell)
            cell = self.running.pop(event.cell, None)
            unsupported = isinstance(event, Failure) and event.unsupported
            if unsupported and cell is not None and cell.group:
                same = [one for one in self.waiting if one.group == cell.group]
                self.waiting = [one for one in self.waiting if one not in same]
                self.unknown -= {one.name for one in same}


class InProcess:
    """Engine that carries out one cell after another in this process.

    Args:
        console: Receives the messages and the progress of all cells.
    """

    slots = 1

    def __init__(self, console: Console) -> None:
        self.console = console
        self.ended: list[Event] = []

    def start(self, cell: Cell) -> None:
        """Carry the cell out."""
        try:
            self.ended = [Finished(cell.name, cell.work(self.console))]
        except Exception as error:
            self.ended = [Failure.of(cell.name, error)]

    def events(self) -> Iterator[Event]:
        """Yield how the cell ended."""
        ended, self.ended = self.ended, []
        yield from ended

    def stop(self) -> None:
        """Do nothing: an interrupted cell has ended."""

    def close(self) -> None:
        """Do nothing: there are no processes."""


def failures_in_words(failures: Iterable[Failure], what: str) -> str:
    """Return a text that lists failures, cells with the same reason together.

    Args:
        failures: At least one failure.
        what: What a cell is, such as ``"run"``.

    Example:
        >>> failures = [Failure("a, seed 0", "no data."), Failure("a, seed 1", "no data.")]
        >>> print(failures_in_words(failures, "run"))
        2 runs failed; the rest is finished.
          a, seed 0; a, seed 1: no data.
    """
    reasons: dict[str, list[str]] = {}
    for failure in failures:
        reasons.setdefault(failure.reason, []).append(failure.cell)
    count = sum(map(len, reasons.values()))
    lines = [f"  {'; '.join(cells)}: {reason}" for reason, cells in reasons.items()]
    return "\n".join([f"{counted(count, what)} failed; the rest is finished.", *lines])


def require_some(outcomes: Outcomes, what: str) -> None:
    """Raise an error if every cell failed.

    Args:
        outcomes: What became of the cells.
        what: What a cell is, such as ``"run"``.

    Raises:
        RunError: Nothing is finished; the message has every reason once.
    """
    errors = [failure for failure in outcomes.failures if not failure.unsupported]
    if errors and not outcomes.results:
        reasons = list(dict.fromkeys(failure.reason for failure in errors))
        raise RunError(reasons[0] if len(reasons) == 1 else failures_in_words(errors, what))
