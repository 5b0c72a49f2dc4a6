"""Teachers as cells of their own: each is trained once, before the runs that need it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from g2d.data import Source
from g2d.errors import G2DError
from g2d.experiment.cells import Cell, Failure, require_some
from g2d.experiment.console import Console, Say
from g2d.experiment.execution import execute
from g2d.experiment.launching import Launch, threads_of
from g2d.experiment.teachers import teacher_cache, teacher_recipes
from g2d.recipe import Recipe

TEACHER = "teacher"
"""What a cell that trains a teacher is called."""


@dataclass(frozen=True)
class TeachersTrained:
    """Numbers of trained teachers, and why others are not trained.

    Args:
        trained: Number of teachers trained by this call.
        ready: Number of teachers that were finished before.
        failures: Why others are not finished.
    """

    trained: int
    ready: int
    failures: Sequence[Failure]


def train_teachers(
    recipes: Sequence[Recipe], launch: Launch, *, progress: bool, say: Say
) -> TeachersTrained:
    """Train the teachers that recipes need, each once.

    Args:
        recipes: Recipes whose teachers have a folder.
        launch: How they are trained.
        progress: Show a progress line per training.
        say: Receives messages for the user.

    Raises:
        DataError: Data of a recipe cannot be opened.
        RunError: No teacher could be trained.
    """
    launch.check_cores(recipes)
    opened = _Opened()
    needed = {one.name: one for recipe in recipes for one in _needed(recipe, opened)}
    missing = [one.cell for one in needed.values() if not one.is_finished]
    outcomes = execute(missing, recipes, launch, progress=progress, say=say)
    require_some(outcomes, TEACHER)
    return TeachersTrained(len(outcomes.results), len(needed) - len(missing), outcomes.failures)


def with_teachers(runs: Iterable[tuple[Recipe, Cell]]) -> tuple[list[Cell], list[Cell]]:
    """Return the missing teachers as cells, and the runs that need them.

    Args:
        runs: Recipes whose teachers have a folder, and their cells.
    """
    teachers, cells, opened = dict[str, Cell](), list[Cell](), _Opened()
    for recipe, cell in runs:
        try:
            missing = [one.cell for one in _needed(recipe, opened) if not one.is_finished]
        except (G2DError, OSError):
            missing = []  # the run itself fails for the same reason, and is reported
        teachers |= {one.name: one for one in missing}
        cells.append(replace(cell, needs=frozenset(one.name for one in missing)))
    return list(teachers.values()), cells


def train_teacher(recipe: Recipe, modality: str, console: Console) -> bool:
    """Train a teacher, unless another process has done so meanwhile.

    Args:
        recipe: A recipe that needs it; its teachers have a folder.
        modality: The modality of the teacher.
        console: Receives the progress.

    Returns:
        Whether it was trained by this call.
    """
    torch.set_num_threads(threads_of(recipe))
    source = recipe.build_source()
    cache = teacher_cache(recipe, source, _folder(recipe), recipe.example(source), console)
    return not cache.obtain(modality).reused


@dataclass(frozen=True)
class _Needed:
    """A teacher that a recipe needs."""

    cell: Cell
    is_finished: bool

    @property
    def name(self) -> str:
        return self.cell.name


class _Opened:
    """Data that several recipes share, each opened once."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}

    def source(self, recipe: Recipe) -> Source:
        key = json.dumps(recipe.data.plain(), sort_keys=True)
        if key not in self.sources:
            self.sources[key] = recipe.build_source()
        return self.sources[key]


def _needed(recipe: Recipe, opened: _Opened) -> Iterator[_Needed]:
    """Yield the teachers of a recipe, of all its sets."""
    for one in teacher_recipes(recipe):
        source = opened.source(one)
        cache = teacher_cache(one, source, _folder(one), None, Console(lambda text: None))
        for m in source.modalities:
            work = partial(train_teacher, one, m)
            cell = Cell(f"teacher of {m} ({cache.path(m).name})", work, threads_of(one))
            yield _Needed(cell, cache.find(m) is not None)


def _folder(recipe: Recipe) -> Path:
    if recipe.teachers.folder is None:
        raise AssertionError("the folder of the teachers must be set")
    return recipe.teachers.folder
