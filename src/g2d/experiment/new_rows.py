"""New rows in any form: a file, a data frame, arrays, or rows as mappings."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data import Source
from g2d.data.gaps import OnError
from g2d.data.memory import cells_of
from g2d.data.new_rows import NewRows, read_rows
from g2d.errors import ArgumentError, DataError

Rows = Sequence[Mapping[str, Any]]


def is_frame(data: Any) -> bool:
    """Return whether data are a data frame of pandas, or written as one is."""
    return hasattr(data, "to_csv") and hasattr(data, "columns")


def write_frame(frame: Any, path: Path) -> None:
    """Write a data frame as a CSV file.

    Args:
        frame: The data frame; its index is left out.
        path: File to write.
    """
    frame.to_csv(path, index=False)


def write_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows as mappings as a CSV file, as a data frame is: nothing for None and NaN.

    Args:
        rows: The rows.
        columns: Columns of the file; a row may lack some.
        path: File to write.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: None if cell != cell else cell for name, cell in row.items()})


def read_given(source: Source, given: Any, on_error: OnError = "stop") -> NewRows:
    """Read new rows in any form.

    Args:
        source: Data of the run. Its ``remarks`` become sentences about the rows.
        given: A file; a data frame; rows as mappings; arrays by name, of modalities or, where the
            run was trained on a table, of columns.
        on_error: See :func:`g2d.data.new_rows.read_rows`.

    Raises:
        ArgumentError: The rows have none of the forms.
        DataError: They do not fit the data of the run.
    """
    if isinstance(given, str | Path):
        return read_rows(source, Path(given), on_error)
    if not is_frame(given):
        given = _arrays(given) if isinstance(given, Mapping) else _mappings(given)
    if source.read_table is None:
        arrays = given if isinstance(given, dict) else _modalities(given, source.modalities)
        return read_rows(source, arrays, on_error)
    if isinstance(given, dict) and any(values.ndim > 1 for values in given.values()):
        return read_rows(source, given, on_error)
    with TemporaryDirectory() as temporary:
        path = _written(given, Path(temporary))
        try:
            return read_rows(source, path, on_error, folder=Path())
        except DataError as error:
            raise DataError(str(error).replace(str(path), "the rows")) from error


def _arrays(given: Mapping[Any, Any]) -> dict[str, NDArray[Any]]:
    """Return arrays by name, each with an entry per row."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in given.items():
        try:
            arrays[str(name)] = np.asarray(values)
        except ValueError:
            raise ArgumentError(
                f"{name!r} in the rows must be an array with one entry per row, found lists of "
                "different lengths. Pad them, or give rows as mappings."
            ) from None
        if not arrays[str(name)].ndim:
            raise ArgumentError(
                f"{name!r} in the rows must be an array with one entry per row, found "
                f"{values!r:.100}. A single row is a list of one mapping."
            )
    return arrays


def _mappings(given: Any) -> Rows:
    """Return rows as mappings.

    Raises:
        ArgumentError: They are something else, or there are none.
    """
    is_text = isinstance(given, bytes)
    rows = list(given) if isinstance(given, Iterable) and not is_text else [given]
    if not all(isinstance(row, Mapping) for row in rows):
        raise ArgumentError(
            "rows must be a file, a data frame, arrays by name, rows as mappings, or tensors as "
            f"the encoders receive them, found {type(given).__name__}."
        )
    if not rows:
        raise ArgumentError("rows must hold one row or more, found none.")
    return rows


def _modalities(given: Any, modalities: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return rows or a data frame as arrays of modalities, and their names."""
    rows = given.to_dict("records") if is_frame(given) else given
    cells = [{name: _cell(cell) for name, cell in row.items()} for row in rows]
    names = {"id": np.array([str(row["id"]) for row in rows])} if _have_ids(rows) else {}
    return cells_of(cells, modalities) | names


def _cell(cell: Any) -> Any:
    """Return a cell, None if it is NaN, as pandas writes what is missing."""
    return None if isinstance(cell, float) and cell != cell else cell


def _have_ids(rows: Rows) -> bool:
    return all(row.get("id") is not None for row in rows)


def _written(given: Any, folder: Path) -> Path:
    """Write rows, columns or a data frame as a table, and return its path."""
    if is_frame(given):
        write_frame(given, folder / "rows.csv")
        return folder / "rows.csv"
    rows = _of_columns(given) if isinstance(given, dict) else given
    if any(isinstance(cell, list | tuple | np.ndarray) for row in rows for cell in row.values()):
        path = folder / "rows.jsonl"
        lines = [json.dumps(dict(row), default=lambda value: value.tolist()) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path
    path = folder / "rows.csv"
    write_rows(rows, list({name: None for row in rows for name in row}), path)
    return path


def _of_columns(columns: Mapping[str, NDArray[Any]]) -> Rows:
    """Return columns as rows."""
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise ArgumentError(f"columns of the rows must have the same length, found {listed}.")
    cells = (values.tolist() for values in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]
