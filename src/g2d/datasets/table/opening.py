"""Open a store, and read new rows of a table for a model that was trained on one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.data.gaps import USUAL, Gaps, OnError
from g2d.data.new_rows import LeftOut, StoredRows, absent_sentence, may_lack
from g2d.data.source import Source
from g2d.data.store.facts import read_facts, signals
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.table.columns import NUMBER, TEXT, Profile
from g2d.datasets.table.lines import unknown_categories
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.signals import cut_lines, text_length
from g2d.datasets.table.spelling import Decimal, Nothing, empty
from g2d.datasets.table.targets import targets_of
from g2d.datasets.table.values import Layout, TableDecode
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Sample
from g2d.prepare.outcomes import UNREADABLE
from g2d.task import Regression
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
        source.read_table = TableReader(source, read_facts(options.folder))
    return source


class TableReader:
    """Reader of new rows from a table that is written like the one that a store was made from.

    Args:
        source: The data. Its ``remarks`` become sentences about the table that is read.
        facts: What the store records about itself; see :meth:`plain` for what is needed.
        gaps: Columns that are empty in some training rows, by modality; None finds them in the
            stored values of the training rows when they are needed.
    """

    def __init__(
        self, source: Source, facts: Mapping[str, Any], gaps: Mapping[str, Any] | None = None
    ) -> None:
        self.source, self.facts, self.known_gaps = source, facts, gaps

    def plain(self) -> dict[str, Any]:
        """Return what the constructor needs in place of the store."""
        chosen, report = self.source.modalities, self.facts["report"]
        facts = {
            "parameters": self.facts["parameters"],
            "modalities": {m: self.facts["modalities"][m] for m in chosen},
            "report": {"spelling": report["spelling"]} if "spelling" in report else {},
        }
        names = facts["parameters"]["columns"]
        gaps = {m: [name for name in names[m] if self.is_gap(m, name)] for m in self._tables()}
        return {"facts": facts, "gaps": gaps}

    def _tables(self) -> list[str]:
        """Return the modalities of numbers and categories."""
        kinds = self.facts["parameters"]["kinds"]
        return [m for m in self.source.modalities if kinds[m] == NUMBER]

    def is_gap(self, m: str, column: str) -> bool:
        """Return whether a column of numbers or categories is empty in some training rows."""
        if self.known_gaps is not None:
            return column in self.known_gaps.get(m, ())
        source, facts = self.source, self.facts["modalities"][m]["facts"]
        names, values = facts["columns"], source.arrays[m][source.rows("train")]
        if categories := facts.get("categories", {}).get(column):
            elements = [names.index(f"{column}={value}") for value in categories]
            return bool((values[:, elements] == 0).all(1).any())
        return bool(np.isnan(values[:, names.index(column)]).any())

    def __call__(
        self, path: Path, on_error: OnError, *, labeled: bool = False, folder: Path | None = None
    ) -> StoredRows:
        """Read the rows of a table as the store would hold them.

        Args:
            path: The table.
            on_error: See :func:`~g2d.data.new_rows.read_rows`.
            labeled: Also read the targets.
            folder: See :func:`~g2d.data.new_rows.read_stored`.

        Raises:
            DataError: A column is missing that every training row has, or a row cannot be read.
        """
        return _new_rows(self, path, on_error, labeled, folder)


def _new_rows(
    reader: TableReader, path: Path, on_error: OnError, labeled: bool, folder: Path | None
) -> StoredRows:
    """Read the rows of a table; see :class:`TableReader`.

    Texts are as long as in the new table, not as in the store; their view cuts them.
    """
    source, facts = reader.source, reader.facts
    modalities, remarks = source.modalities, source.remarks
    parameters, known = facts["parameters"], signals(facts)
    columns = {m: tuple(parameters["columns"][m]) for m in modalities}
    table = _table(path, facts, columns, None if folder is None else ".")
    targets = tuple(parameters.get("target", ()))
    if isinstance(source.task, Regression):
        table.numeric.update(targets)
    remarks[:] = [
        *table.notes,
        *(line for m in modalities for line in unknown_categories(table.columns, known[m].facts)),
    ]
    remarks.extend(_absent_columns(reader, columns, table))
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
    folder = path.parent if folder is None else folder
    read = _decoded(table, folder, TableDecode(layout, gaps), parameters, on_error)
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
    target = None
    if labeled:
        target = targets_of(table, targets, read.ids, read.targets, source.task)
    return StoredRows(read.ids, inputs, flags, tuple(read.left_out), read.faults, target)


def _absent_columns(
    reader: TableReader, columns: Mapping[str, tuple[str, ...]], table: TableFile
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
            if not may_lack(reader.source, m) and not table.json:
                needed += missing
            yield absent_sentence(m)
            continue
        if not table.json:
            needed += [name for name in missing if not reader.is_gap(m, name)]
        yield f"{m}: {', '.join(missing)} not given: treated as empty cells in every row"
    if needed:
        raise DataError(
            f"{table.path} must have the columns that the store was prepared from, "
            f"found no {', '.join(needed)}. Only columns that are empty in some training rows can "
            "be left out."
        )


def _table(
    path: Path,
    facts: Mapping[str, Any],
    columns: dict[str, tuple[str, ...]],
    decimal: Decimal | None,
) -> TableFile:
    """Open a table that is written like the one that a store was made from."""
    spelling = facts["report"].get("spelling", {"missing": [], "decimal": "."})
    table = TableFile(
        path,
        Nothing.of(spelling["missing"]),
        decimal,
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
    """Decoded rows of a table, and those that are left out; see :class:`StoredRows`."""

    ids: list[str] = field(default_factory=list)
    rows: list[Decoded] = field(default_factory=list)
    targets: list[list[Any]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


def _decoded(
    table: TableFile,
    folder: Path,
    decode: TableDecode,
    parameters: Mapping[str, Any],
    on_error: OnError,
) -> _Read:
    """Decode all rows of a table, whose files are in a folder."""
    read, layout, id_column = _Read(), decode.layout, parameters["id"]
    for place, cells in enumerate(table):
        name = str(place + 1 if empty(cells.get(id_column)) else cells[id_column])
        sample = Sample(name, 0, name, layout.files(cells), layout.facts(cells))
        try:
            row = decode(folder, sample)
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
        read.targets.append([cells.get(name) for name in parameters.get("target", ())])
    if not read.rows:
        one = read.left_out[0]
        raise DataError(
            f"{table.path} must have a row that can be predicted, found none: {one.id} "
            f"({one.reason})."
        )
    return read
