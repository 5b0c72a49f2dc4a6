"""Signs of life: if a process of a training dies or is stopped, the others end with a message.

A process that waits for another one cannot tell whether that one is busy or gone. So every process
counts up in the store of ``torchrun`` in a thread of its own, and watches the count of the next
one. However long a process computes or writes, it counts on.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from torch.distributed import Store  # type: ignore[attr-defined]

SECONDS = 2.0
"""Time between two signs of life."""
SILENCE = 15.0
"""Time without a sign of life after which a process counts as gone.

``torchrun`` then needs up to 30 seconds to end the others.
"""
LEFT = 2**40
"""Added to the count of a process that has left."""


class SignsOfLife:
    """Signs of life of this process, and a watch over those of the next one.

    Args:
        store: Shared by all processes.
        process: Number of this process, from 0.
        processes: Number of processes; the last one watches the first.
        end: Called with a sentence when the next process is gone.
        seconds: Time between two signs.
        silence: Time without a sign after which a process is gone.
    """

    def __init__(
        self,
        store: Store,
        process: int,
        processes: int,
        end: Callable[[str], object] | None = None,
        *,
        seconds: float = SECONDS,
        silence: float = SILENCE,
    ) -> None:
        self.store, self.own = store, str(process)
        self.next, self.processes = (process + 1) % processes, processes
        self.end, self.seconds, self.silence = end or _end, seconds, silence
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="signs of life", daemon=True)

    def start(self) -> None:
        """Begin to count and to watch."""
        self._thread.start()

    def leave(self) -> None:
        """Say that this process ends as planned."""
        self._left.set()
        self._thread.join(self.silence)
        with suppress(RuntimeError):  # torchrun has ended
            self.store.add(self.own, LEFT)

    def _watch(self) -> None:
        count, heard, fault = 0, time.monotonic(), ""
        while not self._left.wait(self.seconds):
            try:
                self.store.add(self.own, 1)
                new, fault = self.store.add(str(self.next), 0), ""
            except RuntimeError as error:
                new, fault = count, str(error).partition("\n")[0]
            if new >= LEFT:
                heard = time.monotonic()
            elif new != count:
                count, heard = new, time.monotonic()
            elif time.monotonic() - heard > self.silence and not self._left.is_set():
                self.end(self._sentence(fault))
                return

    def _sentence(self, fault: str) -> str:
        who = (
            f"process {self.next} of {self.processes}"
            if not fault
            else f"torchrun, which joins the processes ({fault}),"
        )
        return (
            f"{who} has not answered for {self.silence:.0f} s: it was stopped, or its computer is "
            "gone. The training ends. Run the same command again to continue."
        )


def _end(sentence: str) -> None:
    """End this process, whose main thread may be waiting without end."""
    sys.stderr.write(f"Error: {sentence}\n")
    sys.stderr.flush()
    os._exit(2)
