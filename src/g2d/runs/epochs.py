"""``metrics.jsonl``: one record per epoch and line, and which lines belong to a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from g2d.errors import RunError
from g2d.files import one_line, read_text
from g2d.runs.names import METRICS
from g2d.runs.result import Epoch, damage


def read_epochs(folder: Path) -> list[Epoch]:
    """Return the records of a run, one per epoch; an empty list if it has not trained.

    Args:
        folder: The run folder.

    Raises:
        RunError: A line is damaged.
    """
    path = folder / METRICS
    if not path.is_file():
        return []
    try:
        return _records(read_text(path).splitlines())
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} must hold one record per line, found damage: {_reason(error)}. "
            "Train again with the same --out to rebuild it."
        ) from None


def saved_lines(path: Path, done: int, saved: Mapping[str, Any] | None) -> str:
    """Return the lines of ``metrics.jsonl`` that belong to the epochs of a checkpoint.

    Args:
        path: The file.
        done: Number of epochs of the checkpoint.
        saved: What :class:`~g2d.engine.callbacks.Metrics` recorded in the checkpoint: ``lines`` and
            ``sha256``; None if an earlier version saved it.

    Raises:
        RunError: Lines are missing or damaged.
    """
    if done == 0:
        return ""
    rule = f"{path} must hold the {done} epochs of its checkpoint"
    remedy = f"Restore it from a copy, or delete {path.parent} to train from the start."
    try:
        lines = read_text(path).split("\n")[:-1]
        kept = "".join(line + "\n" for line in lines[:done])
        if len(lines) >= done and saved is None:
            _records(lines[:done])
    except FileNotFoundError:
        raise RunError(f"{rule}, found no such file. {remedy}") from None
    except ValueError as error:
        raise RunError(f"{rule}, found damage: {_reason(error)}. {remedy}") from None
    if len(lines) < done or (saved is not None and saved["lines"] != done):
        raise RunError(f"{rule}, found {len(lines)} whole lines. {remedy}")
    if saved is not None and saved["sha256"] != hashlib.sha256(kept.encode()).hexdigest():
        raise RunError(f"{rule}, found others: they were changed or damaged. {remedy}")
    return kept


def _records(lines: Iterable[str]) -> list[Epoch]:
    return [Epoch.model_validate_json(line) for line in lines if line.strip()]


def _reason(error: Exception) -> str:
    return damage(error) if isinstance(error, ValidationError) else one_line(str(error))[:300]
