"""New processes that do not run the script of the user again.

A process that starts in a new interpreter (``spawn``) first imports the main module of the process
that started it, and so runs a script that has no ``if __name__ == "__main__":`` once more.
Processes of this package call functions of this package, which need no main module.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, reduction, spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

_MAIN = "__main__"
_lock = threading.Lock()


def spawning(*, main: bool = False) -> SpawnContext:
    """Return a context of :mod:`multiprocessing` whose processes start in a new interpreter.

    Args:
        main: Whether they import the main module of this process, as those of Python do; see
            :func:`needs_main`.
    """
    return get_context("spawn") if main else _WithoutMain()


def needs_main(value: object) -> bool:
    """Return whether a value can be unpickled only by a process with the main module of this one.

    Args:
        value: What a process receives, such as a function of the user's script.

    Example:
        >>> needs_main({"decode": needs_main})
        False
    """
    names = _NamesOfMain()
    reduction.dump(value, names)
    return names.seen


class _NamesOfMain:
    """File that notices the name of the main module in what is written, and keeps nothing."""

    seen = False

    def write(self, data: Any) -> None:
        """Look for the name in the next part of a pickle, of which no part cuts a name."""
        self.seen = self.seen or _MAIN.encode() in bytes(data)


class _ProcessWithoutMain(SpawnProcess):
    """Process that does not import the main module of the one that starts it."""

    def start(self) -> None:
        """Start the process."""
        with _main_left_out():
            super().start()


class _WithoutMain(SpawnContext):
    Process = _ProcessWithoutMain


@contextmanager
def _main_left_out() -> Iterator[None]:
    """Leave the main module out of what this thread tells a new process."""
    with _lock:
        usual, here = spawn.get_preparation_data, threading.get_ident()

        def without(name: str) -> dict[str, Any]:
            data = usual(name)
            if threading.get_ident() != here:
                return data
            return {key: value for key, value in data.items() if not key.startswith("init_main")}

        spawn.get_preparation_data = without
        try:
            yield
        finally:
            spawn.get_preparation_data = usual
