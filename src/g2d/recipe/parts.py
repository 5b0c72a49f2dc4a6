"""Parts of a validated recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from g2d.engine.options import TrainOptions

Checkpoint = Literal["best", "last"]


@dataclass(frozen=True, slots=True)
class Named:
    """A registered name and its options, defaults included.

    Args:
        name: The name.
        options: Plain values by option.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        options = in_words(self.options)
        return f"{self.name}({options})" if options else self.name

    def plain(self) -> dict[str, Any]:
        """Return the section as it is written in a recipe."""
        return {"name": self.name, **self.options}


def in_words(options: Mapping[str, Any]) -> str:
    """Return options as they are written in Python, without those that are null or empty."""
    return ", ".join(f"{k}={v!r}" for k, v in options.items() if v is not None and v != {})


@dataclass(frozen=True, slots=True)
class TeacherPlan:
    """Plan of how the teachers are trained, and which of their checkpoints are used.

    Args:
        train: The student's options with the teachers' own seed, epochs and overrides.
        distil_checkpoint: The checkpoint whose features and logits are distilled.
        ranking_checkpoint: The checkpoint whose confidence ranks the modalities.
        folder: Where teachers are kept; None is ``teachers`` in the parent of the run folder.
    """

    train: TrainOptions
    distil_checkpoint: Checkpoint = "best"
    ranking_checkpoint: Checkpoint = "best"
    folder: Path | None = None
