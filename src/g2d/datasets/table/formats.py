"""Turn a table of any common format into lines of UTF-8 text: CSV, or a JSON object per line."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import shutil
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from g2d.datasets.table.json_array import json_array
from g2d.errors import DataError
from g2d.files import import_extra

JSON = frozenset({".jsonl", ".ndjson", ".json"})
"""Suffixes of tables with a JSON object per row."""
CSV = frozenset({".csv", ".tsv", ".tab"})
"""Suffixes of tables of cells between delimiters."""
PACKED: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)
"""First bytes of compressed files and the function that opens them."""
REFUSED = (
    (b"\xd0\xcf\x11\xe0", "an old Excel file; save it as .xlsx or CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; decompress it, or use gzip"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
    (b"\x89HDF", "an HDF5 file; for arrays, use g2d data prepare arrays"),
    (b"ARROW1", "an Arrow file; save it as Parquet or CSV"),
    (b"\x93NUMPY", "a NumPy array; use g2d data prepare arrays"),
    (b"%PDF", "a PDF file; save the table as CSV"),
    (b"\x80\x04\x95", "a pickle, which is not opened, because it can run programs; save it as CSV"),
)
"""First bytes of files that are no tables for us, and what to do."""
MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte-order marks and the encoding they mean."""
WESTERN = ("cp1252", "latin-1")
"""Encodings that are tried in this order on a text that is not UTF-8."""
GUESSED = "text: read as {}, not UTF-8; to change: encoding=NAME"
"""Sentence about a text whose encoding was guessed."""
BLOCK = 2**20
"""Bytes or characters that are converted at a time."""
DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)
"""Errors of a library that reads a damaged file."""
_MULTIBYTE = re.compile(rb"[\xc3-\xf4][\x80-\xbf]")


class Scratch:
    """Temporary files, deleted with this object."""

    def __init__(self) -> None:
        self.folder: Path | None = None

    def path(self, suffix: str) -> Path:
        """Return the path of a new file.

        Args:
            suffix: Suffix of its name.
        """
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="g2d-table-"))
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        return self.folder / f"{len([*self.folder.iterdir()])}{suffix}"


@dataclass(frozen=True)
class TextTable:
    """A table as a file of UTF-8 text.

    Args:
        path: The file: the given one, or a temporary copy in another form.
        json: Whether each line is a JSON object; else the lines are CSV.
        notes: Sentences about the conversion.
    """

    path: Path
    json: bool
    notes: tuple[str, ...] = ()


def as_text(path: Path, scratch: Scratch, encoding: str | None = None) -> TextTable:
    """Return a table as UTF-8 text, recognized by its first bytes.

    Args:
        path: CSV, TSV, JSONL, JSON array, Parquet or Excel file, or a compressed one.
        scratch: Place for a converted copy.
        encoding: Encoding of a text that has bytes of zero and no byte-order mark.

    Raises:
        DataError: The file is no table, or is damaged.
        OSError: The file cannot be read.
        MissingDependencyError: An extra is needed to read the format.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path} must be a file, found a pipe or a device. Save it as a file.")
    with path.open("rb") as file:
        start = file.read(4096)
    for magic, opener in PACKED:
        if start.startswith(magic):
            packed_as = path.suffix.lower() in (".gz", ".bz2", ".xz")
            plain = scratch.path(Path(path.stem if packed_as else path.name).suffix)
            with _refused(path), opener(path) as packed, plain.open("wb") as file:
                shutil.copyfileobj(packed, file, BLOCK)
            return as_text(plain, scratch, encoding)
    if start.startswith(b"PAR1"):
        return _as_lines(path, _parquet(path), scratch)
    if start.startswith(b"PK\x03\x04"):
        rows = _Excel(path)
        return replace(_as_lines(path, rows, scratch), notes=rows.notes)
    for magic, what in REFUSED:
        if start.startswith(magic):
            raise DataError(f"{path} must be a table, found {what}.")
    return _text(path, start, scratch, encoding)


def _text(path: Path, start: bytes, scratch: Scratch, encoding: str | None) -> TextTable:
    """Return a text as UTF-8, one JSON object per line if it is JSON."""
    mark = next((name for magic, name in MARKS if start.startswith(magic)), None)
    coded = mark or (encoding if encoding and b"\0" in start else _without_mark(path, start))
    if coded.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
        path = recoded(path, coded, scratch)
        with path.open("rb") as file:
            start = file.read(4096)
    suffix, first = path.suffix.lower(), start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    is_json = suffix in JSON or (first in (b"{", b"[") and suffix not in CSV)
    if is_json and first == b"[":
        whole, notes = _utf8(path, encoding, scratch)
        return replace(_as_lines(whole, json_array(whole), scratch), notes=notes)
    return TextTable(path, is_json)


def _utf8(path: Path, encoding: str | None, scratch: Scratch) -> tuple[Path, tuple[str, ...]]:
    """Return a text as UTF-8, and a sentence if its encoding was guessed."""
    try:
        with path.open(encoding="utf-8-sig") as text:
            while text.read(BLOCK):
                pass
    except UnicodeError as error:
        if encoding:
            return recoded(path, encoding, scratch), ()
        if copy := western(path, scratch):
            return copy[0], (GUESSED.format(copy[1]),)
        raise DataError(f"{path} must be text in UTF-8, found: {error}.") from error
    return path, ()


def _without_mark(path: Path, start: bytes) -> str:
    """Return the encoding of a text without a byte-order mark."""
    if b"\0" not in start:
        return "utf-8"
    zeros = [start[place::2].count(0) for place in (0, 1)]
    if not start[max(zeros) == zeros[0] :: 2].count(0) and max(zeros) > len(start) // 4:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    raise DataError(f"{path} must be a table, found bytes that are no text.")


def recoded(path: Path, encoding: str, scratch: Scratch) -> Path:
    """Return a copy of a text in UTF-8.

    Args:
        path: The text.
        encoding: Its encoding.
        scratch: Place for the copy.

    Raises:
        DataError: The encoding is unknown, or the text is of another.
    """
    try:
        copy = scratch.path(path.suffix)
        with path.open(encoding=encoding, newline="") as text, copy.open("wb") as file:
            while block := text.read(BLOCK):
                file.write(block.encode())
    except LookupError:
        raise DataError(
            f"encoding must be one that Python knows (utf-8, cp1252, utf-16), found {encoding!r}."
        ) from None
    except UnicodeError as error:
        raise DataError(f"{path} must be text in {encoding}, found: {error}.") from error
    return copy


def western(path: Path, scratch: Scratch) -> tuple[Path, str] | None:
    """Return a UTF-8 copy of a text in a Western European encoding, and the encoding.

    Args:
        path: Text that is not UTF-8.
        scratch: Place for the copy.

    Returns:
        None if the text looks like UTF-8 with damaged places.
    """
    with path.open("rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            multibyte = len(_MULTIBYTE.findall(block))
            high = len(re.findall(rb"[\x80-\xff]", block))
            if 2 * multibyte > high / 2:
                return None
    for encoding in WESTERN:
        try:
            return recoded(path, encoding, scratch), encoding
        except DataError:
            continue
    return None


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file."""
    parquet = import_extra("pyarrow.parquet", "tables", "reading Parquet")
    with _refused(path), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(4096):
            yield from batch.to_pylist()


