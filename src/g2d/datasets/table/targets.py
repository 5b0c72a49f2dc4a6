"""Targets of a table of new rows, in the form of the data that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.label_sets import MULTILABEL
from g2d.data.labeled import class_numbers
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.several import sets_of
from g2d.datasets.table.spelling import empty, number
from g2d.errors import DataError
from g2d.task import Classification, MultiLabel, Task


def targets_of(
    table: TableFile,
    columns: Sequence[str],
    names: Sequence[str],
    cells: Sequence[Sequence[Any]],
    task: Task,
) -> NDArray[np.float64]:
    """Return the targets of rows: class numbers ``(N,)``, values or states ``(N, C)``.

    Args:
        table: The table.
        columns: Columns of the target.
        names: Names of the rows, for messages.
        cells: Cells of these columns in every row.
        task: What the targets mean.

    Returns:
        The targets, NaN where a row has none.

    Raises:
        DataError: The table lacks a column, or a cell is none of the classes or no number.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing or not columns:
        raise DataError(
            f"{table.path} must have the column of the target to be evaluated, found no "
            f"{', '.join(missing) or 'such column in the store'}."
        )
    where = f"{table.path} ({', '.join(columns)})"
    if isinstance(task, Classification):
        return class_numbers([None if empty(row[0]) else row[0] for row in cells], task, where)
    if isinstance(task, MultiLabel):
        return _states(table, columns, cells, task)
    values = [
        [_value(cell, name, where) for cell in row] for name, row in zip(names, cells, strict=True)
    ]
    return np.array(values, np.float64)


def _value(cell: Any, name: str, where: str) -> float:
    """Return the value of a target, NaN if its cell is empty.

    Raises:
        DataError: It is no finite number.
    """
    value = number(cell)
    if value is None or isinf(value):
        raise DataError(
            f"targets of {where} must be finite numbers, found {cell!r} in row {name}. Correct the "
            "cell, or empty it: a row without a target is left out."
        )
    return value


def _states(
    table: TableFile, columns: Sequence[str], cells: Sequence[Sequence[Any]], task: MultiLabel
) -> NDArray[np.float64]:
    """Return the states of labels, in the order of the task."""
    sets = sets_of(table.columns, columns, MULTILABEL, None)
    assert sets is not None
    if unknown := [name for name in sets.names if name not in task.labels]:
        rule = f"labels in {table.path} must be among {', '.join(task.labels)}"
        raise DataError(f"{rule}, found {unknown[0]!r}.")
    states = np.array([sets.states(row) for row in cells], np.float64)
    ordered = np.zeros((len(states), task.outputs))
    ordered[np.isnan(states).any(axis=1)] = np.nan
    for place, name in enumerate(sets.names):
        ordered[:, task.labels.index(name)] = states[:, place]
    return ordered
