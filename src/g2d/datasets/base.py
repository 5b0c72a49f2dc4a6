"""What a reader is, and what several of them share."""

from __future__ import annotations

import csv
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from g2d.errors import DataError
from g2d.prepare.plan import Plan


class ReaderOptions(BaseModel):
    """What ``g2d data prepare NAME key=value`` may say; every reader adds its own keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Reader:
    """An entry of the list of readers.

    Args:
        plan: from the source folder and the options to a plan. Raises :class:`~g2d.errors.DataError` where nothing usable is there.
        options: what a user may say.
        about: the data set in a line. layout: what the source folder must hold, in a few lines.
        needs: what a user must do by hand, and where (a form, a licence, an address). licence: of the data.
        own: it reads a user's own data, which have no name before they are prepared.
        pack: name of the folder under the data root that can be opened as it is, without a store: small sets that come as arrays.
    """

    plan: Callable[[Path, Any], Plan]
    options: type[ReaderOptions]
    about: str
    layout: str
    needs: str
    licence: str
    pack: str | None = None
    own: bool = False


@lru_cache(maxsize=4)
def open_pack(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file, all in memory.

    Raises:
        DataError: it is not there, or damaged.
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
    ) as error:  # a single array is no context: TypeError
        raise DataError(
            f"{path} must be a file of plain arrays, found damage: {error}. Fetch it again."
        ) from error


def check_arrays(
    table: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]], where: object
) -> None:
    """Refuse a table of arrays that lacks one, holds rows of another shape, or more rows of one than of another."""
    rows = set()
    for name, shape in shapes.items():
        if name not in table:
            raise DataError(
                f"{where} must hold {', '.join(shapes)}, found no {name}. Fetch it again."
            )
        found = table[name].shape
        if not found or found[1:] != shape:
            raise DataError(
                f"{name} of {where} must have rows of shape {shape}, found an array of {found}. Is it another data set's?"
            )
        rows.add(found[0])
    if len(rows) > 1:
        counts = ", ".join(f"{len(table[name])} of {name}" for name in shapes)
        raise DataError(
            f"{where} must hold as many rows of everything, found {counts}. Fetch it again."
        )


def find_file(source: Path, name: str) -> Path | None:
    """The first file of that name under a folder, bytewise by path. Folders of that name, as some archives unpack to, are none."""
    return min(
        (path for path in _walk(source) if path.name == name and path.is_file()),
        key=os.fsencode,
        default=None,
    )


def find_files(folder: Path, suffix: str) -> list[Path]:
    """The files under a folder that end in a suffix, be it written in capitals, bytewise by path."""
    return sorted(
        (path for path in _walk(folder) if path.suffix.lower() == suffix), key=os.fsencode
    )


def _walk(folder: Path) -> Iterator[Path]:
    """What lies under a folder, also behind links, for large sets are spread over disks; no folder is entered twice."""
    entered: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = os.stat(place)
        if (here.st_dev, here.st_ino) in entered:
            folders.clear()
            continue
        entered.add((here.st_dev, here.st_ino))
        folders.sort(key=os.fsencode)
        yield from (Path(place, name) for name in names)


def by_stem(source: Path, paths: Iterable[Path]) -> tuple[dict[str, str], list[str]]:
    """Files relative to the source folder by their names without suffix; of several of one name the first counts, and a sentence says so."""
    found: dict[str, str] = {}
    again = []
    for path in paths:
        name = path.relative_to(source).as_posix()
        if found.setdefault(path.stem, name) != name:
            again.append((name, found[path.stem]))
    if not again:
        return found, []
    one, first = map(shown, again[0])
    return found, [
        f"{len(again)} files bear the name of another one and are left alone, such as {one} beside {first}: the first in bytewise order counts"
    ]


def shown(name: str) -> str:
    """A file's name as it can be printed and stored: those that are not UTF-8 lose what is not."""
    return os.fsencode(name).decode(errors="replace")


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file in UTF-8 that hold something, with the lines (from 1) where they begin; cells without the blanks around them.

    Raises:
        DataError: it cannot be read or is not in UTF-8, or a quote that is never closed makes a cell of half the file.
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
            f"{path} must be a CSV file in UTF-8, found: {getattr(error, 'strerror', None) or error}. Mend it, or save it anew."
        ) from error
