"""What the columns of a manifest are, from one pass over its rows, and which of them are no signal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from math import inf, isfinite, nan
from os.path import splitext
from typing import Any

from g2d.data.splits import SPLIT_WORDS, UNKNOWN
from g2d.datasets.table.rows import empty, number, text
from g2d.errors import DataError

SUFFIXES = {
    "image": (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    "audio": (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac"),
    "video": (".mp4", ".mpg", ".mpeg", ".avi", ".mkv", ".webm", ".flv", ".mov"),
    "array": (".npy",),
}
KIND_OF = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
KINDS = (*SUFFIXES, "text", "number")
NEARLY = 0.9
CLASSES_AT_MOST = 20
"""So many different whole numbers are taken for classes."""
LABELS_AT_MOST = 10_000
TARGETS = ("target", "label", "class", "y")
ROLES = ("id", "split", "group")
FAR = 1000
"""Numbers so many times larger than their range keep less than four of single precision's seven digits."""


@dataclass
class Column:
    """What was seen in a column.

    Args:
        cells: that hold something. numbers: those that are numbers, or in JSONL lists of numbers. lists: those that are lists of anything.
        suffixes: of those that look like files. longest: bytes of the longest, as text. widths: how often a cell holds how many numbers.
        values: different ones, None once there are too many. whole: all of its finite numbers are. low, high: of those.
    """

    cells: int = 0
    numbers: int = 0
    lists: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    widths: Counter[int] = field(default_factory=Counter)
    values: set[str] | None = field(default_factory=set)
    whole: bool = True
    low: float = inf
    high: float = -inf

    def see(self, cell: Any) -> None:
        """Count one cell."""
        if empty(cell):
            return
        said = text(cell)
        self.cells += 1
        self.longest = max(self.longest, len(said.encode()))
        several = isinstance(cell, list)
        found = [number(value) for value in (cell if several else [cell])]
        numbers = [value for value in found if value is not None]
        if len(numbers) == len(found):
            self.numbers += 1
            self.widths[len(found)] += 1
            self._measure([value for value in numbers if isfinite(value)])
        if several:
            self.lists += 1
            return
        if not numbers:
            self.suffixes[KIND_OF.get(splitext(said.strip())[1].lower(), "text")] += 1
        if self.values is not None:
            self.values.add(said.strip())
            if len(self.values) > LABELS_AT_MOST:
                self.values = None

    def _measure(self, numbers: list[float]) -> None:
        if numbers:
            self.whole = self.whole and all(value.is_integer() for value in numbers)
            self.low, self.high = min(self.low, *numbers), max(self.high, *numbers)

    @property
    def origin(self) -> float:
        """What its numbers are stored relative to: their least, where single precision would not hold them apart (a time, a long number), else 0."""
        return (
            self.low
            if 0 < FAR * (self.high - self.low) < max(abs(self.low), abs(self.high))
            else 0.0
        )

    @property
    def width(self) -> int:
        """Numbers of a cell, as is usual."""
        return self.widths.most_common(1)[0][0] if self.widths else 1

    @property
    def kind(self) -> str:
        """image, audio, video, array, text or number: what nearly all of its cells are; the others will be reported, row by row."""
        if self.numbers > NEARLY * self.cells:
            return "number"
        kind, count = self.suffixes.most_common(1)[0] if self.suffixes else ("text", 0)
        return kind if count > NEARLY * self.cells else "text"


def look(rows: Iterable[Mapping[str, Any]]) -> dict[str, Column]:
    """Every column, in the order of the first row that has it."""
    columns: dict[str, Column] = {}
    for row in rows:
        for name, cell in row.items():
            columns.setdefault(name, Column()).see(cell)
    return columns


def classes_of(column: Column, name: str, wanted: str | None) -> dict[str, str] | None:
    """Every spelling of a label and the class that it names, in the order of the classes; None if the target is a value.

    Args:
        wanted: ``"classification"`` or ``"regression"`` where a user says so.

    Raises:
        DataError: it cannot be what is wanted.
    """
    numeric = column.numbers == column.cells
    labels = {} if column.values is None else _labels(column.values, numeric)
    count = len(set(labels.values()))
    if wanted == "regression" or (
        wanted is None and numeric and not (column.whole and count in range(2, CLASSES_AT_MOST + 1))
    ):
        if not numeric:
            raise DataError(
                f"the target {name!r} must hold numbers for a regression, found others."
            )
        return None
    if column.values is None:
        raise DataError(
            f"the target {name!r} must have at most {LABELS_AT_MOST} classes, found more."
        )
    if count < 2:
        raise DataError(f"the target {name!r} must have two classes or more, found {count}.")
    return labels


