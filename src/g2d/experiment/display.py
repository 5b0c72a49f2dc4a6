"""Progress of many cells: one line per running cell in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from g2d.experiment.cells import Event, Failure, Finished, Progress, Said, Watcher
from g2d.experiment.console import Say


class Plain:
    """Watcher that says a line per finished cell.

    Args:
        say: Receives the lines.
        cells: Number of cells.
        progress: False leaves out everything but failures and the messages of cells.
    """

    def __init__(self, say: Say, cells: int, progress: bool = True) -> None:
        self.say, self.cells, self.progress = say, cells, progress
        self.done, self.begun = 0, dict[str, float]()

    def started(self, cell: str) -> None:
        """Start the clock of a cell."""
        self.begun[cell] = time.monotonic()

    def happened(self, event: Event) -> None:
        """Say what a cell says, and how it ended."""
        match event:
            case Said(cell, text):
                self.say(f"{cell}: {text}")
            case Finished(cell, _):
                self.done += 1
                if self.progress:
                    seconds = time.monotonic() - self.begun[cell]
                    self.say(f"{self.done} of {self.cells}: {cell}, {seconds:.0f} s")
            case Failure():
                self.done += 1
                say_failure(event, self.say)


class Lines(Plain):
    """Watcher that shows a bar for all cells and a line per running cell, in a terminal.

    Args:
        say: Receives the messages of cells, which appear above the bars.
        cells: Number of cells.
        bars: Where the bars are drawn.
    """

    def __init__(self, say: Say, cells: int, bars: Bars) -> None:
        super().__init__(say, cells, progress=False)
        self.bars, self.lines = bars, dict[str, TaskID]()
        self.all = bars.add_task("all", total=cells)

    def started(self, cell: str) -> None:
        """Add a line."""
        super().started(cell)
        self.lines[cell] = self.bars.add_task(cell, total=None)

    def happened(self, event: Event) -> None:
        """Move the bar of a cell; remove its line at its end."""
        super().happened(event)
        if isinstance(event, Progress):
            text = event.cell if event.training in event.cell else f"{event.cell}: {event.training}"
            self.bars.update(
                self.lines[event.cell], completed=event.epoch, total=event.epochs, description=text
            )
        elif isinstance(event, Finished | Failure):
            if (line := self.lines.pop(event.cell, None)) is not None:
                self.bars.remove_task(line)
            self.bars.update(self.all, completed=self.done)


class Announcer:
    """Watcher of cells that report to the user themselves: says their names, and failures.

    Args:
        say: Receives the lines.
    """

    def __init__(self, say: Say) -> None:
        self.say = say

    def started(self, cell: str) -> None:
        """Say the name of the cell."""
        self.say(cell)

    def happened(self, event: Event) -> None:
        """Say a failure."""
        if isinstance(event, Failure):
            say_failure(event, self.say)


@contextmanager
def display(cells: int, say: Say, progress: bool) -> Iterator[Watcher]:
    """Yield a watcher for cells that run in other processes.

    Args:
        cells: Their number.
        say: Receives messages for the user.
        progress: Show what runs, and how far it is.
    """
    if not progress or not sys.stderr.isatty():
        yield Plain(say, cells, progress)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # Output that goes to a file must not be redirected to the terminal.
    with Bars(
        *columns,
        console=Terminal(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ) as bars:
        yield Lines(say, cells, bars)


def say_failure(failure: Failure, say: Say) -> None:
    """Say why a cell failed; the traceback of an unexpected error goes to standard error.

    Args:
        failure: The failure. There is no message for a cell that is not supported.
        say: Receives the sentence.
    """
    if failure.trace:
        sys.stderr.write(failure.trace)
    if not failure.unsupported:
        say(f"{failure.cell} failed: {failure.reason}")
