"""MIS-ME's tables: found by their columns, whatever they are called and wherever they lie."""

from __future__ import annotations

import csv
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest
from pathlib import Path, PureWindowsPath
from typing import Any

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.datasets.folders import find_files, printable
from g2d.errors import DataError, MissingDependencyError

COLUMNS = (
    "air_temperature", "relative_humidity", "precipitation", "solar_flux_density",
    "wind_speed", "barometric_pressure", "tilt_north_south", "tilt_west_east",
)  # fmt: skip
NEEDED = ("image", "vwc", *COLUMNS)
ROLES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALID,
    "valid": VALID,
    "validation": VALID,
    "test": TEST,
}
STATION = r"OK\d{3}(?!\d)"
DAY = r"(?<!\d)(20\d{2})([-_/]?)(\d{2})\2(\d{2})(?:\d{4}|\d{6})?(?!\d)"
"""Year, month and day, a time of day behind them or none; the order of the others cannot be told from the digits."""
CSV, EXCEL = ".csv", ".xlsx"


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Args:
        image: its photograph, empty where the line names none. cells: by column. table: its file, and sheet. line: its number there.
        place: of the authors' split, None if the table does not tell. station, day: as far as names or columns tell.
        repeated: the photograph stood in a row before.
    """

    image: str
    cells: dict[str, Any]
    table: str
    line: int
    place: int | None
    station: str | None
    day: str | None
    repeated: bool


@dataclass(frozen=True)
class Sheet:
    """A table that has the columns.

    Args:
        name: of its file, and of the sheet in it. columns: its header. lines: cells by column, after their number in the file.
        place, station: what its name tells.
    """

    name: str
    columns: Sequence[str]
    lines: Sequence[tuple[int, dict[str, Any]]]
    place: int | None
    station: str | None

    @property
    def images(self) -> set[str]:
        return {image_name(cells["image"]) for _, cells in self.lines}


def read_tables(source: Path) -> tuple[list[Row], list[str], list[str]]:
    """Rows, names of columns that nothing uses, and warnings.

    Tables of the split come first, those of single stations last; one that only repeats photographs of those before it adds nothing.
    """
    files = (path for suffix in (CSV, EXCEL) for path in find_files(source, suffix))
    sheets = sorted(
        (sheet for path in files for sheet in _read(path, source)),
        key=lambda sheet: (sheet.station is not None, sheet.place is None),
    )
    if not sheets:
        raise DataError(
            f"{source} must hold a table (xlsx or csv) with the columns {', '.join(NEEDED)}, found none."
        )
    warnings = (
        ["there are only tables of single stations"]
        if all(sheet.station for sheet in sheets)
        else []
    )
    stations = {image: sheet.station for sheet in sheets if sheet.station for image in sheet.images}
    seen: set[str] = set()
    rows: list[Row] = []
    copies: list[str] = []
    for sheet in sheets:
        if sheet.images <= seen:
            copies.append(sheet.name)
            continue
        if sheet.place is None:
            warnings.append(
                f"{sheet.name} is called none of train, val and test: its {len(sheet.lines)} rows belong to no split of the authors'"
            )
        for line, cells in sheet.lines:
            image = image_name(cells["image"])
            said = " ".join(
                [image, *(str(value) for column, value in cells.items() if column not in NEEDED)]
            )
            station = re.search(STATION, said)
            rows.append(
                Row(
                    image,
                    cells,
                    sheet.name,
                    line,
                    sheet.place,
                    station[0] if station else stations.get(image),
                    day_in(said),
                    image in seen,
                )
            )
            seen.add(image)
    if copies:
        warnings.append(
            f"tables that only repeat photographs of others are left alone: {', '.join(copies)}"
        )
    return (
        rows,
        sorted(
            {
                column
                for sheet in sheets
                for column in sheet.columns
                if column and column not in NEEDED
            }
        ),
        warnings,
    )


def image_name(cell: Any) -> str:
    """The name alone of a photograph, whichever way a path before it is written.

    Example:
        >>> image_name("images\\\\a.jpg"), image_name("images/a.jpg "), image_name(None)
        ('a.jpg', 'a.jpg', '')
    """
    return "" if cell is None else PureWindowsPath(str(cell).strip()).name


def day_in(text: str) -> str | None:
    """The first date of the calendar that is written year, month, day.

    Example:
        >>> day_in("OK001_20210705_1200_16.jpg"), day_in("OK001_05072021_1200_16.jpg"), day_in("SN20559999")
        ('2021-07-05', None, None)
    """
    for year, _, month, day in re.findall(DAY, text):
        with suppress(ValueError):
            return date(int(year), int(month), int(day)).isoformat()
    return None


def role(*names: str) -> int | None:
    """The place that the first of some names tells by a whole word; names with words of two places do not tell.

    Example:
        >>> role("values_test_set"), role("train_evaluation"), role("train and test"), role("Sheet1", "val")
        (2, 0, None, 1)
    """
    told = (
        {ROLES[word] for word in re.findall("[a-z]+", name.lower()) if word in ROLES}
        for name in names
    )
    return next((found.pop() for found in told if len(found) == 1), None)


def _read(path: Path, source: Path) -> Iterator[Sheet]:
    """The tables of a file that have the columns and rows."""
    file = printable(path.relative_to(source).as_posix())
    for title, lines in _excel(path) if path.suffix.lower() == EXCEL else [("", _csv(path))]:
        name = f"{file} ({title})" if title else file
        numbered = enumerate(lines, start=1)
        header = ["" if cell is None else str(cell).strip() for cell in next(numbered, (0, []))[1]]
        if not set(NEEDED) <= set(header):
            continue
        if twice := [column for column in NEEDED if header.count(column) > 1]:
            raise DataError(
                f"columns of {name} must have different names, found {twice[0]!r} twice."
            )
        if rows := [
            (number, _by_column(header, line, name, number))
            for number, line in numbered
            if not _empty(line)
        ]:
            station = re.search(STATION, f"{title} {path.name}")
            yield Sheet(name, header, rows, role(title, path.stem), station[0] if station else None)


def _by_column(
    header: Sequence[str], line: Sequence[Any], name: str, number: int
) -> dict[str, Any]:
    """Cells that a short line lacks are missing."""
    if not _empty(line[len(header) :]):
        raise DataError(
            f"rows of {name} must have at most {len(header)} cells as the header has, found {len(line)} in row {number}."
        )
    return {column: cell for column, cell in zip_longest(header, line[: len(header)]) if column}


def _empty(cells: Iterable[Any]) -> bool:
    return all(cell in (None, "") for cell in cells)


def _csv(path: Path) -> Iterator[list[Any]]:
    """Strictly, for a quote that is never closed would swallow the rows behind it."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(file, strict=True)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} must be a CSV file in UTF-8, found: {getattr(error, 'strerror', None) or error}. Mend it, or move it away if it is none of MIS-ME's."
        ) from error


def _excel(path: Path) -> Iterator[tuple[str, list[Sequence[Any]]]]:
    """Every sheet, with its name if there are several."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise MissingDependencyError(
            "xlsx files need the optional library openpyxl: pip install 'g2d[excel]', or save the tables as csv."
        ) from None
    try:
        with closing(load_workbook(path, read_only=True, data_only=True)) as book:
            sheets = [
                (
                    sheet.title if len(book.worksheets) > 1 else "",
                    list(sheet.iter_rows(values_only=True)),
                )
                for sheet in book.worksheets
            ]
    except (
        zipfile.BadZipFile,
        zlib.error,
        SyntaxError,
        KeyError,
        ValueError,
        EOFError,
        OSError,
    ) as error:  # XML that is cut off is a SyntaxError
        raise DataError(f"{path} must be an xlsx file, found damage: {error}.") from error
    yield from sheets
