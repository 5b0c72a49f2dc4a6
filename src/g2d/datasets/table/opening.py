"""Open a store, and read new rows of a table for a model that was trained on one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.data.gaps import USUAL, Gaps, OnError
from g2d.data.new_rows import LeftOut, TableRows, absent_sentence, may_lack
from g2d.data.source import Source
from g2d.data.store.facts import Signal, read_facts, signals
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.table.columns import NUMBER, TEXT, Profile
from g2d.datasets.table.lines import unknown_categories
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.signals import cut_lines, text_length
from g2d.datasets.table.spelling import Nothing, empty
from g2d.datasets.table.values import Layout, TableDecode
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Sample
from g2d.prepare.outcomes import UNREADABLE
from g2d.types import Input, Sequence

WAYS = (
    "To predict the row without it, or to leave the row out: --on-error absent or "
    "--on-error skip (in Python, on_error=)."
)
"""Sentence about what can be done about a row that cannot be read."""


def open_any(options: StoreOptions) -> Source:
    """Open any store; if it was made from a table, new rows can be read from another table."""
    source = open_store(options)
    if "kinds" in source.facts["parameters"]:
        source.read_table = partial(_new_rows, source, options.folder)
    return source


def _new_rows(source: Source, folder: Path, path: Path, on_error: OnError) -> TableRows:
    """Read the rows of a table as the store in ``folder`` would hold them.

    Texts are as long as in the new table, not as in the store; their view cuts them.

    Raises:
        DataError: A column is missing that every training row has, or a row cannot be read.
    """
    facts, modalities, remarks = read_facts(folder), source.modalities, source.remarks
    parameters, known = facts["parameters"], signals(facts)
    columns = {m: tuple(parameters["columns"][m]) for m in modalities}
    table = _table(path, facts, columns)
    remarks[:] = [
        *table.notes,
        *(line for m in modalities for line in unknown_categories(table.columns, known[m].facts)),
    ]
    remarks.extend(_absent_columns(source, columns, table, known))
    stored = {m: known[m] for m in modalities}
    for m, names in columns.items():
        if parameters["kinds"][m] == TEXT:
            column = table.columns.get(names[0], Profile())
            stored[m] = replace(known[m], shape=(text_length(column, parameters["characters"]),))
    layout = Layout(stored, columns, parameters["kinds"], parameters)
    remarks += cut_lines(layout, table)
    gaps = Gaps(
        unreadable="lack" if on_error == "absent" else "skip",
        invalid=parameters.get("invalid", USUAL.invalid),
    )
    read = _decoded(table, TableDecode(layout, gaps), parameters["id"], on_error)
    rows = read.rows
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
    flags = {m: torch.from_numpy(p) for m, p in present.items() if not p.all()}
    return TableRows(read.ids, inputs, flags, tuple(read.left_out), read.faults)


def _absent_columns(
    source: Source,
    columns: Mapping[str, tuple[str, ...]],
    table: TableFile,
    known: Mapping[str, Signal],
) -> Iterator[str]:
    """Yield a sentence per modality and column that a table does not have.

    Raises:
        DataError: Every training row has it. (Objects of JSON may lack keys.)
    """
    needed: list[str] = []
    if not any(name in table.columns for names in columns.values() for name in names):
        needed = [name for names in columns.values() for name in names]
    for m, names in columns.items():
        missing = [name for name in names if name not in table.columns]
        if not missing or needed:
            continue
        if len(missing) == len(names):
            if not may_lack(source, m) and not table.json:
                needed += missing
            yield absent_sentence(m)
            continue
        if not table.json:
            needed += [name for name in missing if not _is_gap(source, m, name, known[m])]
        yield f"{m}: {', '.join(missing)} not given: treated as empty cells in every row"
    if needed:
        raise DataError(
            f"{table.path} must have the columns that the store was prepared from, "
            f"found no {', '.join(needed)}. Only columns that are empty in some training rows can "
            "be left out."
        )


def _is_gap(source: Source, m: str, column: str, signal: Signal) -> bool:
    """Return whether the model knows rows in which a column of numbers or categories is empty."""
    names, values = signal.facts["columns"], source.arrays[m][source.rows("train")]
    if categories := signal.facts.get("categories", {}).get(column):
        elements = [names.index(f"{column}={value}") for value in categories]
        return bool((values[:, elements] == 0).all(1).any())
    return bool(np.isnan(values[:, names.index(column)]).any())


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


@dataclass
class _Read:
    """Decoded rows of a table, and those that are left out; see :class:`TableRows`."""

    ids: list[str] = field(default_factory=list)
    rows: list[Decoded] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


def _decoded(table: TableFile, decode: TableDecode, id_column: str, on_error: OnError) -> _Read:
    """Decode all rows of a table."""
    read, layout = _Read(), decode.layout
    for place, cells in enumerate(table):
        name = str(place + 1 if empty(cells.get(id_column)) else cells[id_column])
        sample = Sample(name, 0, name, layout.files(cells), layout.facts(cells))
        try:
            row = decode(table.path.parent, sample)
        except UnreadableError as error:
            reason = f"{error.reason}: {error.detail}"
            if on_error == "stop":
                raise DataError(f"cannot read row {name} of {table.path}: {reason}. {WAYS}") from (
                    error
                )
            read.left_out.append(LeftOut(place, name, reason))
            continue
        if UNREADABLE in row.outcomes.values():
            read.faults[len(read.ids)] = "; ".join(row.warnings)
        read.ids.append(name)
        read.rows.append(row)
    if not read.rows:
        one = read.left_out[0]
        raise DataError(
            f"{table.path} must have a row that can be predicted, found none: {one.id} "
            f"({one.reason})."
        )
    return read
