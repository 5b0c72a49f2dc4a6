"""Several labels per row, as sets of names and as one state per label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError

MULTILABEL = "multilabel"
"""Kind of a task with several labels per row, see :class:`g2d.task.MultiLabel`."""


def label_task(labels: Iterable[str]) -> dict[str, Any]:
    """Return a task of several labels as a :class:`~g2d.prepare.plan.Plan` describes it."""
    names = list(labels)
    return {"kind": MULTILABEL, "labels": names, "outputs": len(names)}


def states_of(sets: Sequence[Iterable[Any] | None], names: Sequence[Any] = ()) -> LabelStates:
    """Return the labels of rows as states.

    Args:
        sets: Labels of each row; None where they are unknown.
        names: Names of all labels, in order; labels may then be their numbers. By default the
            labels that occur, sorted.

    Returns:
        The names, and the states ``(N, C)``: 1, 0, or NaN where the labels are unknown.

    Raises:
        DataError: A label is not among the names, or there is none at all.

    Example:
        >>> states_of([["sad", "happy"], [], None])[1].tolist()
        [[1.0, 1.0], [0.0, 0.0], [nan, nan]]
    """
    rows = [None if labels is None else {*labels} for labels in sets]
    every = {label for row in rows if row for label in row}
    numbers = not any(isinstance(label, str) for label in every)
    places = range(len(names)) if names and numbers else names or sorted(every)
    if unknown := sorted(map(str, every - {*places})):
        rule = f"labels must be among the {len(places)} named ones"
        raise DataError(f"{rule}, found {unknown[0]!r}.")
    if not places:
        raise DataError("some row must have a label, found none.")
    states = np.full((len(rows), len(places)), np.nan)
    for number, row in enumerate(rows):
        if row is not None:
            states[number] = [label in row for label in places]
    return [str(name) for name in names or places], states


LabelStates = tuple[list[str], NDArray[np.float64]]
"""Names of labels, and their states ``(N, C)``."""


def strata_of(states: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rarest label of every row ``(N,)``, by which rows are divided into splits.

    Rows without a label have the number C.

    Args:
        states: States of the labels ``(N, C)``, 1 or 0.

    Example:
        >>> strata_of(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])).tolist()
        [1, 0, 2]
    """
    rarest_first = np.argsort(states.sum(0), kind="stable")
    has = np.concatenate([states[:, rarest_first] > 0, np.ones((len(states), 1), np.bool_)], 1)
    strata: NDArray[np.int64] = np.append(rarest_first, states.shape[1])[has.argmax(1)]
    return strata


def label_cell(labels: Sequence[str]) -> str:
    """Return the labels of a row as one cell, which ``g2d data prepare table`` reads.

    Example:
        >>> label_cell(("happy", "sad")), label_cell(()), label_cell(("a|b",))
        ('happy|sad', '[]', '["a|b"]')
    """
    if labels and not any("|" in label for label in labels):
        return "|".join(labels)
    return json.dumps(list(labels), ensure_ascii=False)
