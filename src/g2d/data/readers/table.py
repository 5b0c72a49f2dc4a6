"""A table on disk, CSV or JSONL, whose rows are read when they are asked for: a million of them take eight bytes each."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError

JSON_LINES = frozenset({".jsonl", ".ndjson"})


class Table:
    """Rows of a file as mappings of column to cell, by number.

    Args:
        path: a ``.csv`` or ``.tsv`` file with a header, or ``.jsonl`` with an object per line; UTF-8, a byte-order mark is fine. A header
            without a comma may have semicolons or tabs.

    Raises:
        DataError: the file is not there, holds no row, or a line is not like the others.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.json = path, path.suffix.lower() in JSON_LINES
        self.columns: list[str] = []
        try:
            with path.open("rb") as file:
                head = file.readline()
                self.delimiter = next((sign for sign in ("\t,;" if path.suffix.lower() == ".tsv" else ",;\t") if sign.encode() in head), ",")
                file.seek(0)
                self.offsets = np.fromiter(self._scan(file), np.int64)
        except FileNotFoundError:
            raise DataError(f"the manifest must be a file, found no {path}.") from None
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} must be a CSV or JSONL file in UTF-8, found: {getattr(error, 'strerror', None) or error}.") from error
        if not len(self.offsets):
            raise DataError(f"{path} must hold one row or more under its header, found none.")

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, row: int) -> dict[str, Any]:
        with self.path.open("rb") as file:
            file.seek(self.offsets[row])
            return next(self._parsed(file, row))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            file.seek(self.offsets[0])
            yield from self._parsed(file, 0)

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Consecutive rows, read in one go."""
        with self.path.open("rb") as file:
            file.seek(self.offsets[start])
            parsed = self._parsed(file, start)
            return [next(parsed) for _ in range(stop - start)]

    def _scan(self, file: Any) -> Iterator[int]:
        """Where rows begin; the header is read in passing."""
        lines = _Lines(file)
        if self.json:
            begin = 0
            for line in lines:
                if line.strip():
                    yield begin
                begin = lines.end
            return
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        header = next(reader, [])
        self.columns = [name.strip() for name in header]
        if repeated := {name for name in self.columns if self.columns.count(name) > 1}:
            raise DataError(f"columns of {self.path} must have different names, found {sorted(repeated)[0]!r} twice.")
        begin = lines.end
        for number, cells in enumerate(reader, start=2):
            if cells and len(cells) != len(self.columns):
                raise DataError(f"rows of {self.path} must have {len(self.columns)} cells as the header has, found {len(cells)} in row {number}.")
            if cells:
                yield begin
            begin = lines.end

    def _parsed(self, file: Any, first: int) -> Iterator[dict[str, Any]]:
        lines = _Lines(file)
        if not self.json:
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            yield from (dict(zip(self.columns, cells, strict=True)) for cells in reader if cells)
            return
        for number, line in enumerate((line for line in lines if line.strip()), start=first + 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"line {number} of {self.path} must be a JSON object, found: {error}.") from error
            if not isinstance(row, dict):
                raise DataError(f"line {number} of {self.path} must be a JSON object, found {type(row).__name__}.")
            yield row


class _Lines:
    """Lines of text of a binary file; ``end`` is where the last one ended."""

    def __init__(self, file: Any) -> None:
        self.file, self.end = file, file.tell()

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            first = self.end == 0
            self.end += len(line)
            yield line.decode("utf-8-sig" if first else "utf-8")


def number(cell: Any) -> float | None:
    """A cell as a number, NaN for an empty one; None if it is something else.

    Example:
        >>> number(" 1e3 "), number("red"), number(True)
        (1000.0, None, None)
    """
    if empty(cell):
        return float("nan")
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def empty(cell: Any) -> bool:
    """Nothing stands there: an empty text, null, or NaN."""
    return cell is None or (isinstance(cell, str) and not cell.strip()) or cell != cell


def unique_rows(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which rows are the first with their key."""
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return first
