"""Commands in forked processes, which start at once and can be killed at a write of one's choice.

A process that has imported torch is copied in milliseconds; a new interpreter takes seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
"""Audit events of changes to a file system, apart from opening a file to write to it."""


@dataclass(frozen=True)
class Child:
    """A forked process.

    Args:
        pid: Its number.
        log: File of what it prints.
    """

    pid: int
    log: Path

    def kill(self) -> None:
        """Kill it by SIGKILL, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, limit: float = 240.0) -> int:
        """Wait for its end, and return its exit code, or minus the signal that ended it.

        Raises:
            TimeoutError: It ran longer than the limit in seconds; it was killed.
        """
        end = time.monotonic() + limit
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        self.kill()
        os.waitpid(self.pid, 0)
        raise TimeoutError(f"process {self.pid} did not end in {limit} s:\n{self.output}")

    @property
    def output(self) -> str:
        """What it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def forked(act: Callable[[], object], log: Path) -> Child:
    """Call a function in a copy of this process.

    Args:
        act: The function; the number that it returns is the exit code, None is 0.
        log: File for what it prints.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Child(pid, log)
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        value = act()
        code = value if isinstance(value, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def g2d(*words: object) -> Callable[[], int]:
    """Return a function that runs a command of g2d and returns its exit code."""

    def run() -> int:
        from g2d.cli import app

        try:
            app([str(word) for word in words])
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
        return 0

    return run


def killed_at(act: Callable[[], int], folder: Path, write: int) -> Callable[[], int]:
    """Return a function that kills its process right before a write.

    Args:
        act: What the process does.
        folder: Writes outside are not counted.
        write: Number of the write, from 1: a file that is opened to be written, or a file or folder
            that is created, moved or deleted. With 0 nothing is killed.

    Returns:
        A function that prints the number of writes if it is not killed.
    """
    top, count = str(folder.resolve()), 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        writes = event in WRITES
        if event == "open" and isinstance(arguments[2], int):
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        path = arguments[0] if writes else None
        if isinstance(path, str | os.PathLike) and os.path.abspath(os.fspath(path)).startswith(top):
            count += 1
            if count == write:
                os.kill(os.getpid(), signal.SIGKILL)

    def run() -> int:
        sys.addaudithook(watch)
        code = act()
        sys.stdout.write(f"writes: {count}\n")
        return code

    return run
