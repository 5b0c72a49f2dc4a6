"""Warnings about the rows of a split: rare classes, and rows that training has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.splits import SPLITS, TRAIN, UNUSED

RARE = 0.1
"""A class with less than this share of the rows of a balanced class is reported as rare."""
SHOWN = 5
"""Number of classes named in a warning."""


def class_balance(
    task: Mapping[str, Any], target: NDArray[Any], place: NDArray[np.int8]
) -> Iterator[str]:
    """Yield warnings about classes or labels that a split lacks or hardly has.

    Args:
        task: Task of a :class:`~g2d.prepare.plan.Plan`; values have no classes.
        target: Class number of every row ``(N,)``, or the states of its labels ``(N, C)``.
        place: Split number of every row ``(N,)``.

    Example:
        >>> target, place = np.array([0, 1, 0, 0]), np.array([0, 0, 1, 2], np.int8)
        >>> print(*class_balance({"classes": ["cat", "dog"]}, target, place), sep=", ")
        valid has no row of 1 classes: dog, test has no row of 1 classes: dog
    """
    noun = "classes" if "classes" in task else "labels"
    classes = task.get(noun, ())
    for number, split in enumerate(SPLITS):
        rows = target[place == number]
        if not len(rows) or not classes:
            continue
        if rows.ndim == 1:
            counts = np.bincount(rows, minlength=len(classes))
        else:
            counts = rows.sum(0).astype(np.int64)
        if none := [classes[c] for c in np.flatnonzero(counts == 0).tolist()]:
            yield f"{split} has no row of {len(none)} {noun}: {_first(none)}"
        rare = (counts > 0) & (counts < RARE * len(rows) / len(classes))
        if few := [f"{classes[c]} {counts[c]}" for c in np.flatnonzero(rare).tolist()]:
            yield f"{split} has few rows of {_first(few)}"


def seen_rows(digests: NDArray[np.uint8], place: NDArray[np.int8]) -> Iterator[str]:
    """Yield a warning if rows for validation or testing are also training rows.

    Args:
        digests: Hash of the content of every row ``(N, 32)``.
        place: Split number of every row ``(N,)``.
    """
    short = np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]
    other = (place != TRAIN) & (place != UNUSED)
    if count := int(np.isin(short[other], short[place == TRAIN]).sum()):
        yield f"{count} rows for validation or testing have the same content as a training row"


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
