"""The columns of a table that are no modality: target, id, split and group."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, nan
from typing import Any

from g2d.data.splits import SPLIT_WORDS, UNKNOWN
from g2d.datasets.table.columns import LABELS_AT_MOST, Profile
from g2d.datasets.table.several import LabelSets, sets_of
from g2d.datasets.table.spelling import empty, number
from g2d.errors import DataError
from g2d.files import nearest

CLASSES_AT_MOST = 20
"""Maximum number of different whole numbers that are taken for classes."""
TARGETS = ("target", "label", "class", "y")
"""Names of the target's column, unless the user names it."""
ROLES = ("id", "split", "group")


def classes_of(column: Profile, name: str, task: str | None) -> dict[str, str] | None:
    """Return the class of every spelling of a label, or None if the target is a value.

    Args:
        column: Statistics of the target's column.
        name: Its name, for messages.
        task: ``"classification"``, ``"regression"``, or None to infer it.

    Returns:
        Class names by label, in the order of the classes.

    Raises:
        DataError: The column does not fit the task.
    """
    numeric = column.numbers == column.cells
    labels = {} if column.values is None else _labels(column.values, numeric)
    count = len(set(labels.values()))
    looks_like_classes = not numeric or (column.whole and 2 <= count <= CLASSES_AT_MOST)
    if task == "regression" or (task is None and not looks_like_classes):
        if not numeric:
            raise DataError(
                f"the target {name!r} must hold numbers for a regression, found other values."
            )
        return None
    if column.values is None:
        raise DataError(
            f"the target {name!r} must have at most {LABELS_AT_MOST} classes, found more."
        )
    if count < 2:
        raise DataError(f"the target {name!r} must have at least two classes, found {count}.")
    if count == column.cells:
        examples = ", ".join(repr(label) for label in list(labels)[:3])
        raise DataError(
            f"the target {name!r} must have fewer classes than rows, found {count} classes in "
            f"{column.cells} rows ({examples}{', ...' if count > 3 else ''}). If it is a measured "
            "value, give task=regression (and decimal=comma if its decimal sign is a comma); "
            "else name another column: target=COLUMN"
        )
    return labels


def _labels(values: set[str], numeric: bool) -> dict[str, str]:
    """Return the class of every label.

    Equal numbers are one class, named by the shortest spelling; NaN and infinity are no classes.

    Example:
        >>> _labels({"2", "1.0", "1", "nan"}, numeric=True)
        {'1': '1', '1.0': '1', '2': '2'}
    """
    if not numeric:
        return {label: label for label in sorted(values, key=str.encode)}
    names: dict[float, str] = {}
    finite = (label for label in values if isfinite(float(label)))
    return {
        label: names.setdefault(float(label), label)
        for label in sorted(finite, key=lambda label: (float(label), len(label), label))
    }


@dataclass(frozen=True)
class Roles:
    """Columns that are no modality.

    Args:
        target: Columns of the target.
        id: Profile of the rows' names, None if there is none.
        split: Profile of the split.
        group: Profile of the groups.
        labels: For a classification, the class of every label, in the order of the classes.
        sets: For several labels per row, the labels and how they are written.
    """

    target: tuple[str, ...]
    id: str | None
    split: str | None
    group: str | None
    labels: Mapping[str, str] | None
    sets: LabelSets | None = None

    @property
    def columns(self) -> set[str | None]:
        """Names of all these columns."""
        return {*self.target, self.id, self.split, self.group}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the numbers of a target: its columns, or the labels."""
        return self.target if self.sets is None else self.sets.names

    @property
    def names(self) -> dict[str | None, str]:
        """Roles by column."""
        roles: dict[str | None, str] = dict.fromkeys(self.target, "target")
        return roles | {self.id: "id", self.split: "split", self.group: "group"}

    def name(self, cells: Mapping[str, Any], row: int) -> str:
        """Return the name of a row, its number if it has none."""
        given = None if self.id is None else cells.get(self.id)
        return f"{row:08d}" if empty(given) else str(given)

    def group_of(self, cells: Mapping[str, Any], name: str) -> str:
        """Return the group of a row, the row's name if it has none."""
        given = None if self.group is None else cells.get(self.group)
        return name if empty(given) else str(given)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        labels = self.labels or {}
        number_of = {name: place for place, name in enumerate(dict.fromkeys(labels.values()))}
        return {label: number_of[name] for label, name in labels.items()}

    def values(self, cells: Mapping[str, Any]) -> list[float]:
        """Return the target of a row in numbers, NaN where it is empty."""
        if self.sets is not None:
            return self.sets.states([cells.get(column) for column in self.target])
        return [self._value(cells.get(column)) for column in self.target]

    def _value(self, cell: Any) -> float:
        label = None if empty(cell) else self._numbers.get(str(cell).strip())
        value = number(cell) if label is None else label
        return nan if value is None else value

    def place(self, cells: Mapping[str, Any], row: int) -> int:
        """Return the number of a row's split, ``UNKNOWN`` if it is empty."""
        given = None if self.split is None else cells.get(self.split)
        if empty(given):
            return UNKNOWN
        try:
            return SPLIT_WORDS[str(given).strip().lower()]
        except KeyError:
            raise DataError(
                f"the column {self.split!r} must hold train, valid or test, "
                f"found {given!r} in the row {self.name(cells, row)}."
            ) from None


