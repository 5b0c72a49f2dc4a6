"""The pieces of a recipe that have passed validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from g2d.engine.options import TrainOptions

Checkpoint = Literal["best", "last"]


@dataclass(frozen=True, slots=True)
class Named:
    """A registered name and its options, defaults included."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {"name": self.name, **self.options}


@dataclass(frozen=True, slots=True)
class TeacherPlan:
    """How the teachers are trained, and which of their checkpoints are used.

    Args:
        train: the student's options with the teachers' own seed, epochs and overrides.
        distil_checkpoint, ranking_checkpoint: which one distils, which one ranks.
        folder: where teachers are kept; None is ``teachers`` beside the run folder.
    """

    train: TrainOptions
    distil_checkpoint: Checkpoint = "best"
    ranking_checkpoint: Checkpoint = "best"
    folder: Path | None = None
