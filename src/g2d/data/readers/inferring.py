"""What the columns of a manifest are, from one pass over its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from g2d.data.readers.table import empty, number
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


@dataclass
class Column:
    """What was seen in a column.

    Args:
        cells: that hold something. numbers: those that are numbers, or in JSONL lists of numbers. suffixes: of those that look like files.
        longest: bytes of the longest text. widths: how often a list holds how many numbers. values: different ones, None once there are too many.
    """

    cells: int = 0
    numbers: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    widths: Counter[int] = field(default_factory=Counter)
    values: set[str] | None = field(default_factory=set)
    whole: bool = True

    def see(self, cell: Any) -> None:
        """Count one cell."""
        if empty(cell):
            return
        self.cells += 1
        if isinstance(cell, list):
            self.widths[len(cell)] += 1
            self.numbers += all(number(value) is not None for value in cell)
            return
        value = number(cell)
        if value is not None:
            self.numbers += 1
            self.whole = self.whole and value.is_integer()
        text = str(cell)
        if value is None:
            self.longest = max(self.longest, len(text.encode()))
            self.suffixes[KIND_OF.get(PurePath(text.strip()).suffix.lower(), "text")] += 1
        if self.values is not None:
            self.values.add(text.strip())
            if len(self.values) > LABELS_AT_MOST:
                self.values = None

    @property
    def width(self) -> int:
        """Numbers of a cell: those of the usual list, else one."""
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


def classes_of(column: Column, name: str, wanted: str | None) -> tuple[str, ...] | None:
    """Names of the classes of a target column, or None if it is a value.

    Args:
        wanted: ``"classification"`` or ``"regression"`` where a user says so.

    Raises:
        DataError: it cannot be what is wanted.
    """
    numeric = column.numbers == column.cells
    if wanted == "regression" or (wanted is None and numeric and not (column.whole and len(column.values or ()) in range(2, CLASSES_AT_MOST + 1))):
        if not numeric:
            raise DataError(f"the target {name!r} must hold numbers for a regression, found others.")
        return None
    if column.values is None:
        raise DataError(f"the target {name!r} must have at most {LABELS_AT_MOST} classes, found more.")
    if len(column.values) < 2:
        raise DataError(f"the target {name!r} must have two classes or more, found {len(column.values)}.")
    key = (lambda label: (float(label), label.encode())) if numeric else (lambda label: (0.0, label.encode()))
    return tuple(sorted(column.values, key=key))
