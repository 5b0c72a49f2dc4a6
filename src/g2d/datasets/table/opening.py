"""Open a store, and read new rows of a table for a model that was trained on one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.data.source import Source
from g2d.data.store.facts import read_facts, signals
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.table.columns import NUMBER, TEXT, Column
from g2d.datasets.table.lines import unknown_categories
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.signals import cut_lines, text_length
from g2d.datasets.table.spelling import Nothing, empty
from g2d.datasets.table.values import Layout, TableDecode
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Sample
from g2d.types import Input, Sequence


def open_any(options: StoreOptions) -> Source:
    """Open any store; if it was made from a table, new rows can be read from another table."""
    source = open_store(options)
    if "kinds" in source.facts["parameters"]:
        source.read_table = partial(_new_rows, options.folder, source.modalities, source.remarks)
    return source


def _new_rows(
    folder: Path, modalities: tuple[str, ...], remarks: list[str], path: Path
) -> tuple[list[str], dict[str, Input], dict[str, Tensor]]:
    """Read the rows of a table as the store in ``folder`` would hold them.

    Texts are as long as in the new table, not as in the store; their view cuts them.

    Returns:
        The ids of the rows, the inputs, and which rows have each incomplete modality.

    Raises:
        DataError: A column is missing, or a row cannot be read.
    """
    facts = read_facts(folder)
    parameters, known = facts["parameters"], signals(facts)
    columns = {m: tuple(parameters["columns"][m]) for m in modalities}
    table = _table(path, facts, columns)
    remarks[:] = [
        *table.notes,
        *(line for m in modalities for line in unknown_categories(table.columns, known[m].facts)),
    ]
    missing = [c for names in columns.values() for c in names if c not in table.columns]
    if missing and not table.json:
        raise DataError(
            f"{path} must have the columns that the store was prepared from, "
            f"found no {', '.join(missing)}."
        )
    stored = {m: known[m] for m in modalities}
    for m, names in columns.items():
        if parameters["kinds"][m] == TEXT:
            column = table.columns.get(names[0], Column())
            stored[m] = replace(known[m], shape=(text_length(column, parameters["characters"]),))
    layout = Layout(stored, columns, parameters["kinds"], parameters)
    remarks += cut_lines(layout, table)
    ids, rows = _decoded(table, layout, parameters["id"])
    inputs: dict[str, Input] = {}
    present: dict[str, NDArray[np.bool_]] = {}
    for m, signal in stored.items():
        absent = np.zeros(signal.shape, signal.dtype)
        stacked = [absent if (value := row.values[m]) is None else value for row in rows]
        values = torch.from_numpy(np.stack(stacked))
        present[m] = np.array([row.values[m] is not None for row in rows])
        inputs[m] = values
        if signal.masked:
            mask = np.stack([row.masks.get(m, np.zeros(signal.shape[0], np.bool_)) for row in rows])
            inputs[m] = Sequence(values, torch.from_numpy(mask))
    return ids, inputs, {m: torch.from_numpy(p) for m, p in present.items() if not p.all()}


def _table(path: Path, facts: dict[str, Any], columns: dict[str, tuple[str, ...]]) -> TableFile:
    """Open a table that is written like the one that a store was made from."""
    spelling = facts["report"].get("spelling", {"missing": [], "decimal": "."})
    table = TableFile(
        path,
        Nothing.of(spelling["missing"]),
        usual=spelling["decimal"],
        encoding=spelling.get("encoding"),
    )
    kinds = facts["parameters"]["kinds"]
    for m, names in columns.items():
        if kinds[m] == NUMBER:
            categories = facts["modalities"][m]["facts"].get("categories", {})
            table.numeric.update(name for name in names if name not in categories)
    return table


def _decoded(table: TableFile, layout: Layout, id_column: str) -> tuple[list[str], list[Decoded]]:
    """Decode all rows of a table; return their ids and values."""
    decode = TableDecode(layout)
    ids: list[str] = []
    rows: list[Decoded] = []
    for number, cells in enumerate(table, start=1):
        name = str(number if empty(cells.get(id_column)) else cells[id_column])
        sample = Sample(name, 0, name, layout.files(cells), layout.facts(cells))
        try:
            rows.append(decode(table.path.parent, sample))
        except UnreadableError as error:
            raise DataError(
                f"cannot read row {name} of {table.path}: {error.reason}: {error.detail}."
            ) from error
        ids.append(name)
    return ids, rows