class _Excel:
    """Rows of the first sheet of an Excel file that has any.

    Args:
        path: The file.

    Attributes:
        notes: A sentence if there are other sheets.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with _refused(self.path), zipfile.ZipFile(self.path) as archive:
            if "xl/workbook.xml" not in archive.namelist():
                raise DataError(
                    f"{self.path} must be a table, found a zip archive; unpack it, and give the "
                    "table in it (an archive of arrays: g2d data prepare arrays)."
                )
        library = import_extra("openpyxl", "tables", "reading Excel files")
        with _refused(self.path):
            book = library.load_workbook(self.path, read_only=True, data_only=True)
        try:
            for sheet in book.worksheets:
                rows = sheet.iter_rows(values_only=True)
                filled = (row for row in rows if any(cell is not None for cell in row))
                header = next(filled, None)
                if header is not None:
                    if len(book.worksheets) > 1:
                        count = len(book.worksheets)
                        self.notes = (f"the sheet {sheet.title!r} is read, one of {count}",)
                    yield from self._rows(header, filled)
                    return
        finally:
            book.close()

    def _rows(
        self, header: tuple[Any, ...], rows: Iterable[tuple[Any, ...]]
    ) -> Iterator[dict[str, Any]]:
        places = [place for place, name in enumerate(header) if name is not None]
        last = max(places) + 1
        names = unique_names(
            ["" if name is None else str(name) for name in header[:last]], self.path
        )
        for row in rows:
            cells = [*row, *[None] * (last - len(row))]
            yield dict(zip(names, cells, strict=False))


def unique_names(names: list[str], path: Path) -> list[str]:
    """Return the names of columns without blanks around them.

    Further columns without a name are called ``Unnamed: NUMBER``.

    Raises:
        DataError: Two columns have the same name.
    """
    names = [name.strip() for name in names]
    named = [name for name in names if name]
    if repeated := sorted({name for name in named if named.count(name) > 1}):
        raise DataError(
            f"columns of {path} must have different names, found {repeated[0]!r} twice."
        )
    first = names.index("") if "" in names else -1
    return [name or ("" if i == first else f"Unnamed: {i}") for i, name in enumerate(names)]


def _as_lines(path: Path, rows: Iterable[Any], scratch: Scratch) -> TextTable:
    """Write rows as a JSON object per line."""
    lines = scratch.path(".jsonl")
    with lines.open("wb") as file:
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                raise DataError(
                    f"rows of {path} must be JSON objects, found {type(row).__name__} in row "
                    f"{number}."
                )
            file.write(json.dumps(row, default=_plain).encode() + b"\n")
    return TextTable(lines, json=True)


def _plain(value: Any) -> Any:
    """Return a value of Parquet or Excel as one of JSON."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray):
        raise DataError(
            "cells must be numbers, texts or paths, found binary data. Write it to files and put "
            "their paths into the table."
        )
    return str(value)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn the errors of a damaged file into one sentence."""
    try:
        yield
    except DAMAGED as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} must be a complete table, found: {reason[:120]}.") from error
