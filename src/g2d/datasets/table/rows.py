"""A table on disk: scanned once, then read row by row, with little memory."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from g2d.datasets.table.columns import NEARLY, TEXT, Profile
from g2d.datasets.table.formats import GUESSED, Scratch, as_text, recoded, unique_names, western
from g2d.datasets.table.kinds import decimal_of
from g2d.datasets.table.spelling import NOTHING, Decimal, Nothing, canonical
from g2d.errors import DataError

LONGEST = 2**31 - 1
"""Maximum number of bytes of a cell."""
DELIMITERS = ",;\t|"
"""Signs that may separate the cells of a row."""
TABS = frozenset({".tsv", ".tab"})
"""Suffixes of files whose cells are separated by tabs."""
_SEPARATOR = re.compile(r'\ufeff?"?sep=(\\t|.)"?\s*', re.IGNORECASE | re.DOTALL)


class NotUtf8Error(DataError):
    """A text is not UTF-8."""


class TableFile:
    """Rows of a file as mappings of column to cell, by number.

    One scan finds where every row begins, gathers the statistics of the columns, and computes the
    hash of the file. Rows are read from the file on access; a row takes eight bytes of memory.

    Args:
        path: Table in a format that :func:`~g2d.datasets.table.formats.as_text` reads. The
            delimiter of a CSV file is the one that a first line ``sep=;`` names, else the one that
            occurs most often in its header outside quotes: comma, semicolon, tab or bar.
        nothing: Cells that mean nothing; rows have None in their place.
        decimal: Decimal sign of the numbers; by default the cells decide.
        usual: Decimal sign where the cells do not decide.
        encoding: Encoding of a text that is not UTF-8 and has no byte-order mark.
        folder: Folder to which paths in the table are relative; by default its own.

    Attributes:
        columns: Profile of every column by name, in the order of the columns.
        decimal: Decimal sign of the numbers.
        numeric: Columns whose numbers are rewritten as Python writes them.
        windows: Columns of paths whose backslashes become slashes.
        keeps_empty: Columns in which an empty list means something: a row without labels.
        sha256: SHA-256 of the file in hexadecimal.

    Raises:
        DataError: The file does not exist, has no row, or has an invalid line.
    """

    def __init__(
        self,
        path: Path,
        nothing: Nothing = Nothing.of(NOTHING),  # noqa: B008 (immutable)
        decimal: Decimal | None = None,
        usual: Decimal | None = None,
        encoding: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.path, self.nothing, self.scratch = path, nothing, Scratch()
        self.folder = path.parent if folder is None else folder
        self.columns: dict[str, Profile] = {}
        try:
            text = as_text(path, self.scratch, encoding)
            self.file, self.json, self.notes = text.path, text.json, text.notes
            try:
                self._open()
            except NotUtf8Error:
                if encoding:
                    self.file = recoded(self.file, encoding, self.scratch)
                elif copy := western(self.file, self.scratch):
                    self.file, guessed = copy
                    self.notes += (GUESSED.format(guessed),)
                else:
                    raise
                self._open()
        except FileNotFoundError:
            raise DataError(f"cannot read {path}: no such file.") from None
        except OSError as error:
            raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}.") from (
                error
            )
        if not len(self.offsets):
            raise DataError(f"{path} must have at least one row, found none.")
        delimiter = "" if self.json else self.delimiter
        self.decimal = decimal or decimal_of(self.columns, delimiter, usual)
        self.numeric: set[str] = set()
        self.windows: set[str] = set()
        self.keeps_empty: set[str] = set()
        for name, column in self.columns.items():
            self._settle(name, column)

    def _open(self) -> None:
        """Scan the text: where rows begin, profiles of the columns, the hash."""
        self.columns, digest = {}, hashlib.sha256()
        with self.file.open("rb") as file:
            self.delimiter, self.above = self._delimiter(file)
            file.seek(0)
            self.offsets = np.fromiter(self._scan(_Lines(self.path, file, digest)), np.int64)
        self.sha256 = digest.hexdigest()

    def _settle(self, name: str, column: Profile) -> None:
        """Decide how the cells of a column are rewritten."""
        column.decimal = self.decimal
        if column.is_number and (column.respelled or self.decimal == ","):
            self.numeric.add(name)
            values = column.values
            column.values = values and {canonical(v, self.decimal) or v for v in values}
        files = column.cells - column.suffixes[TEXT] + column.others.total()
        if min(column.backslashes, files) > NEARLY * column.cells:
            self.windows.add(name)
            column.values = column.values and {v.replace("\\", "/") for v in column.values}

    def _clean(self, row: dict[str, Any]) -> dict[str, Any]:
        """Replace cells that mean nothing by None, and rewrite numbers and paths."""
        for name, cell in row.items():
            if self.nothing(cell):
                row[name] = [] if cell == [] and name in self.keeps_empty else None
            elif isinstance(cell, str):
                if name in self.numeric:
                    row[name] = canonical(cell, self.decimal) or cell
                elif name in self.windows:
                    row[name] = cell.replace("\\", "/")
            elif isinstance(cell, list) and name in self.numeric:
                given = [canonical(v, self.decimal) if isinstance(v, str) else v for v in cell]
                row[name] = [v if new is None else new for v, new in zip(cell, given, strict=True)]
        return row

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return self.rows(row, row + 1)[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self.file.open("rb") as file:
            file.seek(self.offsets[0])
            yield from self._parsed(file, 0)

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Read consecutive rows.

        Args:
            start: Number of the first row.
            stop: Number after the last row.
        """
        with self.file.open("rb") as file:
            file.seek(self.offsets[start])
            parsed = self._parsed(file, start)
            return [next(parsed) for _ in range(stop - start)]

    def _delimiter(self, file: BinaryIO) -> tuple[str, int]:
        """Return the delimiter, and the number of lines above the header."""
        if self.json:
            return "", 0
        numbered = enumerate(_Lines(self.path, file))
        filled = (line for line in numbered if line[1].strip("\ufeff \r\n"))
        above, header = next(filled, (0, ""))
        if given := _SEPARATOR.fullmatch(header):
            return given[1].replace("\\t", "\t"), above + 1
        header = re.sub(r'"[^"]*("|$)', "", header)
        if "\r" in header.rstrip("\r\n"):
            raise DataError(
                f"lines of {self.path} must end with a line feed, found carriage returns alone. "
                "Save it with other line endings."
            )
        if "\t" in header and self.file.suffix.lower() in TABS:
            return "\t", above
        return max(DELIMITERS, key=header.count), above

    def _scan(self, lines: _Lines) -> Iterator[int]:
        """Yield where every row begins, and add its cells to the statistics."""
        begin = 0
        if self.json:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    for name, cell in self._object(line, number).items():
                        self.columns.setdefault(name, Profile()).add(cell, self.nothing)
                    yield begin
                begin = lines.end
            return
        rows = self._cells(lines, self.above)
        names = unique_names(next(rows, (1, []))[1], self.path)
        self.columns = {name: Profile() for name in names}
        statistics = list(self.columns.values())
        begin = lines.end
        for number, cells in rows:
            if cells and len(cells) != len(names):
                raise DataError(
                    f"line {number} of {self.path} must have {len(names)} cells like the header, "
                    f"found {len(cells)}."
                )
            if cells:
                for column, cell in zip(statistics, cells, strict=True):
                    column.add(cell, self.nothing)
                yield begin
            begin = lines.end

    def _cells(self, lines: _Lines, above: int = 0) -> Iterator[tuple[int, list[str]]]:
        """Yield the cells of every CSV row, with the number of the line where the row begins.

        Args:
            lines: Lines of the file.
            above: Number of lines to pass over.
        """
        reader = csv.reader(islice(lines, above, None), delimiter=self.delimiter, strict=True)
        number = 1 + above
        while (cells := self._next(reader, number)) is not None:
            yield number, cells
            number = reader.line_num + 1 + above

    def _next(self, reader: Any, number: int) -> list[str] | None:
        # The limit holds for the whole process, so it is raised for this one row only.
        usual = csv.field_size_limit(LONGEST)
        try:
            return next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"the row that begins in line {number} of {self.path} must be CSV, found: {error}."
            ) from error
        finally:
            csv.field_size_limit(usual)

    def _parsed(self, file: BinaryIO, first: int) -> Iterator[dict[str, Any]]:
        """Yield the rows from the position of the file on; ``first`` is the number of the first."""
        lines = _Lines(self.path, file)
        if self.json:
            filled = (line for line in lines if line.strip())
            for number, line in enumerate(filled, start=first + 1):
                yield self._clean(self._object(line, number))
        else:
            names = list(self.columns)
            for _, cells in self._cells(lines):
                if cells:
                    yield self._clean(dict(zip(names, cells, strict=True)))

    def _object(self, line: str, number: int) -> dict[str, Any]:
        rule = f"line {number} of {self.path} must be a JSON object (JSONL has one per line)"
        try:
            row = json.loads(line)
            if "\\u" in line:  # half of a surrogate pair is no text and could not be written
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise DataError(f"{rule}, found: {error}.") from error
        if not isinstance(row, dict):
            raise DataError(f"{rule}, found {type(row).__name__}.")
        return row


class _Lines:
    """Lines of text of a binary file.

    Args:
        path: Path of the file, for messages.
        file: The opened file.
        digest: Hash to update with every line.

    Attributes:
        end: Position where the last line ended.
    """

    def __init__(self, path: Path, file: BinaryIO, digest: Any = None) -> None:
        self.path, self.file, self.digest, self.end = path, file, digest, file.tell()

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self.file, start=1):
            first = self.end == 0
            self.end += len(line)
            if self.digest is not None:
                self.digest.update(line)
            try:
                yield line.decode("utf-8-sig" if first else "utf-8")
            except UnicodeDecodeError as error:
                raise NotUtf8Error(
                    f"line {number} of {self.path} must be text in UTF-8, found: {error}. "
                    "Save the file as UTF-8, or name its encoding: encoding=cp1252"
                ) from error


def unique_rows(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which rows ``(N,)`` are the first with their key."""
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return first
