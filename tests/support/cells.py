"""Work of cells for tests; processes that carry it out can import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from g2d.errors import DataError, RecipeError, UnsupportedError
from g2d.experiment.console import Console


def device(console: Console) -> str:
    """Report a message and an epoch, and return the CUDA device that this process sees."""
    console.say("hello")
    (line,) = console.lines("a student", "accuracy")
    line.on_start(3, 0)
    line.on_epoch({"epoch": 2})
    return os.environ["CUDA_VISIBLE_DEVICES"]


def fail(kind: str, console: Console) -> None:
    """Raise an error of some kind."""
    errors: dict[str, Exception] = {
        "unsupported": UnsupportedError("not for this task."),
        "data": DataError("no such store."),
        "recipe": RecipeError(["a is wrong."], "my.yaml"),
        "disk": OSError(28, "No space left on device", "a.json"),
        "bug": KeyError("missing"),
    }
    raise errors[kind]


def die(console: Console) -> None:
    """End the process as the system does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait_long(file: Path, console: Console) -> None:
    """Write the number of the process, and wait."""
    file.write_text(str(os.getpid()))
    time.sleep(300)


def succeed(result: int, console: Console) -> int:
    """Return a number."""
    return result
