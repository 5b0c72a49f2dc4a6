"""Finding files in the folders of a data set, and reading its CSV files."""

from __future__ import annotations

import csv
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError


@lru_cache(maxsize=4)
def open_pack(path: Path) -> dict[str, NDArray[Any]]:
    """Load the arrays of an ``.npz`` file into memory.

    Raises:
        DataError: The file does not exist, or is damaged.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path.name} must lie in {path.parent}, found no such file.") from None
    except (
        OSError,
        EOFError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:  # a single array is no context manager: TypeError
        raise DataError(
            f"{path} must be a file of plain arrays, found damage: {error}. Fetch it again."
        ) from error


def check_arrays(
    table: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], where: object
) -> None:
    """Refuse arrays if one is missing, rows have a wrong shape, or their counts differ.

    Args:
        table: Arrays by name.
        shapes: Shape of a row of each array.
        where: File or folder they come from, for the message.
    """
    rows = set()
    for name, shape in shapes.items():
        if name not in table:
            raise DataError(
                f"{where} must hold {', '.join(shapes)}, found no {name}. Fetch it again."
            )
        actual = table[name].shape
        if not actual or actual[1:] != shape:
            raise DataError(
                f"{name} of {where} must have rows of shape {shape}, found an array of {actual}. "
                "Is it another data set's?"
            )
        rows.add(actual[0])
    if len(rows) > 1:
        counts = ", ".join(f"{len(table[name])} of {name}" for name in shapes)
        raise DataError(
            f"{where} must hold as many rows of everything, found {counts}. Fetch it again."
        )


def find_file(source: Path, name: str) -> Path | None:
    """Return the first file with a name under a folder, in bytewise order of paths.

    Folders with that name do not count: some archives unpack to one.
    """
    return min(
        (path for path in _walk(source) if path.name == name and path.is_file()),
        key=os.fsencode,
        default=None,
    )


def find_files(folder: Path, suffix: str) -> list[Path]:
    """Return the files under a folder with a suffix, in bytewise order of paths.

    Args:
        folder: Folder to search, sub-folders included.
        suffix: Suffix in lower case; files that spell it in capitals are found too.
    """
    return sorted(
        (path for path in _walk(folder) if path.suffix.lower() == suffix), key=os.fsencode
    )


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every file under a folder, and enter no folder twice.

    Links to folders are followed: large data sets are spread over several disks.
    """
    entered: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders.sort(key=os.fsencode)
        yield from (Path(place, name) for name in names)


def by_stem(source: Path, paths: Iterable[Path]) -> tuple[dict[str, str], list[str]]:
    """Map the names of files without their suffix to paths relative to the source folder.

    Returns:
        The paths, and warnings. If several files share a name, the first one counts.
    """
    files: dict[str, str] = {}
    repeated = []
    for path in paths:
        name = path.relative_to(source).as_posix()
        if files.setdefault(path.stem, name) != name:
            repeated.append((name, files[path.stem]))
    if not repeated:
        return files, []
    second, first = map(shown, repeated[0])
    return files, [
        f"{len(repeated)} files have the name of an earlier one and are ignored, "
        f"such as {second} after {first} (in bytewise order)"
    ]


def shown(name: str) -> str:
    """Return a file name that can be printed and stored: bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode(errors="replace")


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the non-empty rows of a UTF-8 CSV file, with the line (from 1) where each begins.

    Cells come without the blanks around them.

    Raises:
        DataError: The file cannot be read, is not UTF-8, or has a quote that is never closed and
            swallows the rest of the file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows, line = csv.reader(file, skipinitialspace=True), 1
            for cells in rows:
                stripped = [cell.strip() for cell in cells]
                if any(stripped):
                    yield line, stripped
                line = rows.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} must be a CSV file in UTF-8, found: "
            f"{getattr(error, 'strerror', None) or error}. Repair it, or save it again."
        ) from error
