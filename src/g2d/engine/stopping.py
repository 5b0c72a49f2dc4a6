"""Ctrl-C and signals that end a process: training stops after the update, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

from g2d.data.loader import STOP_SIGNALS
from g2d.engine.options import TrainOptions
from g2d.engine.processes import largest
from g2d.errors import Terminated

NOTE = b"\nStopping after this update. Press Ctrl-C again to stop at once.\n"


class Stopping:
    """Memory of a signal that asks to stop, until the training can stop.

    In its context, Ctrl-C, SIGTERM and SIGHUP are noted instead of obeyed; a second Ctrl-C is
    obeyed at once. Signals that the process ignores, such as SIGHUP under ``nohup``, are still
    ignored. Outside of the main thread, which alone receives signals, it does nothing.

    Attributes:
        signal: Number of the signal that was received; None if there was none.

    Example:
        >>> with Stopping() as stopping:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     stopping.signal == signal.SIGTERM
        True
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.signal == number:
                raise KeyboardInterrupt
            os.write(2, NOTE)  # a print could interrupt another one
        self.signal = number

    def obey(self) -> None:
        """Stop if a signal was received.

        Raises:
            KeyboardInterrupt: It was Ctrl-C.
            Terminated: It was another one.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise Terminated


class Moments:
    """Moments at which a checkpoint is due inside an epoch, the same on all processes.

    Args:
        options: Longest time, and largest number of batches, between two checkpoints.
        stopping: A signal makes a checkpoint due.
    """

    def __init__(self, options: TrainOptions, stopping: Stopping) -> None:
        self.minutes, self.batches = options.checkpoint_minutes, options.checkpoint_updates
        self.stopping = stopping
        self.saved()

    def saved(self) -> None:
        """Note that a checkpoint was written."""
        self._since, self._taken = time.monotonic(), 0

    def due(self) -> bool:
        """Return whether a checkpoint is due after one more batch."""
        self._taken += 1
        minutes = (time.monotonic() - self._since) / 60
        late = self.minutes is not None and minutes >= self.minutes
        many = self.batches is not None and self._taken >= self.batches
        return self._agreed(late or many)

    def stop(self) -> None:
        """Stop if a process has received a signal.

        Raises:
            KeyboardInterrupt: It was Ctrl-C.
            Terminated: It was another one.
        """
        self._agreed(False)
        self.stopping.obey()

    def _agreed(self, due: bool) -> bool:
        """Return whether a checkpoint is due on any process, and share the signals of all."""
        received = self.stopping.signal
        value = largest(int(due) if received is None else 1 + received)
        if value > 1:
            self.stopping.signal = value - 1
        return value > 0
