"""A table on disk, CSV or JSONL, whose rows are read when they are asked for: a million of them take eight bytes each."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError

JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})
LONGEST = 2**31 - 1
"""Bytes of a cell, at most."""


class Table:
    """Rows of a file as mappings of column to cell, by number.

    Args:
        path: a ``.csv`` or ``.tsv`` file with a header, or ``.jsonl`` with an object per line; UTF-8, a byte-order mark is fine. What parts the
            cells of a ``.csv`` (comma, semicolon, tab) is what its header has most of, outside quotes.

    Raises:
        DataError: the file is not there, holds no row, or a line is not like the others.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.json = path, path.suffix.lower() in JSON_LINES
        self.columns: list[str] = []
        try:
            with path.open("rb") as file:
                self.delimiter = "\t" if path.suffix.lower() == ".tsv" else self._delimiter(file)
                file.seek(0)
                self.offsets = np.fromiter(self._scan(file), np.int64)
        except FileNotFoundError:
            raise DataError(f"the manifest must be a file, found no {path}.") from None
        except OSError as error:
            raise DataError(
                f"{path} must be a CSV or JSONL file that can be read, found: {error.strerror or error}."
            ) from error
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

    def _delimiter(self, file: Any) -> str:
        header = re.sub(r'"[^"]*("|$)', "", next(iter(_Lines(self.path, file)), ""))
        if not self.json and "\r" in header.rstrip("\r\n"):
            raise DataError(
                f"lines of {self.path} must end with a line feed, found carriage returns alone. Save it with other line ends."
            )
        return max(",;\t", key=header.count)

    def _scan(self, file: Any) -> Iterator[int]:
        """Where rows begin; the header is read in passing."""
        lines = _Lines(self.path, file)
        if self.json:
            begin = 0
            for line in lines:
                if line.strip():
                    yield begin
                begin = lines.end
            return
        rows = self._cells(lines)
        self.columns = [name.strip() for name in next(rows, (1, []))[1]]
        if repeated := {name for name in self.columns if self.columns.count(name) > 1}:
            raise DataError(
                f"columns of {self.path} must have different names, found {sorted(repeated)[0]!r} twice."
            )
        begin = lines.end
        for number, cells in rows:
            if cells and len(cells) != len(self.columns):
                raise DataError(
                    f"line {number} of {self.path} must have {len(self.columns)} cells as the header has, found {len(cells)}."
                )
            if cells:
                yield begin
            begin = lines.end

    def _cells(self, lines: _Lines) -> Iterator[tuple[int, list[str]]]:
        """Rows of a CSV file, with the numbers of the lines where they begin."""
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        number = 1
        while (cells := self._next(reader, number)) is not None:
            yield number, cells
            number = reader.line_num + 1

    def _next(self, reader: Any, number: int) -> list[str] | None:
        usual = csv.field_size_limit(
            LONGEST
        )  # one for the whole process: it is lifted for this row alone
        try:
            return next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"the row that begins in line {number} of {self.path} must be CSV, found: {error}."
            ) from error
        finally:
            csv.field_size_limit(usual)

    def _parsed(self, file: Any, first: int) -> Iterator[dict[str, Any]]:
        lines = _Lines(self.path, file)
        if self.json:
            yield from (
                self._object(line, number)
                for number, line in enumerate(
                    (line for line in lines if line.strip()), start=first + 1
                )
            )
        else:
            yield from (
                dict(zip(self.columns, cells, strict=True))
                for _, cells in self._cells(lines)
                if cells
            )

    def _object(self, line: str, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
            if "\\u" in line:
                json.dumps(
                    row, ensure_ascii=False
                ).encode()  # half of a surrogate pair is no text: nothing could write it
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"line {number} of {self.path} must be a JSON object, as JSONL has one per line, found: {error}."
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"line {number} of {self.path} must be a JSON object, as JSONL has one per line, found {type(row).__name__}."
            )
        return row


class _Lines:
    """Lines of text of a binary file; ``end`` is where the last one ended."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path, self.file, self.end = path, file, file.tell()

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self.file, start=1):
            first = self.end == 0
            self.end += len(line)
            try:
                yield line.decode("utf-8-sig" if first else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"line {number} of {self.path} must be CSV or JSONL in UTF-8, found: {error}. Save it so."
                ) from error


def number(cell: Any) -> float | None:
    """A cell as a number, NaN for an empty one, infinity for what is too large; None if it is something else.

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
    """A cell as text; a list is read word by word."""
    return " ".join(map(str, cell)) if isinstance(cell, list) else str(cell)


def empty(cell: Any) -> bool:
    """Nothing stands there: an empty text, null, NaN, or a list of nothing."""
    return (
        cell is None or cell == [] or (isinstance(cell, str) and not cell.strip()) or cell != cell
    )


def unique_rows(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which rows are the first with their key."""
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return first
