"""What the columns of a manifest are, from one pass over its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import PurePath
from typing import Any

from g2d.data.readers.table import empty, number, text
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
            self.suffixes[KIND_OF.get(PurePath(said.strip()).suffix.lower(), "text")] += 1
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
        return self.low if 0 < FAR * (self.high - self.low) < max(abs(self.low), abs(self.high)) else 0.0

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
    if wanted == "regression" or (wanted is None and numeric and not (column.whole and count in range(2, CLASSES_AT_MOST + 1))):
        if not numeric:
            raise DataError(f"the target {name!r} must hold numbers for a regression, found others.")
        return None
    if column.values is None:
        raise DataError(f"the target {name!r} must have at most {LABELS_AT_MOST} classes, found more.")
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
    return {label: names.setdefault(float(label), label) for label in sorted(finite, key=lambda label: (float(label), len(label), label))}