def _labels(values: set[str], numeric: bool) -> dict[str, str]:
    """Equal numbers are one class, whose name is the shortest spelling; what is no finite number beside numbers is none.

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
    """Columns that are no signal.

    Args:
        target: what is learnt. id, split, group: of the names of rows, of their places, of what stays together; None where there is none.
        labels: of a classification every spelling of a label and the class that it names, in the order of the classes; None for values.
    """

    target: tuple[str, ...]
    id: str | None
    split: str | None
    group: str | None
    labels: Mapping[str, str] | None

    def name(self, cells: Mapping[str, Any], row: int) -> str:
        given = None if self.id is None else cells.get(self.id)
        return f"{row:08d}" if empty(given) else str(given)

    def together(self, cells: Mapping[str, Any], name: str) -> str:
        """The group of a row, itself where none is said."""
        given = None if self.group is None else cells.get(self.group)
        return name if empty(given) else str(given)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        labels = self.labels or {}
        number_of = {name: place for place, name in enumerate(dict.fromkeys(labels.values()))}
        return {said: number_of[name] for said, name in labels.items()}

    def values(self, cells: Mapping[str, Any]) -> list[float]:
        """The target in numbers, NaN where it is empty."""
        return [self._value(cells.get(column)) for column in self.target]

    def _value(self, cell: Any) -> float:
        label = None if empty(cell) else self._numbers.get(str(cell).strip())
        value = number(cell) if label is None else label
        return nan if value is None else value

    def place(self, cells: Mapping[str, Any], row: int) -> int:
        given = None if self.split is None else cells.get(self.split)
        if empty(given):
            return UNKNOWN
        try:
            return SPLIT_WORDS[str(given).strip().lower()]
        except KeyError:
            raise DataError(
                f"the column {self.split!r} must say train, valid or test, found {given!r} on the row {self.name(cells, row)}."
            ) from None


def roles_of(columns: Mapping[str, Column], options: Any) -> Roles:
    """What a user names must be there; what nobody names is found whatever its case.

    Raises:
        DataError: options name no column, or the target cannot be one.
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
        f"{key} {name!r}{_near(name, columns)}" for key, name in named if name not in columns
    ]:
        raise DataError(
            f"options must name columns of the table ({', '.join(columns)}), found {', '.join(faults)}."
        )
    once = [name for key, name in named if key in ("target", "split", "group")]
    if repeated := [name for name in once if once.count(name) > 1]:
        raise DataError(
            f"target, split and group must each be a column of its own, found {repeated[0]!r} more than once."
        )
    free = [name for name in columns if name not in {*target, *given.values(), *options.ignore}]
    spelt = {name.lower(): name for name in reversed(free)} | {name: name for name in free}
    found = target or tuple(spelt[name] for name in TARGETS if name in spelt)[:1]
    if not found:
        raise DataError(
            f"a manifest must have a column for its target, found none of {', '.join(TARGETS)} among {', '.join(columns)}. Name it: target=COLUMN"
        )
    _check_targets(found, columns, options)
    name, split, group = (given.get(role) or spelt.get(role) for role in ROLES)
    return Roles(
        found,
        name,
        split,
        group,
        classes_of(columns[found[0]], found[0], options.task) if len(found) == 1 else None,
    )


def _near(name: str, columns: Collection[str]) -> str:
    near = get_close_matches(name.lower(), {column.lower(): column for column in columns}, n=1)
    return (
        ""
        if not near
        else f" (did you mean {next(column for column in columns if column.lower() == near[0])!r}?)"
    )


def _check_targets(names: Sequence[str], columns: Mapping[str, Column], options: Any) -> None:
    if len(names) > 1 and options.task == "classification":
        raise DataError(f"a classification must have one target, found {', '.join(names)}.")
    for name in names:
        if not columns[name].cells:
            raise DataError(f"the target {name!r} must hold something, found an empty column.")
        if columns[name].lists:
            raise DataError(
                f"the target {name!r} must be one value a row, found lists in {columns[name].lists}. Give each a column: target=[A, B]"
            )
        if len(names) > 1 and columns[name].numbers < columns[name].cells:
            raise DataError(f"several targets must all be numbers, found others in {name!r}.")
