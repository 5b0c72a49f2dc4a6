"""The folder of a checkpoint: tensors as safetensors, and signed notes with the hash of every file.

A checkpoint is written under a temporary name and then moved into place. Those before can be kept
next to it, as ``last-1``, ``last-2`` and so on, so that a damaged one costs an epoch and not a run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from g2d.errors import RunError
from g2d.files import read_json, temporary_path, temporary_paths
from g2d.machine import machine_fault
from g2d.manifest import hashes, require_unchanged, unsigned, write_signed

SCHEMA = 1
NOTES, MODEL, METHOD = "state.json", "model.safetensors", "method.safetensors"
OPTIMIZER, SNAPSHOTS = "optimizer.safetensors", "snapshots.safetensors"
RANDOM = "random.safetensors"
FILES = (NOTES, MODEL, METHOD, OPTIMIZER, SNAPSHOTS, RANDOM)
"""Files of a checkpoint; the last three are needed only to resume."""
FAULT = (OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, SafetensorError)
"""Errors of reading a checkpoint that is damaged or belongs to another model."""
_NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
Tensors = Mapping[str, Tensor]


class _Numbers(BaseModel):
    """Base class of parts of the notes; keys that it does not declare are kept."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Optimizer(_Numbers):
    """Groups and numbers of an optimizer."""

    groups: list[dict[str, Any]]
    numbers: dict[str, Any]


class _Schedule(_Numbers):
    """State of a schedule."""

    best: float
    waited: int
    plateau: float


class _Lines(_Numbers):
    """Lines of ``metrics.jsonl``."""

    lines: int = Field(ge=0)
    sha256: str


