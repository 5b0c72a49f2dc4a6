"""Cells and columns of a table: what a cell holds, and statistics that tell a column's kind."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from math import inf, isfinite
from os.path import splitext
from typing import Any

SUFFIXES = {
    "image": (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    "audio": (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac"),
    "video": (".mp4", ".mpg", ".mpeg", ".avi", ".mkv", ".webm", ".flv", ".mov"),
    "array": (".npy",),
}
"""Suffixes of file names by kind."""
KIND_OF = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
FILES = frozenset(SUFFIXES)
"""Kinds of columns that hold paths of files."""
TEXT, NUMBER = "text", "number"
"""Kinds of columns that hold no paths."""
KINDS = (*SUFFIXES, TEXT, NUMBER)
"""All kinds of columns."""
NEARLY = 0.9
"""Share of the cells that must be of a kind for the column to be of that kind."""
LABELS_AT_MOST = 10_000
"""Number of different values of a column that are remembered."""
FAR = 1000
"""Offset of a column relative to its range from which float32 keeps too few digits."""


def number(cell: Any) -> float | None:
    """Return a cell as a number, or None if it holds something else.

    An empty cell is NaN, a number that is too large is infinite.

    Example:
        >>> number(" 1e3 "), number("red"), number(True), number(10**400)
        (1000.0, None, None, inf)
    """
    if empty(cell):
        return float("nan")
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        return float(cell)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def text(cell: Any) -> str:
    """Return a cell as text; the elements of a list are joined with spaces."""
    return " ".join(map(str, cell)) if isinstance(cell, list) else str(cell)


def empty(cell: Any) -> bool:
    """Return whether a cell is blank text, null, NaN, or an empty list."""
    return (
        cell is None or cell == [] or (isinstance(cell, str) and not cell.strip()) or cell != cell
    )


@dataclass
class Column:
    """Statistics of a column, gathered cell by cell.

    Args:
        cells: Number of cells that are not empty.
        numbers: Number of cells that are numbers, or lists of numbers (JSONL).
        lists: Number of cells that are lists of anything.
        suffixes: Number of text cells by kind of file, judged by the suffix.
        longest: Bytes of the longest cell, as text.
        widths: Number of cells by how many numbers they hold.
        values: Different values; None if there are more than ``LABELS_AT_MOST``.
        whole: Whether all finite numbers are whole.
        low: Smallest finite number.
        high: Largest finite number.
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

    def add(self, cell: Any) -> None:
        """Count one cell."""
        if empty(cell):
            return
        as_text = text(cell)
        self.cells += 1
        self.longest = max(self.longest, len(as_text.encode()))
        is_list = isinstance(cell, list)
        parsed = [number(value) for value in (cell if is_list else [cell])]
        numbers = [value for value in parsed if value is not None]
        if len(numbers) == len(parsed):
            self.numbers += 1
            self.widths[len(parsed)] += 1
            self._measure([value for value in numbers if isfinite(value)])
        if is_list:
            self.lists += 1
            return
        if not numbers:
            self.suffixes[KIND_OF.get(splitext(as_text.strip())[1].lower(), TEXT)] += 1
        if self.values is not None:
            self.values.add(as_text.strip())
            if len(self.values) > LABELS_AT_MOST:
                self.values = None

    def _measure(self, numbers: list[float]) -> None:
        if numbers:
            self.whole = self.whole and all(value.is_integer() for value in numbers)
            self.low, self.high = min(self.low, *numbers), max(self.high, *numbers)

    @property
    def origin(self) -> float:
        """Offset subtracted before storing as float32, so that close values stay distinct.

        It is 0, or the smallest number if the numbers are large and close together (times, codes).
        """
        far = 0 < FAR * (self.high - self.low) < max(abs(self.low), abs(self.high))
        return self.low if far else 0.0

    @property
    def width(self) -> int:
        """Most frequent number of numbers per cell."""
        return self.widths.most_common(1)[0][0] if self.widths else 1

    @property
    def kind(self) -> str:
        """Kind of nearly all cells: image, audio, video, array, text or number."""
        if self.numbers > NEARLY * self.cells:
            return NUMBER
        kind, count = self.suffixes.most_common(1)[0] if self.suffixes else (TEXT, 0)
        return kind if count > NEARLY * self.cells else TEXT
