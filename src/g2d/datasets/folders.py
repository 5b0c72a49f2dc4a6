"""Finding files in the folders of a data set, and reading its CSV files."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from g2d.errors import DataError


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
    second, first = map(printable, repeated[0])
    return files, [
        f"{len(repeated)} files have the name of an earlier one and are ignored, "
        f"such as {second} after {first} (in bytewise order)"
    ]


def counted(names: Sequence[str], what: str) -> list[str]:
    """Return a warning about some names with the first as an example; nothing without names.

    Args:
        names: The names.
        what: Sentence that the number of names begins.

    Example:
        >>> counted(["a.txt", "b.txt"], "files are ignored")
        ['2 files are ignored, such as a.txt']
    """
    return [f"{len(names)} {what}, such as {printable(names[0])}"] if names else []


def printable(name: str) -> str:
    """Return a file name that can be printed and stored: bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode(errors="replace")


def read_csv(path: Path, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the non-empty rows of a UTF-8 CSV file, with the line (from 1) where each begins.

    Cells come without the blanks around them.

    Args:
        path: The file.
        strict: Whether badly quoted cells, and a quote that is never closed, are errors.

    Raises:
        DataError: The file cannot be read, is not UTF-8, or has a quote that is never closed and
            swallows the rest of the file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows, line = csv.reader(file, skipinitialspace=True, strict=strict), 1
            for cells in rows:
                stripped = [cell.strip() for cell in cells]
                if any(stripped):
                    yield line, stripped
                line = rows.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} must be a CSV file in UTF-8, found: "
            f"{getattr(error, 'strerror', None) or error}. Repair it, or move it away."
        ) from error
