"""Targets of a table with several labels per row: columns of 0 and 1, lists, or cells like a|b."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import Any, Literal

from g2d.data.label_sets import MULTILABEL
from g2d.datasets.table.columns import LABELS_AT_MOST, Profile
from g2d.datasets.table.spelling import empty, number
from g2d.errors import DataError

SEPARATORS = ("|", ";", ",")
"""Signs that are recognized between the labels of a cell."""
STATES = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0, "no": 0.0, "yes": 1.0}
"""State of a label by its spelling in lower case; numbers equal to 0 and 1 are states too."""
WORDS_AT_MOST = 4
"""Words of a label that is recognized between separators."""
Form = Literal["columns", "lists", "states", "separated"]
"""How labels are written: a column each, lists of names, lists of 0 and 1, or separated names."""


@dataclass(frozen=True)
class LabelSets:
    """Labels of a table, and how a row writes those that it has.

    Args:
        names: Names of all labels, in order.
        form: How they are written.
        separator: Sign between the labels of a cell, if they are separated.

    Example:
        >>> sets = LabelSets(("happy", "sad"), "separated", "|")
        >>> sets.states(["sad|happy"]), sets.states(["|"]), sets.states([None])
        ([1.0, 1.0], [0.0, 0.0], [nan, nan])
        >>> LabelSets(("happy", "sad"), "lists").states(["cheerful and sad"])
        [nan, nan]
    """

    names: tuple[str, ...]
    form: Form
    separator: str = ""

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def states(self, cells: Sequence[Any]) -> list[float]:
        """Return the state of every label of a row, NaN where it is not known.

        Args:
            cells: Cells of the target's columns. No cell means that the labels are unknown; an
                empty list, or a separator alone, that the row has none.
        """
        if self.form == "columns":
            return [nan if empty(cell) else _state(cell) for cell in cells]
        if cells[0] is None or (empty(cells[0]) and cells[0] != []):
            return [nan] * len(self.names)
        labels = labels_of(cells[0], self.separator)
        if self.form == "states":
            known = [_state(label) for label in labels]
            return known if len(known) == len(self.names) else [nan] * len(self.names)
        if not self._places.keys() >= set(labels):  # a text among lists
            return [nan] * len(self.names)
        states = [0.0] * len(self.names)
        for label in labels:
            states[self._places[label]] = 1.0
        return states

    @property
    def line(self) -> str:
        """Description of the task, with the way to change it."""
        examples = ", ".join(self.names[:6]) + (", ..." if len(self.names) > 6 else "")
        written = {
            "columns": "columns of 0 and 1",
            "lists": "lists",
            "states": "lists of 0 and 1",
            "separated": f"cells with {self.separator!r} between them, where {self.separator!r} or "
            "[] alone means no label and a blank cell an unknown target",
        }
        other = {"columns": "regression", "separated": "classification"}.get(self.form)
        change = f"; to change: task={other}" if other else ""
        counted = f"{len(self.names)} label{'' if len(self.names) == 1 else 's'}"
        task = f"multi-label (several labels per row), {counted} ({examples})"
        return f"{task}, from {written[self.form]}{change}"


def labels_of(cell: Any, separator: str = "") -> list[str]:
    """Return the labels of a cell.

    Args:
        cell: A list, a list as JSON or Python writes it, or text.
        separator: Sign between the labels of a text; none if it is a single label.

    Example:
        >>> labels_of("['a', 'b']"), labels_of("a| b|", "|"), labels_of(["a", 3]), labels_of("a|b")
        (['a', 'b'], ['a', 'b'], ['a', '3'], ['a|b'])
    """
    parts = cell if isinstance(cell, list) else _written_list(str(cell).strip())
    if parts is None:
        parts = str(cell).split(separator) if separator else [cell]
    return [label for part in parts if (label := str(part).strip())]


def sets_of(
    columns: Mapping[str, Profile], target: Sequence[str], task: str | None, separator: str | None
) -> LabelSets | None:
    """Return the labels if rows have several, else None.

    Args:
        columns: Profiles of the columns.
        target: Names of the target's columns.
        task: Kind of task; None to infer it.
        separator: Sign between the labels of a cell; None to infer it.

    Raises:
        DataError: The task is that of several labels, and the columns do not fit it.
    """
    if task not in (None, MULTILABEL):
        return None
    if len(target) > 1:
        return _of_columns(columns, target, task)
    column, name = columns[target[0]], target[0]
    demanded = task == MULTILABEL or separator is not None
    if column.lists:
        return _of_lists(column, name, demanded)
    if column.values is None or not column.cells:
        if demanded and column.cells:
            raise _too_many(name)
        return None
    written = sum(_written_list(value) is not None for value in column.values)
    if written > len(column.values) / 2:
        return LabelSets(_sorted(_every(column.values, separator or "")), "lists", separator or "")
    if column.numbers == column.cells and not demanded:
        return None
    sign = separator or next((s for s in SEPARATORS if _separates(s, column.values)), None)
    if sign is None:
        sign = max(SEPARATORS, key=lambda s: sum(s in value for value in column.values or ()))
        if not demanded:
            return None
    return LabelSets(_sorted(_every(column.values, sign)), "separated", sign)


def _of_columns(
    columns: Mapping[str, Profile], target: Sequence[str], task: str | None
) -> LabelSets | None:
    """Return the labels of columns that hold 0 and 1 alone."""
    for name in target:
        values = columns[name].values
        strange = next((v for v in values or () if _state(v) != _state(v)), None)
        if not values or columns[name].lists or strange is not None:
            if task is None:
                return None
            raise DataError(
                f"columns of several labels must hold 0 and 1 (or true and false), "
                f"found {strange or 'other values'!r} in {name!r}."
            )
    return LabelSets(tuple(target), "columns")


def _of_lists(column: Profile, name: str, demanded: bool) -> LabelSets | None:
    """Return the labels of a column of lists; None for lists of measured values."""
    widths = column.tally.widths
    if column.elements is None:
        if column.numbers and not demanded:
            return None
        raise _too_many(name)
    if not column.elements:
        return None
    numeric, width = column.numbers == column.cells, next(iter(widths), 0)
    if numeric and len(widths) == 1 and width > 1 and column.elements <= {"0", "1"}:
        return LabelSets(tuple(map(str, range(width))), "states")
    if numeric and len(widths) == 1 and not demanded:
        return None
    return LabelSets(_sorted(column.elements), "lists")


def _too_many(name: str) -> DataError:
    return DataError(
        f"the target {name!r} must have at most {LABELS_AT_MOST} different cells or labels for "
        "several labels per row, found more. Give every label a column of 0 and 1: target=[A, B]"
    )


def _separates(sign: str, values: set[str]) -> bool:
    """Return whether a sign is between labels that occur in several combinations.

    Example:
        >>> _separates("|", {"a", "a|b", "b"}), _separates("|", {"a|x", "b|x"})
        (True, False)
        >>> _separates(",", {"Bath, UK", "York, UK", "Rome"})
        False
    """
    split = [labels_of(value, sign) for value in values]
    every = {label for labels in split for label in labels}
    if max(map(len, split)) < 2 or max(len(label.split()) for label in every) > WORDS_AT_MOST:
        return False
    # Text has commas for many reasons.
    return len(every) * (2 if sign == "," else 1) <= len(values)


def _every(values: set[str], separator: str) -> set[str]:
    return {label for value in values for label in labels_of(value, separator)}


def _sorted(labels: set[str]) -> tuple[str, ...]:
    """Return labels in order: numbers by value, words by their bytes."""
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels, key=str.encode))


def _state(cell: Any) -> float:
    """Return 1 or 0, or NaN for anything else."""
    spelled = str(cell).strip().lower()
    if spelled in STATES:
        return STATES[spelled]
    value = number(cell)
    return value if value in (0.0, 1.0) and value is not None else nan


def _written_list(text: str) -> list[Any] | None:
    """Return a list that is written as JSON or Python writes it; None for other text."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            parts = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return parts if isinstance(parts, list) else None
    return None
