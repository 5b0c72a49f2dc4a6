"""Finished runs, read from their folders: ``result.json``, ``metrics.jsonl``, ``recipe.yaml``, and ``analysis.json`` where a diagnosis left one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from g2d.errors import RunError
from g2d.plainyaml import read_mapping
from g2d.task import TASKS

SCHEMA = 1
"""The version of ``result.json`` that is written and read."""
RESULT, RECIPE, METRICS, ANALYSIS = "result.json", "recipe.yaml", "metrics.jsonl", "analysis.json"
Record = dict[str, Any]


def read_result(folder: Path) -> Record | None:
    """The result of a finished run; None if it is not finished.

    Raises:
        RunError: the file is damaged, or of another version.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(
            f"{path} must be readable JSON, found damage: {error}. Delete it and train again with the same --out to rebuild it."
        ) from None
    version = result.get("schema") if isinstance(result, dict) else None
    if version != SCHEMA:
        if isinstance(version, int) and version > SCHEMA:
            raise RunError(
                f"{path} must be of schema {SCHEMA}, found {version}. A later g2d wrote it: read it with that one."
            )
        shown = "none" if version is None else repr(version)
        raise RunError(
            f"{path} must be of schema {SCHEMA}, found {shown}. An earlier g2d wrote it: train again, in a new folder."
        )
    return result if result.get("complete") else None


def read_epochs(folder: Path) -> list[Record]:
    """The records of a run, one per epoch; none where it has not trained.

    Raises:
        RunError: a line is damaged.
    """
    path = folder / METRICS
    if not path.is_file():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise RunError(
            f"{path} must hold one JSON object per line, found damage: {error}. Train again with the same --out to rebuild it."
        ) from None


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Args:
        folder: where it lies.
        result: the content of its ``result.json``.
    """

    folder: Path
    result: Record

    @property
    def name(self) -> str:
        return str(self.result["name"])

    @property
    def seed(self) -> int:
        return int(self.result["seed"])

    @property
    def modalities(self) -> list[str]:
        return list(self.result["modalities"])

    @property
    def headline(self) -> str:
        """The metric that selects; higher is better."""
        return TASKS[self.result["task"]["kind"]].headline

    @cached_property
    def epochs(self) -> list[Record]:
        """One record per epoch."""
        return read_epochs(self.folder)

    @cached_property
    def recipe_text(self) -> str:
        """The resolved recipe, as it was written."""
        path = self.folder / RECIPE
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @cached_property
    def recipe(self) -> Record:
        """The resolved recipe."""
        return dict(read_mapping(self.folder / RECIPE)) if self.recipe_text else {}

    @cached_property
    def analysis(self) -> Record:
        """What a diagnosis found; empty where there was none."""
        path = self.folder / ANALYSIS
        try:
            content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise RunError(
                f"{path} must be readable JSON, found damage: {error}. Run g2d diagnose again to rebuild it."
            ) from None
        return content if isinstance(content, dict) else {"analysis": content}

    def fused(self, metric: str) -> float | None:
        """A metric of all modalities together, on test."""
        return number_or_none(self.result["test"]["fused"].get(metric))

    def unimodal(self, modality: str, metric: str) -> float | None:
        """A metric of a modality's own logits, on test."""
        return number_or_none(self.result["test"]["unimodal"].get(modality, {}).get(metric))


def number_or_none(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def read_run(folder: Path) -> RunRecord:
    """One finished run.

    Raises:
        RunError: it is not finished, or not a run.
    """
    result = read_result(folder)
    if result is None:
        raise RunError(
            f"{folder} must be a finished run, found no complete {RESULT}. Train it to its end first."
        )
    return RunRecord(folder, result)


def find_runs(folders: Iterable[Path]) -> tuple[list[RunRecord], list[Path]]:
    """All finished runs in these folders and below them, and the folders of those that are not finished.

    Runs come in the order of their folders' names (a comparison keeps one folder per recipe and one below it per seed).

    Raises:
        RunError: a folder does not exist, or there is no finished run in any.
    """
    folders = list(folders)
    found: dict[Path, RunRecord] = {}
    unfinished: list[Path] = []
    for top in folders:
        if not top.is_dir():
            raise RunError(f"a folder to report on must exist, found none at {top}.")
        for folder in _run_folders(top):
            result = read_result(folder)
            if result is None:
                unfinished.append(folder)
            else:
                found.setdefault(folder.resolve(), RunRecord(folder, result))
    if not found:
        raise RunError(
            f"{', '.join(map(str, folders))} must hold at least one finished run, found none ({len(unfinished)} unfinished)."
        )
    return list(found.values()), unfinished


def _run_folders(top: Path) -> list[Path]:
    """Folders that hold a result or a recipe; what lies inside a run is not searched."""
    runs = []
    for place, below, files in os.walk(top):
        if RESULT in files or RECIPE in files:
            runs.append(Path(place))
            below.clear()
        below.sort(key=_natural)
    return runs


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that puts seed-2 before seed-10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def problems(runs: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Runs by (data hash, protocol, modalities, task): numbers from different data never stand side by side."""
    found: dict[str, list[RunRecord]] = {}
    for run in runs:
        data = run.result["data"]
        key = json.dumps(
            [
                data["name"],
                data["content_hash"],
                data["protocol_hash"],
                run.modalities,
                run.result["task"],
            ],
            sort_keys=True,
        )
        found.setdefault(key, []).append(run)
    return list(found.values())


INCIDENTAL = ("name", "seed", "data.root", "teachers.seed", "teachers.folder", "controls")
MACHINE = ("device", "workers", "threads", "compile", "eval_batch_size")
"""Keys of a recipe in which the seeds of one experiment may differ."""


def by_recipe(runs: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Runs that differ in nothing but their seed, under the name of their recipe, in the order given.

    Where different recipes have the same name, what they differ in is added to it; where the same seed ran twice, the folder.
    """
    names: dict[str, dict[str, list[RunRecord]]] = {}
    for run in runs:
        names.setdefault(run.name, {}).setdefault(
            json.dumps(_essence(run), sort_keys=True), []
        ).append(run)
    found: dict[str, list[RunRecord]] = {}
    for name, recipes in names.items():
        for essence, same in recipes.items():
            label = name if len(recipes) == 1 else f"{name} ({_differing(essence, list(recipes))})"
            if len({run.seed for run in same}) == len(same):
                found[label] = same
            else:  # repeated runs are no further seeds
                found |= {f"{label} ({run.folder})": [run] for run in same}
    return found


def _essence(run: RunRecord) -> Record:
    """A recipe in dotted keys, without those that may differ between seeds."""
    return {
        key: value
        for key, value in _dotted(run.recipe)
        if key not in INCIDENTAL and not key.endswith(tuple(f"train.{name}" for name in MACHINE))
    }


def _dotted(content: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _dotted(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, content


def _differing(essence: str, all_of_them: Sequence[str]) -> str:
    here, others = (
        json.loads(essence),
        [json.loads(other) for other in all_of_them if other != essence],
    )
    keys = [
        key
        for key in dict.fromkeys(key for recipe in [here, *others] for key in recipe)
        if any(recipe.get(key) != here.get(key) for recipe in others)
    ]
    return ", ".join(f"{key}={json.dumps(here.get(key))}" for key in keys[:3]) or "recipe"
