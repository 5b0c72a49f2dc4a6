"""Raw data of a fit in any form, as a file that a reader of the preparation reads."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np

from g2d.data.memory import class_names, columns_of
from g2d.data.store.facts import DATASET
from g2d.datasets.arrays.files import READERS
from g2d.errors import ArgumentError, DataError
from g2d.experiment.new_rows import is_frame, write_frame, write_rows
from g2d.files import did_you_mean
from g2d.runs import RECIPE
from g2d.runs.bundle import is_bundle

Target = str | Sequence[str] | None
"""Name of the target, or of its columns; None to find it."""
TABLE, ARRAYS = "table", "arrays"
"""Data sets whose readers read a user's own data."""
FILES = {TABLE: "source.csv", ARRAYS: "source.npz"}
"""Files that keep data given from Python, so that a fit can be resumed and opened again."""
FORMS = "a table, a file of arrays, a store or a recipe"
"""Forms of ``DATA``, for messages."""


@dataclass(frozen=True)
class Raw:
    """Raw data, and how they are prepared.

    Args:
        reader: Name of the data set whose reader reads them: ``"table"`` or ``"arrays"``.
        path: Their file or folder.
        folder: Folder of the files that they name.
        options: Options of the preparation that follow from the data and their target.
        write: Function that writes the file, of data given from Python; None if it exists.
    """

    reader: str
    path: Path
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    write: Callable[[Path], None] | None = None


def raw_data(data: Any, target: Target, out: Path) -> Raw:
    """Return raw data in any form; nothing is written.

    Args:
        data: A path, a mapping of arrays, a data frame, or rows as mappings.
        target: Name of the target.
        out: Folder for the file of data that are given from Python.

    Raises:
        ArgumentError: The data have none of the forms, or no such target.
        DataError: The rows do not fit together.
    """
    if isinstance(data, str | Path):
        return _file(Path(data), target)
    if is_frame(data):
        write = partial(write_frame, data)
        return Raw(TABLE, out / FILES[TABLE], Path(), _named(target), write)
    if target is None:
        raise ArgumentError("target must name the array or column to predict, found None.")
    if isinstance(data, Mapping) and not any(map(_is_rows, data.values())):
        return _written(_named_arrays(data, target), {}, out)
    if not isinstance(data, Mapping | Iterable) or isinstance(data, bytes):
        raise ArgumentError(
            "data must be a path, the name of a recipe, a Recipe, a mapping of arrays, a data "
            f"frame or rows as mappings, found {type(data).__name__}."
        )
    return _rows(data, target, out)


def refuse_folder_of_g2d(path: Path) -> None:
    """Refuse an exported model or a run folder as data.

    Args:
        path: A folder that is no store.

    Raises:
        ArgumentError: It is one of them.
    """
    if is_bundle(path):
        kind, way_out = "an exported model, which has no rows", "Give the data themselves."
        raise ArgumentError(f"DATA must be {FORMS}, found {path}, {kind}. {way_out}")
    if (path / RECIPE).is_file() and not any(path.glob("*.npy")):
        stores = [file.parent for file in sorted(path.glob(f"*/{DATASET}"))]
        own = f"its store {stores[0]}" if stores else f"its recipe {path / RECIPE}"
        kind = "the folder of a run"
        way_out = f"Give {own}, or the data themselves."
        raise ArgumentError(f"DATA must be {FORMS}, found {path}, {kind}. {way_out}")


def _file(path: Path, target: Target) -> Raw:
    arrays = path.is_dir() or path.suffix.lower() in READERS
    if arrays and target not in (None, "target"):
        raise ArgumentError(
            f"the target of arrays must be named target, found --target {target}. Rename the array."
        )
    folder = path if path.is_dir() else path.parent
    return Raw(ARRAYS, path, folder) if arrays else Raw(TABLE, path, folder, _named(target))


def _named(target: Target) -> dict[str, Any]:
    return {} if target is None else {"target": target}


def _written(arrays: Mapping[str, Any], options: Mapping[str, Any], out: Path) -> Raw:
    """Return arrays in memory as raw data."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            named: dict[str, Any] = {name: np.asarray(values) for name, values in arrays.items()}
            np.savez(file, **named)

    given = {name: value for name, value in options.items() if value is not None}
    return Raw(ARRAYS, out / FILES[ARRAYS], out, given, write)


def _named_arrays(data: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Return arrays by the names that the reader knows."""
    if not data:
        raise ArgumentError("data must have arrays, found none.")
    if not isinstance(target, str) or target not in data:
        raise ArgumentError(
            f"target must be among the arrays ({', '.join(map(str, data))}), found {target!r}."
            + did_you_mean(str(target), map(str, data))
        )
    return {("target" if name == target else str(name)): values for name, values in data.items()}


def _is_rows(value: Any) -> bool:
    """Return whether a value is a split of a data set: rows as mappings."""
    return hasattr(value, "column_names") or (
        isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)
    )


