"""Decide whether a recipe may continue in a run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from g2d.errors import RunError
from g2d.locks import is_bookkeeping
from g2d.manifest import read_signed
from g2d.plainyaml import read_mapping
from g2d.runs.names import DATA, FIGURES, METRICS, PAGE, RECIPE
from g2d.runs.reading import RESTORE, read_result, require_whole
from g2d.runs.result import Result, damage

if TYPE_CHECKING:
    from g2d.data import Source

HASHES = ("content_hash", "protocol_hash")
"""Attributes of a source that identify its data."""
MACHINE_OPTIONS = (
    "device",
    "workers",
    "threads",
    "compile",
    "eval_batch_size",
    "on_nonfinite",
    "checkpoint_minutes",
    "checkpoint_updates",
    "keep_checkpoints",
)
"""Training options that may change when a run is resumed.

They change where and how fast a run is trained, when its checkpoints are written, and whether an
update that is not finite stops it.
"""
PLACES = ("data.root", "teachers.folder")
"""Keys of a recipe that only say where files are."""


class _Begun(BaseModel):
    """Content of ``data.json``: hashes of the data, and of the recipe."""

    content_hash: str
    protocol_hash: str
    files: dict[str, str] = Field(default_factory=dict)


def claim(
    folder: Path,
    resolved: Mapping[str, Any],
    upgrade: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> Result | None:
    """Return the result of a finished run of the same recipe, or None if it may start or continue.

    Nothing is written.

    Args:
        folder: The run folder; it need not exist.
        resolved: The resolved recipe.
        upgrade: Rewrites the resolved recipe of an earlier version as this version would write it.

    Raises:
        RunError: The folder belongs to another recipe, is not a run folder, or is damaged.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise RunError(f"--out must be a folder, found the file {folder}.")
    if not (folder / RECIPE).is_file():
        if not all(map(is_bookkeeping, folder.iterdir())):
            raise RunError(
                "--out must be a new folder or a run folder, found other files in "
                f"{folder}. Choose another --out."
            )
        return None
    if (begun := _begun(folder)) is not None:
        require_whole(folder, begun.files, DATA)
    before = upgrade(read_mapping(folder / RECIPE))
    changes = differences(dict(essential(before)), dict(essential(resolved)))
    if changes:
        raise RunError(
            f"{folder} must have the same recipe to be resumed, found another: "
            f"{'; '.join(changes)}. Choose another --out, or delete the folder."
        )
    result = read_result(folder)
    if result is not None:
        require_whole(folder, result.files)
    return result


def is_reported(folder: Path) -> bool:
    """Return whether a finished run has its page, and its figures if it has any epochs.

    The page is written after the figures.

    Args:
        folder: The run folder.
    """
    epochs = folder / METRICS
    drawn = (folder / FIGURES).is_dir() or not (epochs.is_file() and epochs.stat().st_size)
    return drawn and (folder / PAGE).is_file()


def trained_on(folder: Path) -> dict[str, str]:
    """Return the content hash and protocol hash of a run's data; empty before training.

    Args:
        folder: The run folder.

    Raises:
        RunError: The file of the hashes is damaged.
    """
    if (begun := _begun(folder)) is not None:
        return {name: getattr(begun, name) for name in HASHES}
    result = read_result(folder)
    return {} if result is None else {name: getattr(result.data, name) for name in HASHES}


def _begun(folder: Path) -> _Begun | None:
    """Return what a run wrote when it began to train, None before."""
    path = folder / DATA
    if not path.is_file():
        return None
    try:
        return _Begun.model_validate(read_signed(path))
    except (OSError, ValueError) as error:
        reason = damage(error) if isinstance(error, ValidationError) else error
        raise RunError(
            f"{path} must be what g2d train wrote, found damage: {reason}. {RESTORE}"
        ) from None


def same_data(folder: Path, hashes: Mapping[str, str]) -> None:
    """Refuse data that differ from those that the run was started with.

    Args:
        folder: The run folder.
        hashes: Content hash and protocol hash of the present data; unknown ones may be left out.

    Raises:
        RunError: A hash differs.
    """
    for name, before in trained_on(folder).items():
        if name in hashes and hashes[name] != before:
            raise RunError(
                f"{folder} must be opened with the data it was trained on "
                f"({name.replace('_', ' ')} {before[:12]}), found others under the same name "
                f"({hashes[name][:12]}). Set data.root or G2D_DATA to the folder of the original "
                "data, or train with another --out."
            )


def hashes_of(source: Source) -> dict[str, str]:
    """Return the content hash and protocol hash of a source."""
    return {name: getattr(source, name) for name in HASHES}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two recipes.

    Args:
        before: Values of the old recipe by dotted key.
        now: Values of the new recipe by dotted key.

    Example:
        >>> differences({"seed": 0, "method.name": "g2d"}, {"seed": 1, "method.name": "g2d"})
        ['seed was 0 and is now 1']
    """
    return [
        f"{key} was {before.get(key)!r} and is now {now.get(key)!r}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    ]


def essential(resolved: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of a recipe that can change the result.

    Args:
        resolved: The resolved recipe.

    Example:
        >>> dict(essential({"data": {"name": "digits", "root": "/a"}, "train": {"workers": 2}}))
        {'data.name': 'digits'}
    """
    machine = tuple(f"train.{name}" for name in MACHINE_OPTIONS)
    for key, value in _dotted(json.loads(json.dumps(resolved))):
        if key not in PLACES and not key.endswith(machine):
            yield key, value


def _dotted(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _dotted(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, content
