"""Read finished runs from their folders."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from g2d.errors import RunError
from g2d.files import read_text
from g2d.plainyaml import read_mapping
from g2d.runs.analysis import Analysis, read_analysis
from g2d.runs.names import METRICS, RECIPE, RESULT
from g2d.runs.result import SCHEMA, Epoch, Result, damage, read_content
from g2d.task import TASKS

REBUILD = "Delete it and train again with the same --out to rebuild it."


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
        return Result.model_validate(content)
    except ValidationError as error:
        raise RunError(
            f"{path} must hold a complete result, found damage: {damage(error)}. {REBUILD}"
        ) from None


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
        lines = [line for line in read_text(path).splitlines() if line.strip()]
        return [Epoch.model_validate_json(line) for line in lines]
    except (OSError, ValueError) as error:
        reason = damage(error) if isinstance(error, ValidationError) else error
        raise RunError(
            f"{path} must hold one record per line, found damage: {reason}. "
            "Train again with the same --out to rebuild it."
        ) from None


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

    def fused(self, metric: str) -> float | None:
        """Return a test metric of all modalities together, or None if it is missing."""
        return self.result.test.fused.get(metric)

    def unimodal(self, modality: str, metric: str) -> float | None:
        """Return a test metric of a modality's own logits, or None if it is missing."""
        return self.result.test.unimodal.get(modality, {}).get(metric)


def read_run(folder: Path) -> RunRecord:
    """Read one finished run.

    Args:
        folder: The run folder.

    Raises:
        RunError: The folder is not a run, or the run is not finished.
    """
    result = read_result(folder)
    if result is None:
        raise RunError(
            f"{folder} must be a finished run, found no complete {RESULT}. "
            "Train it to its end first."
        )
    return RunRecord(folder, result)


def find_runs(folders: Iterable[Path]) -> tuple[list[RunRecord], list[Path]]:
    """Find all runs in some folders and below them.

    Methods of a comparison keep the order in which they were started. The runs of a folder are
    sorted by name, with ``seed-2`` before ``seed-10``.

    Args:
        folders: Run folders, or folders that contain some.

    Returns:
        The finished runs, and the folders of the unfinished ones.

    Raises:
        RunError: A folder does not exist, or none of them contains a finished run.
    """
    folders = list(folders)
    finished: dict[Path, RunRecord] = {}
    unfinished: list[Path] = []
    for top in folders:
        if not top.is_dir():
            raise RunError(f"cannot report on {top}: no such folder.")
        for folder in _run_folders(top):
            result = read_result(folder)
            if result is None:
                unfinished.append(folder)
            else:
                finished.setdefault(folder.resolve(), RunRecord(folder, result))
    if not finished:
        raise RunError(
            f"{', '.join(map(str, folders))} must hold at least one finished run, "
            f"found none ({len(unfinished)} unfinished)."
        )
    return list(finished.values()), unfinished


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