def _rows(data: Any, target: Target, out: Path) -> Raw:
    """Return rows as mappings: as a table if every cell is a single value, and else as arrays."""
    split = isinstance(data, Mapping)
    parts: dict[str, Any] = dict(data) if split else {"": data}
    parts = {name: part if hasattr(part, "__len__") else list(part) for name, part in parts.items()}
    columns = _columns(parts)
    targets = [target] if isinstance(target, str) else list(target or ())
    if missing := [name for name in targets if name not in columns]:
        raise DataError(
            f"the data set must have a column {missing[0]!r}, found {', '.join(columns)}."
            + did_you_mean(missing[0], columns)
        )
    table = _Table(parts, columns, targets, "split" if split else None)
    _require(parts, targets if table.is_one else columns)
    if table.is_one:
        return Raw(TABLE, out / FILES[TABLE], Path(), _named(target), table.write)
    if len(targets) > 1:
        raise ArgumentError(
            f"target must be one column of rows that hold arrays, found {', '.join(targets)}."
        )
    roles = {name: name for name in ("split", "group", "id") if name in columns}
    read = columns_of(
        parts if split else parts[""],
        [name for name in columns if name not in (*targets, *roles)],
        targets[0],
        split=roles.get("split"),
        group=roles.get("group"),
        ids=roles.get("id"),
        classes=None,
    )
    classes = read.classes and tuple(read.classes)
    return _written(read.arrays, {"classes": classes, "rate": read.rate, "task": read.task}, out)


def _columns(parts: Mapping[str, Any]) -> list[str]:
    """Return the columns that any row has."""
    names: dict[str, None] = {}
    for part in parts.values():
        if hasattr(part, "column_names"):
            names |= dict.fromkeys(part.column_names if len(part) else ())
            continue
        for row in part:
            if not isinstance(row, Mapping):
                kind = type(row).__name__
                raise ArgumentError(f"rows must be mappings of columns to cells, found {kind}.")
            names |= dict.fromkeys(row)
    if not names:
        raise DataError("the data must have rows, found none.")
    return list(names)


def _require(parts: Mapping[str, Any], columns: Iterable[str]) -> None:
    """Refuse the first row that lacks one of some columns."""
    needed = dict.fromkeys(columns)
    for name, part in parts.items():
        for number, row in enumerate(() if hasattr(part, "column_names") else part, 1):
            if missing := needed.keys() - row.keys():
                lacking = next(column for column in needed if column in missing)
                place = f"row {number}" + (f" of {name}" if name else "")
                raise DataError(
                    f"every row must have the column {lacking!r}, found {place} with "
                    f"{', '.join(map(str, row)) or 'no column'} only."
                )


@dataclass(frozen=True)
class _Table:
    """Rows as mappings that may be a table.

    Args:
        parts: Rows by the name of their split.
        columns: Columns that any row has.
        targets: Columns of the target.
        split: Column for the names of the splits; None to write none.
    """

    parts: Mapping[str, Any]
    columns: Sequence[str]
    targets: Sequence[str]
    split: str | None

    @property
    def is_one(self) -> bool:
        """Whether every cell is a single value, or a list of labels in a target."""
        return all(
            _is_single(cell) or (column in self.targets and _is_labels(cell, names.get(column)))
            for names, row in self._rows()
            for column, cell in row.items()
        )

    def write(self, path: Path) -> None:
        """Write a CSV file, as a data frame does."""
        own = [] if self.split is None else [self.split]
        write_rows(self._texts(), [*dict.fromkeys([*self.columns, *own])], path)

    def _texts(self) -> Iterator[dict[str, Any]]:
        for name, part in self.parts.items():
            names = _class_names(part, self.columns)
            own = {} if self.split is None else {self.split: name}
            for row in part:
                yield {key: _text(cell, names.get(key)) for key, cell in row.items()} | own

    def _rows(self) -> Iterator[tuple[Mapping[str, Sequence[str]], Mapping[str, Any]]]:
        for part in self.parts.values():
            names = _class_names(part, self.columns)
            yield from ((names, row) for row in part)


def _class_names(part: Any, columns: Iterable[str]) -> dict[str, Sequence[str]]:
    """Return the names of the classes of every column that a Hugging Face data set records."""
    named = ((column, class_names(part, column)) for column in columns)
    return {column: names for column, names in named if names is not None}


def _is_single(cell: Any) -> bool:
    return cell is None or isinstance(cell, str | bool | Number | np.generic | datetime.date)


def _is_labels(cell: Any, names: Sequence[str] | None) -> bool:
    """Return whether a cell is a list of labels; numbers are labels if they have names."""
    return isinstance(cell, list | tuple | set) and all(
        isinstance(label, str) or names is not None for label in cell
    )


def _text(cell: Any, names: Sequence[str] | None) -> Any:
    """Return a cell as it is written; nothing for a class without a name."""
    if isinstance(cell, list | tuple | set):
        labels = sorted(cell) if isinstance(cell, set) else cell
        return json.dumps([_text(label, names) for label in labels], ensure_ascii=False)
    if names is not None and isinstance(cell, int | np.integer):
        return names[int(cell)] if 0 <= cell < len(names) else ""
    return cell
