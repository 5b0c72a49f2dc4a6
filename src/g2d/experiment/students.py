"""Further students of a run: each in a folder inside it, from a seed of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.data import Source
from g2d.engine.checkpoint import BEST
from g2d.errors import RunError
from g2d.experiment.rebuilding import rebuilt
from g2d.method import Method
from g2d.model import MultimodalModel
from g2d.recipe import Recipe
from g2d.runs import CHECKPOINTS, MEMBERS, TEACHERS, Result, StackFacts

OTHER_SEED = 1000
"""Distance of the seeds of students that are stacked, beyond the seeds that a comparison uses."""


@dataclass(frozen=True)
class TrainedStudent:
    """A student whose run is finished.

    Args:
        recipe: Its recipe.
        model: Its model, in evaluation mode.
        method: Its method.
        result: The result of its run.
    """

    recipe: Recipe
    model: MultimodalModel
    method: Method
    result: Result


def open_student(
    recipe: Recipe, source: Source, folder: Path, result: Result | None
) -> TrainedStudent:
    """Open a trained student on the device of its training.

    Args:
        recipe: Its recipe.
        source: The data.
        folder: Its run folder.
        result: Its result.

    Raises:
        RunError: The run is not finished.
    """
    if result is None:
        raise RunError(f"{folder} must be a finished run, found no result.")
    model, method = rebuilt(recipe, source, folder / CHECKPOINTS / BEST)
    device = recipe.train.resolved_device()
    return TrainedStudent(recipe, model.to(device), method.to(device), result)


def student_recipes(recipe: Recipe, out: Path) -> dict[str, Recipe]:
    """Return the recipe of every student of a run after the first one, by name.

    All students have the same teachers.

    Args:
        recipe: The recipe of the run.
        out: The run folder.

    Raises:
        RecipeError: A seed is too large.

    Example:
        >>> pair = Recipe.load("digits", ["method=joint", "students=2"])
        >>> {name: one.train.seed for name, one in student_recipes(pair, Path("a")).items()}
        {'student-2': 1000}
    """
    seed, teachers = recipe.train.seed, recipe.teachers
    shared: dict[str, Any] = {
        "teachers.seed": teachers.train.seed,
        "teachers.folder": str(teachers.folder or out.parent / TEACHERS),
        "controls": False,
        "stack": 0,
        "students": 1,
    }
    numbers = {f"student-{i + 1}": i for i in range(1, recipe.students)}
    return {
        name: recipe.changed({**shared, "name": name, "seed": seed + i * OTHER_SEED})
        for name, i in numbers.items()
    }


def student_folder(out: Path, name: str) -> Path:
    """Return the folder of a student inside a run folder.

    Args:
        out: The run folder.
        name: Name of the student.
    """
    return out / MEMBERS / name


def stack_facts(recipe: Recipe, out: Path, head_weights: Mapping[str, float]) -> StackFacts:
    """Return the stacking of a run.

    Args:
        recipe: Its recipe.
        out: The run folder.
        head_weights: Weight of every stacked head.
    """
    others = {name: one.resolved() for name, one in student_recipes(recipe, out).items()}
    weights = dict(head_weights)
    return StackFacts(teacher_sets=recipe.stack, head_weights=weights, students=others)
