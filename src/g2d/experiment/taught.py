"""The teachers of a run, and what its result says about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.data import Source
from g2d.engine.callbacks import Callback, ProgressLine
from g2d.engine.teacher_cache import Teacher, TeacherCache
from g2d.fusion import Late
from g2d.model import MultimodalModel, Teachers, feature_dims
from g2d.recipe import Recipe


@dataclass(frozen=True)
class Taught:
    """The teachers of a run.

    Args:
        teachers: what the student learns from.
        found: where each of them came from, in the data's order.
    """

    teachers: Teachers
    found: Sequence[Teacher]

    @property
    def seconds(self) -> float:
        """What training them cost, whenever that was."""
        return sum(float(teacher.facts["seconds"]) for teacher in self.found)

    def described(self, student: Mapping[str, float]) -> dict[str, Any]:
        """The teachers' part of a result.

        Args:
            student: mean confidence of the student's own unimodal predictions on the test split.
        """
        return {
            teacher.modality: self._described(teacher, student.get(teacher.modality))
            for teacher in self.found
        }

    def _described(self, teacher: Teacher, student: float | None) -> dict[str, Any]:
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


def obtain(
    recipe: Recipe, source: Source, out: Path, *, progress: bool, say: Callable[[str], object]
) -> Taught:
    """The teachers a recipe asks for, trained now or found again; kept in ``teachers`` beside the run folder unless told."""
    cache = teacher_cache(
        recipe,
        source,
        recipe.teachers.folder or out.parent / "teachers",
        progress=progress,
        say=say,
    )
    return Taught(
        *cache.teachers(
            distil=recipe.teachers.distil_checkpoint, ranking=recipe.teachers.ranking_checkpoint
        )
    )


def teacher_cache(
    recipe: Recipe,
    source: Source,
    folder: Path,
    *,
    progress: bool = False,
    say: Callable[[str], object] = lambda _: None,
) -> TeacherCache:
    """Where a recipe's teachers are kept, or would be."""

    def watch(name: str) -> Sequence[Callback]:
        return [ProgressLine(name, source.task.headline)] if progress else []

    def build(m: str) -> MultimodalModel:
        encoder = {m: recipe.build_encoder(source, m)}
        example = source.view(source.gather(source.rows("train")[:2]), seed=0, epoch=1, train=False)
        dims = feature_dims(encoder, example.inputs)
        return MultimodalModel(encoder, Late(dims, source.task.outputs))

    encoders = {m: encoder.plain() for m, encoder in recipe.encoders.items()}
    return TeacherCache(
        folder,
        source,
        encoders,
        build,
        recipe.teachers.train,
        say=say,
        watch=watch,
    )
