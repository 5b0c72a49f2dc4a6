"""A run folder: what lies where, and whether a recipe may go on in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from g2d.data import Source
from g2d.errors import RunError
from g2d.plainyaml import read_mapping
from g2d.runs.records import RECIPE, read_result

PREDICTIONS, CHECKPOINTS = "predictions/test.npz", "checkpoints"
DATA = "data.json"
"""What the run is trained on: written when it begins, held against what is there whenever it goes on or is opened."""
STACK = "stack"
"""The checkpoint of a stack, beside those of its student."""

HASHES = ("content_hash", "protocol_hash")

INCIDENTAL = ("device", "workers", "threads", "compile", "eval_batch_size")
"""Training options that change where and how fast a run goes, not what it is: a run may be resumed with others."""


def claim(folder: Path, resolved: dict[str, Any]) -> dict[str, Any] | None:
    """Whether a recipe may train in a folder: the result if it already has, None if it may start or go on.

    Nothing is written.

    Raises:
        RunError: the folder belongs to another recipe, or is not a run folder.
    """
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise RunError(f"--out must be a folder, found a file: {folder}.")
    if not (folder / RECIPE).is_file():
        if any(folder.iterdir()):
            raise RunError(
                f"--out must be a new folder or a run folder, found other things in {folder}. Choose another --out."
            )
        return None
    there, here = _essential(read_mapping(folder / RECIPE)), _essential(resolved)
    if there != here:
        raise RunError(
            f"{folder} must hold the same recipe to be resumed, found another: {'; '.join(differences(there, here))}. "
            "Choose another --out, or delete the folder."
        )
    return read_result(folder)


def trained_on(folder: Path) -> dict[str, str]:
    """Content and protocol hash of a run's data; empty if it has not begun."""
    path = folder / DATA
    try:
        hashes: dict[str, str] = (
            json.loads(path.read_text(encoding="utf-8"))
            if path.is_file()
            else (read_result(folder) or {}).get("data", {})
        )
        return {name: hashes[name] for name in HASHES if hashes}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} must be what g2d train wrote, found damage: {error!r}.") from error


def same_data(folder: Path, hashes: Mapping[str, str]) -> None:
    """Another store under the same name is not the data of the run.

    Args:
        folder: of the run. hashes: of the data that are there now, as far as they are known.

    Raises:
        RunError: they are not those that the run began with.
    """
    for name, began in trained_on(folder).items():
        if name in hashes and hashes[name] != began:
            what = name.replace("_", " ")
            raise RunError(
                f"{folder} must be opened with the data it was trained on ({what} {began[:12]}), found others under the same name ({hashes[name][:12]}). "
                "Name theirs with data.root or G2D_DATA, or train in another --out."
            )


def hashes_of(source: Source) -> dict[str, str]:
    """What tells data apart."""
    return {name: getattr(source, name) for name in HASHES}


def differences(there: Any, here: Any, path: str = "") -> list[str]:
    """Where two recipes differ, in dotted keys.

    Example:
        >>> differences({"seed": 0, "method": {"name": "g2d"}}, {"seed": 1, "method": {"name": "g2d"}})
        ['seed is 0 there and 1 here']
    """
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [*there, *(key for key in here if key not in there)]
        return [
            text
            for key in keys
            for text in differences(
                there.get(key), here.get(key), f"{path}.{key}" if path else str(key)
            )
        ]
    return [] if there == here else [f"{path} is {there!r} there and {here!r} here"]


def _essential(resolved: dict[str, Any]) -> dict[str, Any]:
    """A resolved recipe without what does not determine the result."""
    data = {key: value for key, value in resolved["data"].items() if key != "root"}
    train = {key: value for key, value in resolved["train"].items() if key not in INCIDENTAL}
    theirs = {
        key: value for key, value in resolved["teachers"]["train"].items() if key not in INCIDENTAL
    }
    teachers = {key: value for key, value in resolved["teachers"].items() if key != "folder"} | {
        "train": theirs
    }
    essential: dict[str, Any] = json.loads(
        json.dumps({**resolved, "data": data, "train": train, "teachers": teachers})
    )
    return essential
