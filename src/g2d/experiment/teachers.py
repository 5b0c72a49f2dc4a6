"""The teachers of a run, and their part of its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.data import SPLITS, Source
from g2d.engine.teacher_cache import Teacher, TeacherCache
from g2d.experiment.console import Console
from g2d.experiment.student import Student
from g2d.model import Teachers
from g2d.recipe import Recipe
from g2d.runs import TEACHERS
from g2d.types import Batch


@dataclass(frozen=True)
class TeacherSet:
    """One teacher per modality.

    Args:
        teachers: The frozen models.
        members: Where each of them comes from, in the order of the modalities.
    """

    teachers: Teachers
    members: Sequence[Teacher]

    @property
    def seconds(self) -> float:
        """Time of their training, also if it happened in another run."""
        return sum(float(teacher.facts["seconds"]) for teacher in self.members)

    def results(self, student: Mapping[str, float]) -> dict[str, dict[str, Any]]:
        """Return the teachers' part of ``result.json``.

        Args:
            student: Mean confidence of the student's unimodal predictions on the test split.
        """
        return {
            teacher.modality: _result(teacher, student.get(teacher.modality))
            for teacher in self.members
        }


def _result(teacher: Teacher, student: float | None) -> dict[str, Any]:
    splits = teacher.facts["splits"]
    confidence = {split: record["confidence"] for split, record in splits.items()}
    return {
        "test": splits["test"],
        "valid": splits["valid"],
        "confidence": confidence,
        "confidence_ratio": None if student is None else student / confidence["test"],
        "epoch": teacher.facts["epoch"],
        "reused": teacher.reused,
        "seconds": teacher.facts["seconds"],
        "folder": teacher.folder.name,
    }


def teacher_sets(
    student: Student, out: Path, console: Console, *, test: bool = True
) -> list[TeacherSet]:
    """Return the sets of teachers that a recipe needs, trained now or reused.

    The first set teaches and ranks. A stack gets more sets, from the next seeds. A student without
    teachers gets one set if its controls need it, and otherwise none.

    Args:
        student: Its recipe and data determine the teachers.
        out: The run folder; teachers are in the folder next to it unless the recipe names another.
        console: Reports which teachers are trained and why.
        test: False leaves the test split closed.
    """
    sets = []
    for one in teacher_recipes(student.recipe):
        folder = one.teachers.folder or out.parent / TEACHERS
        cache = teacher_cache(one, student.source, folder, student.example, console, test=test)
        distil, ranking = one.teachers.distil_checkpoint, one.teachers.ranking_checkpoint
        sets.append(TeacherSet(*cache.teachers(distil=distil, ranking=ranking)))
    return sets


def teacher_recipes(recipe: Recipe) -> list[Recipe]:
    """Return a recipe per set of teachers that a run needs; an empty list if it needs none.

    Args:
        recipe: The recipe of the run; the first set is its own, and others have the next seeds.
    """
    if not (recipe.needs_teachers or recipe.controls):
        return []
    first = recipe.teachers.train.seed
    others = range(first + 1, first + max(1, recipe.stack))
    return [recipe, *(recipe.changed({"teachers.seed": seed}) for seed in others)]


def teacher_cache(
    recipe: Recipe,
    source: Source,
    folder: Path,
    example: Batch | None,
    console: Console,
    *,
    test: bool = True,
) -> TeacherCache:
    """Return the cache of a recipe's teachers in a folder.

    Args:
        recipe: Its encoders and options determine the teachers.
        source: The data.
        folder: Folder of all teachers.
        example: Two rows, from which the widths of the encoders are read; None reads them if a
            teacher is built.
        console: Reports which teachers are trained and why.
        test: False leaves the test split closed.
    """
    return TeacherCache(
        folder,
        source,
        {m: encoder.plain() for m, encoder in recipe.encoders.items()},
        lambda m: recipe.build_teacher(source, m, example),
        recipe.teachers.train,
        splits=[split for split in SPLITS if test or split != "test"],
        say=console.say,
        watch=lambda name: console.lines(name, source.task.headline),
    )