class _Inside(_Numbers):
    """Part of an epoch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    batches: int = Field(ge=0)
    skipped: int = Field(ge=0)
    seconds: float
    sums: dict[str, list[float]]
    notices: list[str]
    method: Any


class Notes(_Numbers):
    """Content of ``state.json``.

    Args:
        files: SHA-256 of every other file; empty in checkpoints of earlier versions.
        epoch: The last finished epoch.
        step: Updates so far.
        stop: Whether training has ended.
        best: The highest score so far.
        selected: The epoch with that score.
        seconds: Training time so far.
        skipped: Batches skipped so far.
        metrics: Number and SHA-256 of the lines of ``metrics.jsonl`` so far.
        inside: Part of the epoch that has been trained; None after an epoch.
        schedule: State of the schedule.
        optimizer: Groups and numbers of the optimizer.
        scaler: State of the loss scaling.
        notices: Warnings of the method.
    """

    files: dict[str, str] = Field(default_factory=dict)
    epoch: int = Field(0, ge=0)
    step: int = Field(0, ge=0)
    stop: bool = False
    best: float = 0.0
    selected: int = Field(0, ge=0)
    seconds: float = Field(0.0, ge=0)
    skipped: int = Field(0, ge=0)
    metrics: _Lines | None = None
    inside: _Inside | None = None
    schedule: _Schedule | None = None
    optimizer: _Optimizer | None = None
    scaler: dict[str, float] | None = None
    notices: dict[str, str] = Field(default_factory=dict)


def write(
    folder: Path, files: Mapping[str, Tensors], notes: Mapping[str, Any], previous: int = 0
) -> None:
    """Write a checkpoint under a temporary name, then move it into place.

    A reader finds the old checkpoint or the new one, never half of one.

    Args:
        folder: The checkpoint's folder.
        files: Tensors by name, per file.
        notes: JSON values for ``state.json``.
        previous: Number of earlier checkpoints to keep, of those in the same place.
    """
    for leftover in temporary_paths(folder):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = temporary_path(folder)
    temporary.mkdir(parents=True)
    for name, tensors in files.items():
        plain = {key: value.detach().contiguous() for key, value in tensors.items()}
        save_file(plain, temporary / name)
    content = {"schema": SCHEMA, **notes, "files": hashes(temporary, files)}
    write_signed(temporary / NOTES, content)
    for old in reversed(generations(folder)):
        old.rename(folder.with_name(f"{folder.name}-{(_age(folder, old) or 0) + 1}"))
    temporary.rename(folder)
    prune(folder, previous)


def prune(folder: Path, previous: int = 0) -> None:
    """Delete earlier checkpoints of a place.

    Args:
        folder: The place.
        previous: Number of earlier ones to keep.
    """
    for old in [*generations(folder)[1 + previous :], _moved_away(folder)]:
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)


def generations(folder: Path) -> list[Path]:
    """Return the checkpoints of a place that exist, the newest first.

    The first one is not the place itself if a process was killed while it moved a new one there.
    """
    beside = [folder, *folder.parent.glob(f"{folder.name}-*")]
    aged = [path for path in beside if path.exists() and _age(folder, path) is not None]
    if not aged and _moved_away(folder).exists():
        return [_moved_away(folder)]
    return sorted(aged, key=lambda path: _age(folder, path) or 0)


def newest(folder: Path) -> Path:
    """Return the newest checkpoint of a place, or the place itself if there is none."""
    return next(iter(generations(folder)), folder)


def _age(folder: Path, path: Path) -> int | None:
    """Return 0 for the place, 1 for the checkpoint before, and so on; None for another path."""
    number = re.fullmatch(r"(?:-([1-9]\d{0,3}))?", path.name.removeprefix(folder.name))
    return int(number[1] or 0) if number else None


def _moved_away(folder: Path) -> Path:
    """Return where earlier versions put a checkpoint while a new one took its place."""
    return folder.with_name(f".{folder.name}.old")


def read_notes(folder: Path) -> dict[str, Any]:
    """Return the content of ``state.json`` after comparing every file with its recorded hash.

    The files of a checkpoint that an earlier version wrote, without hashes, are read once.

    Args:
        folder: The checkpoint's folder.

    Raises:
        RunError: There is no checkpoint, or it is damaged.
    """
    with clear_errors(folder):
        content = read_json(folder / NOTES)
        if isinstance(content, dict) and content.get("schema") != SCHEMA:
            version = str(content.get("schema"))[:20]
            raise RunError(
                f"the checkpoint {folder} must have schema {SCHEMA}, found {version}. "
                "It was written by another version of g2d."
            )
        notes = unsigned(content)
        files = Notes.model_validate(notes).files
        require_unchanged(folder, files)
        if not files:
            for path in {folder / MODEL, *folder.glob("*.safetensors")}:
                load_file(path)
    return notes


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Return the tensors of a file of a checkpoint, after :func:`read_notes`."""
    return load_file(folder / name)


def newest_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """Return the newest undamaged checkpoint of a place, and why newer ones are passed over.

    Args:
        folder: The place.

    Raises:
        RunError: There are checkpoints, and all are damaged.
    """
    faults: list[str] = []
    first: RunError | None = None
    for path in generations(folder):
        try:
            read_notes(path)
        except RunError as error:
            first = first or error
            faults.append(str(error))
        else:
            return path, faults
    if first is not None:
        raise first
    return None, []


@contextmanager
def clear_errors(folder: Path) -> Iterator[None]:
    """Turn everything that can be wrong with a checkpoint into one sentence.

    Faults of the machine, such as too little memory or a disk that fails, are not damage and pass.

    Args:
        folder: The checkpoint's folder.
    """
    try:
        yield
    except _NO_FILE as error:
        # The error of safetensors has no attribute with the file's name.
        missing = next((name for name in FILES if not (folder / name).is_file()), folder.name)
        raise RunError(
            f"cannot read checkpoint {folder}: it has no {missing}. "
            "Delete the folder to train from the start."
        ) from error
    except FAULT as error:
        if not isinstance(error, SafetensorError) and machine_fault(error) is not None:
            raise
        raise RunError(
            f"the checkpoint {folder} must be undamaged and fit its recipe's model, found: "
            f"{_reason(error)}. Delete the folder to train from the start."
        ) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{NOTES}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, KeyError):
        return f"no {error}"
    return " ".join(str(error).split())[:1000]
