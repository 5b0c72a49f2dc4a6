"""Profile of a table's columns: statistics that tell what a column holds, from one pass."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from math import inf, isfinite
from os.path import splitext
from typing import Any

from g2d.datasets.table.spelling import Decimal, Nothing, both_numbers, empty, number

SUFFIXES = {
    "image": (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    "audio": (
        *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".amr"),
        *(".aif", ".aiff", ".wma", ".au", ".caf"),
    ),
    "video": (
        *(".mp4", ".m4v", ".mpg", ".mpeg", ".avi", ".mkv", ".webm", ".flv", ".mov"),
        *(".3gp", ".wmv", ".ogv", ".mts"),
    ),
    "array": (".npy",),
}
"""Suffixes of file names by kind."""
KIND_OF = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}
FILES = frozenset(SUFFIXES)
"""Kinds of columns that hold paths of files."""
TEXT, NUMBER = "text", "number"
"""Kinds of columns that hold no paths."""
NEARLY = 0.9
"""Share of the cells that must be of a kind for the column to be of that kind."""
LABELS_AT_MOST = 10_000
"""Number of different values of a column that are remembered."""
WORDS_COUNTED = 5
"""Words of a cell that are counted."""
FAR = 1000
"""Offset of a column relative to its range from which float32 keeps too few digits."""
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = (
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"
    r"(?:\d{4}[-/]\d{1,2}|"
    rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}|\d{{1,2}}([-/.])\d{{1,2}}\2\d{{2,4}}"
    rf"|\d{{1,2}}[ -]{_MONTH}[ -]\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}})"
)
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]m)?(?: ?(?:z|utc|[-+]\d{2}:?\d{2}))?"
DATE = re.compile(rf"(?:{_DAY}(?:(?:t|,? ){_TIME})?|{_TIME})", re.IGNORECASE)
"""Dates and times of day in usual spellings."""
LONGEST_DATE, LONGEST_SUFFIX = 40, 16
"""Characters of the longest date, and of the longest suffix with a quotation mark."""
NEITHER = (None, None)
SIGNS: tuple[tuple[Decimal, Decimal], ...] = ((".", ","), (",", "."))
"""Decimal signs, each with the other."""
_WORDLESS = re.compile(r"[ -@\[-`{-~]+")
"""Signs of ASCII that are no letters."""
_SUFFIX = re.compile(
    r"\.(?:(?=\d?[a-z])[a-z0-9]{2,5}|parquet|feather|pickle|safetensors|tfrecords?)"
)
"""Suffix of a file name in lower case."""


def text(cell: Any) -> str:
    """Return a cell as text; the elements of a list are joined with spaces."""
    return " ".join(map(str, cell)) if isinstance(cell, list) else str(cell)


@dataclass
class Tally:
    """Statistics of the cells of a column that are numbers, under one decimal sign.

    Args:
        numbers: Number of cells that are numbers, or lists of numbers.
        alone: Number of these that are no numbers under the other decimal sign.
        widths: Number of cells by how many numbers they hold.
        whole: Whether all finite numbers are whole.
        low: Smallest finite number.
        high: Largest finite number.
        counts: Whether every number so far is a whole one, by one larger than the one before.
        last: Last number.
    """

    numbers: int = 0
    alone: int = 0
    widths: Counter[int] = field(default_factory=Counter)
    whole: bool = True
    low: float = inf
    high: float = -inf
    counts: bool = True
    last: float | None = None

    def add(self, numbers: list[float]) -> None:
        """Count a cell with these numbers."""
        self.numbers += 1
        self.widths[len(numbers)] += 1
        finite = [value for value in numbers if isfinite(value)]
        for value in finite:
            self.whole = self.whole and value.is_integer()
            self.low = value if value < self.low else self.low
            self.high = value if value > self.high else self.high
        if self.counts:
            step = 1 if self.last is None else numbers[0] - self.last
            self.counts = self.whole and len(numbers) == len(finite) == 1 and step == 1
            self.last = numbers[0]


@dataclass
class Profile:
    """Profile of a column, gathered cell by cell.

    Args:
        cells: Number of cells that hold something.
        nothing: Number of cells that are not blank and mean nothing, by spelling.
        lists: Number of cells that are lists of anything.
        elements: Different words and whole numbers in lists, as text; None if there are more than
            ``LABELS_AT_MOST``.
        nested: Number of cells that are objects, or lists of lists or objects.
        suffixes: Number of text cells by kind of file, judged by the suffix.
        others: Number of text cells by suffix, of files of another kind.
        slashes: Number of text cells of one word that have a slash or a backslash.
        backslashes: Number of text cells with backslashes and no slash.
        dates: Number of cells that are dates or times.
        wordless: Number of text cells of digits and signs only.
        respelled: Whether some number must be rewritten for Python to read it.
        longest: Bytes of the longest cell, as text.
        words: Words of the longest cell, at most ``WORDS_COUNTED``.
        values: Different values; None if there are more than ``LABELS_AT_MOST``.
        different: Whether all values so far are different, as far as they are remembered.
        example: First cell.
        decimal: Decimal sign of the table.
        tallies: Statistics of numbers by decimal sign.
    """

    cells: int = 0
    nothing: Counter[str] = field(default_factory=Counter)
    lists: int = 0
    elements: set[str] | None = field(default_factory=set)
    nested: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    slashes: int = 0
    backslashes: int = 0
    dates: int = 0
    wordless: int = 0
    respelled: bool = False
    longest: int = 0
    words: int = 0
    values: set[str] | None = field(default_factory=set)
    different: bool = True
    example: str = ""
    decimal: Decimal = "."
    tallies: dict[Decimal, Tally] = field(default_factory=lambda: {".": Tally(), ",": Tally()})

    def add(self, cell: Any, nothing: Nothing) -> None:
        """Count one cell."""
        if nothing(cell):
            if not empty(cell):
                self.nothing[str(cell).strip()] += 1
            return
        as_text = text(cell)
        if not self.cells:
            self.example = as_text.strip()
        self.cells += 1
        length = len(as_text) if as_text.isascii() else len(as_text.encode())
        self.longest = length if length > self.longest else self.longest
        is_list = isinstance(cell, list)
        numeric = self._add_numbers(cell if is_list else [cell])
        if not isinstance(cell, str):
            parts = cell if is_list else [cell]
            self.nested += any(isinstance(part, dict | list) for part in parts)
        if is_list:
            self.lists += 1
            self.different = False
            if self.elements is not None and isinstance(cell[0], str | int):
                self.elements.update(str(part).strip() for part in cell)
                self.elements = None if len(self.elements) > LABELS_AT_MOST else self.elements
            return
        as_text = as_text.strip()
        if not numeric:
            self._add_words(as_text)
        if self.values is not None:
            before = len(self.values)
            self.values.add(as_text)
            self.different = self.different and len(self.values) > before
            if len(self.values) > LABELS_AT_MOST:
                self.values = None

    def _add_numbers(self, cells: list[Any]) -> bool:
        """Count a cell if it holds numbers under some decimal sign; return whether it does."""
        spelled = [both_numbers(cell) for cell in cells]
        if all(pair == NEITHER for pair in spelled):
            return False
        numbers: dict[Decimal, list[float]] = {
            ".": [point for point, _ in spelled if point is not None],
            ",": [comma for _, comma in spelled if comma is not None],
        }
        held = {sign: len(values) == len(cells) for sign, values in numbers.items()}
        for sign, other in SIGNS:
            if held[sign]:
                self.tallies[sign].add(numbers[sign])
                self.tallies[sign].alone += not held[other]
        if any(held.values()) and not self.respelled:
            self.respelled = any(isinstance(cell, str) and number(cell) is None for cell in cells)
        return held["."] or held[","]

    def _add_words(self, cell: str) -> None:
        """Count the form of a cell that is no number."""
        count = len(cell.split(None, WORDS_COUNTED - 1))
        self.words = max(self.words, count)
        suffix = ""
        if "." in cell[-LONGEST_SUFFIX:]:
            suffix = splitext(cell.replace("\\", "/").strip("'\""))[1].lower()
        kind = KIND_OF.get(suffix, TEXT)
        self.suffixes[kind] += 1
        if kind == TEXT and _SUFFIX.fullmatch(suffix) and "@" not in cell:
            self.others[suffix] += 1
        if "/" in cell or "\\" in cell:
            self.slashes += count == 1
            self.backslashes += "/" not in cell
        self.wordless += bool(_WORDLESS.fullmatch(cell))
        if len(cell) <= LONGEST_DATE and cell[-1:].isalnum() and DATE.fullmatch(cell):
            self.dates += 1

    @property
    def tally(self) -> Tally:
        """Statistics of numbers under the table's decimal sign."""
        return self.tallies[self.decimal]

    @property
    def numbers(self) -> int:
        """Number of cells that are numbers, or lists of numbers."""
        return self.tally.numbers

    @property
    def whole(self) -> bool:
        """Whether all finite numbers are whole."""
        return self.tally.whole

    @property
    def is_number(self) -> bool:
        """Whether nearly all cells are numbers."""
        return self.numbers > NEARLY * self.cells

    @property
    def constant(self) -> bool:
        """Whether all cells have the same value."""
        return self.values is not None and len(self.values) == 1 and not self.lists

    @property
    def origin(self) -> float:
        """Offset subtracted before storing as float32, so that close values stay distinct.

        It is 0, or the smallest number if the numbers are large and close together (times, codes).
        """
        low, high = self.tally.low, self.tally.high
        far = 0 < FAR * (high - low) < max(abs(low), abs(high))
        return low if far else 0.0

    @property
    def width(self) -> int:
        """Most frequent number of numbers per cell."""
        return self.tally.widths.most_common(1)[0][0] if self.tally.widths else 1
