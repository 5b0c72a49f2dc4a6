"""The tables of MIS-ME, found by their columns whatever their names and folders."""

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
from g2d.errors import DataError
from g2d.files import import_extra

COLUMNS = (
    "air_temperature", "relative_humidity", "precipitation", "solar_flux_density",
    "wind_speed", "barometric_pressure", "tilt_north_south", "tilt_west_east",
)  # fmt: skip
"""Columns of the weather."""
NEEDED = ("image", "vwc", *COLUMNS)
"""Columns that a table must have: photograph, volumetric water content, weather."""
ROLES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALID,
    "valid": VALID,
    "validation": VALID,
    "test": TEST,
}
"""Splits by the words that name them in titles of tables."""
STATION = re.compile(r"OK\d{3}(?!\d)")
DAY = re.compile(r"(?<!\d)(20\d{2})([-_/]?)(\d{2})\2(\d{2})(?:\d{4}|\d{6})?(?!\d)")
"""Year, month and day, with or without a time of day; other orders would be ambiguous."""
CSV, EXCEL = ".csv", ".xlsx"


@dataclass(frozen=True)
class Row:
    """Line of a table.

    Args:
        image: Name of its photograph, empty if the line names none.
        cells: Cells by column.
        table: Name of the file, and of the sheet in it.
        line: Number of the line in the file.
        place: Number of the authors' split; None if the table does not name it.
        station: Station, if a name or a column contains it.
        day: Day, if a name or a column contains it.
        repeated: Whether an earlier row has the same photograph.
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
    """Table that has all columns.

    Args:
        name: Name of the file, and of the sheet in it.
        columns: Header.
        lines: Number in the file, and cells by column, of each line.
        place: Number of the split that the name contains.
        station: Station that the name contains.
    """

    name: str
    columns: Sequence[str]
    lines: Sequence[tuple[int, dict[str, Any]]]
    place: int | None
    station: str | None

    @property
    def images(self) -> set[str]:
        """Names of the photographs."""
        return {image_name(cells["image"]) for _, cells in self.lines}


def read_tables(source: Path) -> tuple[list[Row], list[str], list[str]]:
    """Read the rows of all tables under a folder.

    Tables with a split come first, those of single stations last; a table that only repeats
    photographs of earlier ones is ignored.

    Returns:
        The rows, the names of unused columns, and warnings.

    Raises:
        DataError: There is no table with all columns, or one is damaged.
    """
    files = (path for suffix in (CSV, EXCEL) for path in find_files(source, suffix))
    sheets = sorted(
        (sheet for path in files for sheet in _read(path, source)),
        key=lambda sheet: (sheet.station is not None, sheet.place is None),
    )
    if not sheets:
        raise DataError(
            f"{source} must hold a table (xlsx or csv) with the columns {', '.join(NEEDED)}, "
            "found none."
        )
    stations = {image: sheet.station for sheet in sheets if sheet.station for image in sheet.images}
    warnings = []
    if all(sheet.station for sheet in sheets):
        warnings.append("there are only tables of single stations")
    seen: set[str] = set()
    rows: list[Row] = []
    copies: list[str] = []
    for sheet in sheets:
        if sheet.images <= seen:
            copies.append(sheet.name)
            continue
        if sheet.place is None:
            warnings.append(
                f"{sheet.name} has none of train, val and test in its name: its {len(sheet.lines)} "
                "rows belong to no split of the authors'"
            )
        for line, cells in sheet.lines:
            row = _row(sheet, line, cells, stations, seen)
            rows.append(row)
            seen.add(row.image)
    if copies:
        warnings.append(
            f"tables that only repeat photographs of others are ignored: {', '.join(copies)}"
        )
    columns = {column for sheet in sheets for column in sheet.columns if column}
    return rows, sorted(columns - set(NEEDED)), warnings


def _row(
    sheet: Sheet, line: int, cells: dict[str, Any], stations: dict[str, str], seen: set[str]
) -> Row:
    """Return a line of a table as a row.

    Args:
        sheet: Table of the line.
        line: Number of the line in the file.
        cells: Cells by column.
        stations: Stations of photographs in the tables of single stations.
        seen: Photographs of earlier rows.
    """
    image = image_name(cells["image"])
    others = (str(value) for column, value in cells.items() if column not in NEEDED)
    texts = " ".join([image, *others])
    station = STATION.search(texts)
    return Row(
        image,
        cells,
        sheet.name,
        line,
        sheet.place,
        station[0] if station else stations.get(image),
        day_in(texts),
        image in seen,
    )


def image_name(cell: Any) -> str:
    """Return the name of a photograph without the path before it, in either notation.

    Example:
        >>> image_name("images\\\\a.jpg"), image_name("images/a.jpg "), image_name(None)
        ('a.jpg', 'a.jpg', '')
    """
    return "" if cell is None else PureWindowsPath(str(cell).strip()).name


def day_in(text: str) -> str | None:
    """Return the first valid date in a text that is written year, month, day.

    Example:
        >>> day_in("OK001_20210705_1200_16.jpg"), day_in("OK001_05072021_1200_16.jpg")
        ('2021-07-05', None)
    """
    for year, _, month, day in DAY.findall(text):
        with suppress(ValueError):
            return date(int(year), int(month), int(day)).isoformat()
    return None


def role(*names: str) -> int | None:
    """Return the split that the first of some names contains as a whole word.

    Names with words of two splits do not count.

    Example:
        >>> role("values_test_set"), role("train_evaluation"), role("train and test")
        (2, 0, None)
        >>> role("Sheet1", "val")
        1
    """
    splits = (
        {ROLES[word] for word in re.findall("[a-z]+", name.lower()) if word in ROLES}
        for name in names
    )
    return next((numbers.pop() for numbers in splits if len(numbers) == 1), None)


def _read(path: Path, source: Path) -> Iterator[Sheet]:
    """Yield the tables of a file that have all columns, and rows."""
    file = printable(path.relative_to(source).as_posix())
    for title, lines in _excel(path) if path.suffix.lower() == EXCEL else [("", _csv(path))]:
        name = f"{file} ({title})" if title else file
        numbered = enumerate(lines, start=1)
        header = ["" if cell is None else str(cell).strip() for cell in next(numbered, (0, []))[1]]
        if not set(NEEDED) <= set(header):
            continue
        if repeated := [column for column in NEEDED if header.count(column) > 1]:
            raise DataError(
                f"columns of {name} must have different names, found {repeated[0]!r} twice."
            )
        rows = [
            (number, _by_column(header, line, name, number))
            for number, line in numbered
            if not _empty(line)
        ]
        if rows:
            station = STATION.search(f"{title} {path.name}")
            yield Sheet(name, header, rows, role(title, path.stem), station[0] if station else None)


def _by_column(
    header: Sequence[str], line: Sequence[Any], name: str, number: int
) -> dict[str, Any]:
    """Return the cells of a line by column; cells that a short line lacks are missing."""
    if not _empty(line[len(header) :]):
        raise DataError(
            f"rows of {name} must have at most {len(header)} cells like the header, "
            f"found {len(line)} in row {number}."
        )
    return {column: cell for column, cell in zip_longest(header, line[: len(header)]) if column}


def _empty(cells: Iterable[Any]) -> bool:
    """Return whether all cells are empty."""
    return all(cell in (None, "") for cell in cells)


def _csv(path: Path) -> Iterator[list[Any]]:
    """Yield the rows of a CSV file; a quote that is never closed is an error.

    It would swallow the rows behind it. Unlike :func:`g2d.datasets.folders.read_csv`, empty rows
    and blanks in cells stay.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(file, strict=True)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} must be a CSV file in UTF-8, found: "
            f"{getattr(error, 'strerror', None) or error}. "
            "Repair it, or move it away if it does not belong to MIS-ME."
        ) from error


def _excel(path: Path) -> Iterator[tuple[str, list[Sequence[Any]]]]:
    """Yield the rows of every sheet, with the sheet's title if there are several."""
    openpyxl = import_extra("openpyxl", "tables", "reading xlsx files (csv needs no library)")
    try:
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            several = len(book.worksheets) > 1
            sheets = [
                (sheet.title if several else "", list(sheet.iter_rows(values_only=True)))
                for sheet in book.worksheets
            ]
    except (
        zipfile.BadZipFile,
        zlib.error,
        SyntaxError,  # of XML that is cut off
        KeyError,
        ValueError,
        EOFError,
        OSError,
    ) as error:
        raise DataError(f"{path} must be an xlsx file, found damage: {error}.") from error
    yield from sheets
