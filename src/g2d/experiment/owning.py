"""Owning the folder of a run, a comparison or a search while a command writes to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from g2d.engine.processes import once, start
from g2d.experiment.console import Console, Say
from g2d.files import sweep
from g2d.locks import owned


@contextmanager
def owning(folder: Path, say: Say, *, wait: bool = False, deep: bool = False) -> Iterator[None]:
    """Own a folder for the time of a block; first delete what killed processes left in it.

    With several processes of ``torchrun``, rank 0 owns it for all of them.

    Args:
        folder: The folder; it is created.
        say: Receives messages for the user.
        wait: Wait for another owner to end, and say so, instead of refusing the folder.
        deep: Also delete leftovers in the folders inside it.

    Raises:
        RunError: Another process owns the folder.
    """
    start()
    say = Console(say).on_rank_0().say
    with owned(folder, wait=wait, say=say, once=once):
        once(lambda: sweep(folder, deep=deep))
        yield
