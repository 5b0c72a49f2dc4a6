"""Targets of new rows, with which a trained model is evaluated on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError
from g2d.files import did_you_mean
from g2d.task import Classification, Task


def class_numbers(cells: Iterable[Any], task: Classification, where: str) -> NDArray[np.float64]:
    """Return the number of the class of every cell ``(N,)``, NaN where it is None.

    Args:
        cells: Names of classes. A number may be spelled in another way, such as 1.0 for 1.
        task: The classes.
        where: What the cells belong to, for the message.

    Raises:
        DataError: A cell is no class.

    Example:
        >>> class_numbers(["b", None, "a"], Classification(["a", "b"]), "a table").tolist()
        [1.0, nan, 0.0]
        >>> class_numbers(["c"], Classification(["a", "b"]), "a table")
        Traceback (most recent call last):
            ...
        g2d.errors.DataError: targets of a table must be among a, b, found 'c'.
    """
    places = {name: float(place) for place, name in enumerate(task.classes)}
    values = {_number(name): place for name, place in places.items()}
    numbers: list[float] = []
    for cell in cells:
        name = "" if cell is None else str(cell).strip()
        value = _number(name)
        place = places.get(name, None if value is None else values.get(value))
        if place is None and cell is not None:
            known = ", ".join(task.classes[:10]) + (", ..." if len(task.classes) > 10 else "")
            hint = did_you_mean(name, task.classes)
            raise DataError(f"targets of {where} must be among {known}, found {name!r}.{hint}")
        numbers.append(np.nan if place is None else place)
    return np.array(numbers, np.float64)


def targets_in(given: NDArray[Any] | None, task: Task, path: str, rows: int) -> NDArray[np.float64]:
    """Return the targets of a file of arrays in the original unit.

    Args:
        given: Names or numbers of classes ``(N,)``, values or states of labels ``(N, C)``; None if
            the file has none.
        task: What they mean.
        path: The file, for messages.
        rows: Number of rows.

    Returns:
        Class numbers ``(N,)``, or values or states ``(N, C)``.

    Raises:
        DataError: There are none, or they do not fit the task.
    """
    if given is None:
        raise DataError(f"{path} must hold the array 'target' to be evaluated, found none.")
    if isinstance(task, Classification):
        if given.dtype.kind in "US" and given.shape == (rows,):
            return class_numbers(given.astype(str).tolist(), task, path)
        if given.dtype.kind in "iu" and given.shape == (rows,):
            if rows and not (given.min() >= 0 and given.max() < task.outputs):
                rule = f"targets of {path} must be class numbers from 0 to {task.outputs - 1}"
                raise DataError(f"{rule}, found {given.min()} to {given.max()}.")
            return given.astype(np.float64)
    elif given.dtype.kind in "fiub" and given.size == rows * task.outputs:
        return given.astype(np.float64).reshape(rows, task.outputs)
    one_class = isinstance(task, Classification)
    content = "one name or number of a class" if one_class else f"{task.outputs} numbers"
    rule = f"'target' in {path} must hold {content} per row"
    raise DataError(f"{rule}, found {given.dtype} {given.shape}.")


def _number(text: str) -> float | None:
    """Return the number that a text spells, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def with_target(target: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the numbers of the rows whose target is known.

    Args:
        target: Targets ``(N,)`` or ``(N, C)``, NaN where there is none.
    """
    return np.flatnonzero(np.isfinite(target.reshape(len(target), -1)).all(1))