def roles_of(columns: Mapping[str, Profile], options: Any) -> Roles:
    """Find the columns of target, id, split and group.

    A column that an option names must exist. Without an option, the usual names are found in any
    case.

    Args:
        columns: Statistics of the columns.
        options: Options of the user.

    Raises:
        DataError: An option names no column, or the target's column is unusable.
    """
    target = (options.target,) if isinstance(options.target, str) else options.target or ()
    given = {role: getattr(options, role) for role in ROLES if role in options.model_fields_set}
    named = [
        *(("target", name) for name in target),
        *given.items(),
        *(("ignore", name) for name in options.ignore),
        *(("kinds", name) for name in options.kinds),
    ]
    if faults := [
        f"{key} {name!r}{_suggestion(name, columns)}" for key, name in named if name not in columns
    ]:
        rule = f"options must name columns of the table ({', '.join(columns)})"
        raise DataError(f"{rule}, found {', '.join(faults)}.")
    once = [name for key, name in named if key in ("target", "split", "group")]
    if repeated := [name for name in once if once.count(name) > 1]:
        rule = "target, split and group must be different columns"
        raise DataError(f"{rule}, found {repeated[0]!r} more than once.")
    free = [name for name in columns if name not in {*target, *given.values(), *options.ignore}]
    spelling = {name.lower(): name for name in reversed(free)} | {name: name for name in free}
    target = target or tuple(spelling[name] for name in TARGETS if name in spelling)[:1]
    if not target:
        raise DataError(
            f"the table must have a column for its target, found none of {', '.join(TARGETS)} "
            f"among {', '.join(columns)}. Name it: target=COLUMN"
        )
    sets = sets_of(columns, target, options.task, options.separator)
    _check_targets(target, columns, options, sets)
    name, split, group = (given.get(role) or spelling.get(role) for role in ROLES)
    labels = None
    if len(target) == 1 and sets is None:
        labels = classes_of(columns[target[0]], target[0], options.task)
    return Roles(target, name, split, group, labels, sets)


def _suggestion(name: str, columns: Collection[str]) -> str:
    """Return the nearest column in parentheses, or an empty text."""
    spelling = {column.lower(): column for column in columns}
    near = nearest(name.lower(), spelling)
    return "" if near is None else f" (did you mean {spelling[near]!r}?)"


def _check_targets(
    names: Sequence[str], columns: Mapping[str, Profile], options: Any, sets: LabelSets | None
) -> None:
    """Refuse columns that cannot be targets."""
    if len(names) > 1 and options.task == "classification":
        raise DataError(
            f"a classification must have one target, found {', '.join(names)}. "
            "If a row can have several labels, give task=multilabel."
        )
    for name in names:
        if not columns[name].cells:
            raise DataError(f"the target {name!r} must have values, found an empty column.")
        if sets is not None:
            continue
        if columns[name].lists:
            raise DataError(
                f"the target {name!r} must be one value per row, "
                f"found lists in {columns[name].lists} rows. "
                "Give each value a column: target=[A, B]. If the lists are several labels per row, "
                "give task=multilabel."
            )
        if len(names) > 1 and columns[name].numbers < columns[name].cells:
            raise DataError(f"several targets must all be numbers, found other values in {name!r}.")
