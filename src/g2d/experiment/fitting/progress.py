"""Progress of a whole fit: what is done of all its trainings, and the time left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from g2d.engine.callbacks import ProgressLine, Record


@dataclass
class Job:
    """Work of a fit, in epochs of all encoders.

    Args:
        total: All of it.
        done: What is done, by earlier sessions too.
        own: What this session has done; the time left follows from it.
    """

    total: float
    done: float = 0.0
    own: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, work: float, *, before: bool = False) -> None:
        """Record work.

        Args:
            work: Amount of it.
            before: Whether an earlier session did it.
        """
        self.done += work
        self.own += 0.0 if before else work

    def __str__(self) -> str:
        share = f"{100 * min(1.0, self.done / max(self.total, 1e-9)):.0f} % of the fit"
        if not self.own:
            return share
        seconds = (time.perf_counter() - self.started) / self.own * (self.total - self.done)
        return f"{share}, {in_time(max(0.0, seconds))} left"


def in_time(seconds: float) -> str:
    """Return a duration in words.

    Example:
        >>> in_time(42.3), in_time(90), in_time(5400)
        ('42 s', '1.5 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


class JobLine(ProgressLine):
    """Progress of one training of a fit, with the time left of all.

    Args:
        name: What is trained.
        headline: The metric to show.
        job: The work of the fit.
        work: What an epoch is of it.
    """

    def __init__(self, name: str, headline: str, job: Job, work: float) -> None:
        super().__init__(name, headline)
        self.job, self.work = job, work

    def on_start(self, epochs: int, done: int) -> None:
        """Count the epochs of earlier sessions."""
        super().on_start(epochs, done)
        self.job.add(done * self.work, before=True)

    def on_epoch(self, record: Record) -> None:
        """Count the epoch and print it."""
        self.job.add(self.work)
        super().on_epoch(record)

    def left(self, epoch: int) -> str:
        """Return what is done of the whole fit and the time left."""
        return str(self.job)
