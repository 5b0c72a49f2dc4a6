"""Values that the paper prints in Tables 1-7, baselines and teachers included.

They are shown next to values that were measured on the same data set. The paper does not describe
its selection; its released code selects on the test split. Problems that the paper does not have,
like ``digits``, have no values here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from g2d.paper.grid import Cell

FUSED = "fused"
"""The prediction from all modalities of a run."""
TEACHER = "teacher"
"""Method of a value of a unimodal teacher."""
NOTE = (
    "published: the value of the paper for the same data set and protocol; its released code "
    "selects the epoch on the test split."
)
"""Note of every table with published values."""


@dataclass(frozen=True)
class Published:
    """Value that the paper prints.

    Args:
        table: Number of the table.
        dataset: Name of the data set.
        modalities: Modalities of the run.
        method: Method or variant; :data:`TEACHER` for a unimodal teacher.
        variant: See :class:`~g2d.paper.grid.Cell`.
        of: :data:`FUSED`, or the modality whose own prediction is scored.
        metric: Name of the test metric.
        value: The value in the printed unit.
    """

    table: str
    dataset: str
    modalities: tuple[str, ...]
    method: str
    variant: str
    of: str
    metric: str
    value: float


@cache
def published_values() -> tuple[Published, ...]:
    """Return all values, in the order of the paper.

    Example:
        >>> len(published_values())
        262
    """
    return tuple(_read(Path(__file__).with_name("published.csv")))


def _read(path: Path) -> Iterator[Published]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            modalities = tuple(row.pop("modalities").split("+"))
            yield Published(modalities=modalities, value=float(row.pop("value")), **row)


def published(cell: Cell, metric: str, of: str = FUSED) -> float | None:
    """Return the value that the paper prints for a run, or None.

    Args:
        cell: The run.
        metric: Name of the test metric.
        of: :data:`FUSED`, or a modality.

    Example:
        >>> published(Cell("1", "crema_d", "joint"), "accuracy", "video")
        27.42
    """
    key = (cell.table, cell.dataset, cell.modalities, cell.method, cell.variant, of, metric)
    return _by_key().get(key)


def published_teacher(cell: Cell, metric: str, modality: str) -> float | None:
    """Return the value that the paper prints for the teacher of a modality of a run, or None."""
    key = (cell.table, cell.dataset, (modality,), TEACHER, "", modality, metric)
    return _by_key().get(key)


@cache
def _by_key() -> dict[tuple[object, ...], float]:
    return {
        (v.table, v.dataset, v.modalities, v.method, v.variant, v.of, v.metric): v.value
        for v in published_values()
    }
