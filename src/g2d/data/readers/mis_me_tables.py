"""MIS-ME's tables: found by their columns, whatever they are called and wherever they lie."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.data.store.plan import TEST, TRAIN, VALID
from g2d.errors import DataError, MissingDependencyError

COLUMNS = (
    "air_temperature", "relative_humidity", "precipitation", "solar_flux_density",
    "wind_speed", "barometric_pressure", "tilt_north_south", "tilt_west_east",
)  # fmt: skip
NEEDED = ("image", "vwc", *COLUMNS)
ROLES = {"train": TRAIN, "val": VALID, "test": TEST}
STATION, DAY = r"OK\d{3}", r"(20\d{2})[-_/]?(\d{2})[-_/]?(\d{2})"
EXCEL = frozenset({".xlsx"})


@dataclass
class Row:
    """A line of a table.

    Args:
        image: its photograph. cells: by column. table: its file. place: of the authors' split, None if the table does not tell.
        station, day: as far as names or columns tell. repeated: the photograph stood in a row before.
    """

    image: str
    cells: dict[str, Any]
    table: str
    place: int | None
    station: str | None
    day: str | None
    repeated: bool = False


def read_tables(source: Path) -> tuple[list[Row], list[str], list[str]]:
    """Rows, names of columns that nothing uses, and warnings."""
    tables = {path: rows for path in sorted(source.rglob("*")) if path.suffix.lower() in (".csv", ".xlsx") if (rows := _read(path)) is not None}
    if not tables:
        raise DataError(f"{source} must hold a table (xlsx or csv) with the columns {', '.join(NEEDED)}, found none.")
    whole = {path: rows for path, rows in tables.items() if not re.search(STATION, path.name)}
    stations = {str(r["image"]): re.findall(STATION, path.name)[0] for path, rows in tables.items() if path not in whole for r in rows}
    seen: set[str] = set()
    found: list[Row] = []
    warnings = [] if whole else ["there are only tables of single stations"]
    for path, rows in (whole or tables).items():
        place = next((place for role, place in ROLES.items() if role in path.stem.lower()), None)
        for cells in rows:
            name = Path(str(cells["image"]).strip()).name
            said = " ".join(str(value) for column, value in cells.items() if column not in COLUMNS and column not in ("vwc",))
            station = re.search(STATION, said)
            day = re.search(DAY, said)
            found.append(
                Row(
                    name,
                    cells,
                    path.name,
                    place,
                    station[0] if station else stations.get(name),
                    "-".join(day.groups()) if day else None,
                    name in seen,
                )
            )
            seen.add(name)
    extra = sorted({str(column) for rows in tables.values() for column in rows[0] if column not in NEEDED})
    return found, extra, warnings


def _read(path: Path) -> list[dict[str, Any]] | None:
    """Rows of a table that has the columns; None for any other file."""
    lines = _excel(path) if path.suffix.lower() in EXCEL else _csv(path)
    header = [str(cell).strip() if cell is not None else "" for cell in next(lines, [])]
    if not set(NEEDED) <= set(header):
        return None
    return [dict(zip(header, cells, strict=False)) for cells in lines if any(cell not in (None, "") for cell in cells)] or None


def _csv(path: Path) -> Iterator[list[Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} must be a CSV file in UTF-8, found: {error}. Mend it, or move it away if it is none of MIS-ME's.") from error


def _excel(path: Path) -> Iterator[list[Any]]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise MissingDependencyError("xlsx files need the optional library openpyxl: pip install 'g2d[excel]', or save the tables as csv.") from None
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataError(f"{path} must be an xlsx file, found damage: {error}.") from error
    for line in book.active.iter_rows(values_only=True):
        yield list(line)
    book.close()
