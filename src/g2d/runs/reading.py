"""Read finished runs from their folders."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from g2d.errors import RecipeError, RunError
from g2d.files import one_line
from g2d.manifest import require_unchanged, unsigned
from g2d.plainyaml import read_mapping
from g2d.runs.analysis import Analysis, read_analysis
from g2d.runs.epochs import read_epochs
from g2d.runs.names import PREDICTIONS, RECIPE, RESULT
from g2d.runs.result import SCHEMA, Epoch, Result, damage, read_content
from g2d.task import TASKS

REBUILD = "Delete it and train again with the same --out to rebuild it."
RESTORE = "Restore it from a copy, or train again with another --out."


def read_result(folder: Path) -> Result | None:
    """Return the result of a run, or None if the run is not finished.

    Args:
        folder: The run folder.

    Raises:
        RunError: ``result.json`` is damaged or has another schema version.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    content = read_content(path, REBUILD)
    version = content.get("schema") if isinstance(content, dict) else None
    if version != SCHEMA:
        later = isinstance(version, int) and version > SCHEMA
        remedy = (
            "A later version of g2d wrote it: read it with that version."
            if later
            else "An earlier version of g2d wrote it: train again in a new folder."
        )
        value = "none" if version is None else repr(version)
        raise RunError(f"{path} must have schema {SCHEMA}, found {value}. {remedy}")
    if not content.get("complete"):
        return None
    try:
        return Result.model_validate(unsigned(content))
    except ValidationError as error:
        raise RunError(
            f"{path} must hold a complete result, found damage: {damage(error)}. {REBUILD}"
        ) from None
    except ValueError as error:
        raise RunError(
            f"{path} must hold a complete result, found damage: {error}. {REBUILD}"
        ) from None


def require_whole(folder: Path, files: Mapping[str, str], recorded: str = RESULT) -> None:
    """Refuse a run of which a file differs from the one that another file records.

    Args:
        folder: The run folder.
        files: SHA-256 by name; empty in results of earlier versions.
        recorded: Name of the file that records them.

    Raises:
        RunError: A file is missing, or was changed or damaged.
    """
    for name, digest in files.items():
        try:
            require_unchanged(folder, {name: digest})
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            remedy = REBUILD.replace("it", RESULT, 1) if name == PREDICTIONS else RESTORE
            rule = f"{folder / name} must be the file that {recorded} records"
            raise RunError(f"{rule}, found: {reason}. {remedy}") from None


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Args:
        folder: The run folder.
        result: Content of its ``result.json``.
    """

    folder: Path
    result: Result

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.result.name

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.result.seed

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities."""
        return self.result.modalities

    @property
    def headline(self) -> str:
        """Metric that selects the epoch; higher is better."""
        return TASKS[self.result.task["kind"]].headline

    @cached_property
    def epochs(self) -> list[Epoch]:
        """Records of the training, one per epoch."""
        return read_epochs(self.folder)

    @cached_property
    def recipe_text(self) -> str:
        """The resolved recipe as text; empty if the file is missing."""
        path = self.folder / RECIPE
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe; empty if the file is missing."""
        return dict(read_mapping(self.folder / RECIPE)) if self.recipe_text else {}

    @cached_property
    def analysis(self) -> Analysis | None:
        """The diagnosis; None if there is none."""
        return read_analysis(self.folder)

    def read(self) -> None:
        """Read everything that a report shows.

        Raises:
            RunError, RecipeError: A file is damaged.
        """
        _ = self.epochs, self.recipe, self.analysis

    def fused(self, metric: str) -> float | None:
        """Return a test metric of all modalities together, or None if it is missing."""
        return self.result.test.fused.get(metric)

    def unimodal(self, modality: str, metric: str) -> float | None:
        """Return a test metric of a modality's own logits, or None if it is missing."""
        return self.result.test.unimodal.get(modality, {}).get(metric)


def read_run(folder: Path) -> RunRecord:
    """Read one finished run, with its epochs, its recipe and its diagnosis.

    Args:
        folder: The run folder.

    Raises:
        RunError: The folder is not a run, the run is not finished, or a file of it is damaged.
    """
    result = read_result(folder)
    if result is None:
        raise RunError(
            f"{folder} must be a finished run, found no complete {RESULT}. "
            "Train it to its end first."
        )
    require_whole(folder, result.files)
    run = RunRecord(folder, result)
    try:
        run.read()
    except RecipeError as error:
        raise RunError(f"{one_line(str(error))} {RESTORE}") from None
    return run


@dataclass(frozen=True)
class LeftOut:
    """A run that a report leaves out; prints as a sentence.

    Args:
        folder: The run folder.
        fault: Why it cannot be used; empty if it is not finished.
    """

    folder: Path
    fault: str = ""

    def __str__(self) -> str:
        if not self.fault:
            return f"{self.folder} is not finished and is left out."
        return f"{self.folder} is left out: {self.fault}"


def find_runs(folders: Iterable[Path]) -> tuple[list[RunRecord], list[LeftOut]]:
    """Find all runs in some folders and below them.

    Methods of a comparison keep the order in which they were started. The runs of a folder are
    sorted by name, with ``seed-2`` before ``seed-10``.

    Args:
        folders: Run folders, or folders that contain some.

    Returns:
        The finished runs; and the unfinished and the damaged ones, which no report can use.

    Raises:
        RunError: A folder does not exist, or none of them contains a run that can be used.
    """
    folders = list(folders)
    finished: dict[Path, RunRecord] = {}
    left_out: list[LeftOut] = []
    for top in folders:
        if not top.is_dir():
            raise RunError(f"cannot report on {top}: no such folder.")
        for folder in _run_folders(top):
            try:
                if read_result(folder) is None:
                    left_out.append(LeftOut(folder))
                else:
                    finished.setdefault(folder.resolve(), read_run(folder))
            except RunError as error:
                left_out.append(LeftOut(folder, str(error)))
    if not finished:
        damaged = [str(one) for one in left_out if one.fault]
        raise RunError(
            f"{', '.join(map(str, folders))} must hold at least one finished run, "
            f"found none ({len(left_out) - len(damaged)} unfinished)."
            + "".join(f"\n{sentence}" for sentence in damaged)
        )
    return list(finished.values()), left_out


def _run_folders(top: Path) -> list[Path]:
    """Return the folders with a result or a recipe, without searching inside a run."""
    runs: list[Path] = []
    for place, below, files in os.walk(top):
        if RESULT in files or RECIPE in files:
            runs.append(Path(place))
            below.clear()
        below.sort(key=_natural)
    started: dict[Path, float] = {}
    for run in runs:
        recipe = run / RECIPE
        start = recipe.stat().st_mtime if recipe.is_file() else math.inf
        for folder in run.parents[: len(run.relative_to(top).parts)]:
            started[folder] = min(start, started.get(folder, math.inf))
    return sorted(runs, key=lambda run: [started.get(folder, 0.0) for folder in run.parents[::-1]])


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts ``seed-2`` before ``seed-10``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
