"""A user's own data: a CSV or JSONL file with a column per modality, a target, and if they are known a split and a group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import (
    SPLITS,
    TEST,
    TRAIN,
    UNKNOWN,
    VALID,
    complete_splits,
    name_hash,
)
from g2d.datasets.base import ReaderOptions
from g2d.datasets.table.inferring import KINDS, Column, Roles, look, roles_of
from g2d.datasets.table.rows import Table, unique_rows
from g2d.datasets.table.values import WORDS, Layout, TableDecode, layout_of
from g2d.prepare import Plan, Sample, Skip

LIGHT = frozenset({"table", "text"})
"""Kinds that need no decoding: rows are taken by the thousand."""


class TableOptions(ReaderOptions):
    """What ``g2d data prepare manifest`` can be told; everything else is inferred, and said."""

    target: str | tuple[str, ...] | None = Field(
        None,
        description="column of the target, or several for a regression; by default target, label, class or y",
    )
    task: Literal["classification", "regression"] | None = Field(
        None, description="what the target is, where it is not seen"
    )
    id: str = Field("id", description="column of the names of rows")
    split: str = Field("split", description="column of the split: train, valid or test")
    group: str = Field(
        "group",
        description="column of what must not stand on two sides of a split: a person, a place",
    )
    ignore: tuple[str, ...] = Field((), description="columns to leave out")
    kinds: dict[str, str] = Field(
        default_factory=dict,
        description=f"kinds of columns that are not inferred as you want: {', '.join(KINDS)}",
    )
    rate: int = Field(16_000, ge=1000, description="samples per second of sound")
    seconds: float | None = Field(
        None,
        gt=0,
        le=600,
        description="of sound kept; by default the longest of the first files, at most 10",
    )
    size: int = Field(128, ge=8, le=1024, description="side of stored pictures")
    frames: int = Field(8, ge=1, description="of every video")
    steps: int = Field(128, ge=1, description="kept of a sequence, at most")
    characters: int = Field(2000, ge=1, description="bytes kept of a text, at most")


def plan_table(source: Path, options: TableOptions) -> Plan:
    """One pass to see what the columns are; rows are read again when they are needed."""
    table = Table(source)
    columns = look(table)
    roles = roles_of(columns, options)
    layout = layout_of(
        columns,
        options,
        [
            c
            for c in columns
            if c not in {*roles.target, roles.id, roles.split, roles.group, *options.ignore}
        ],
        table,
    )
    index = _Index(table, roles, layout)
    protocol, place, how = _split(source.stem, index, roles)
    task: dict[str, Any] = {
        "kind": "regression",
        "outputs": len(roles.target),
        "scale": "train",
        "output": "identity",
    }
    if roles.labels is not None:
        task = {"kind": "classification", "classes": list(dict.fromkeys(roles.labels.values()))}
    return Plan(
        name=source.stem,
        task=task,
        signals=layout.signals,
        samples=TableRows(table, index.rows, layout, roles),
        decode=TableDecode(layout),
        protocols={protocol: place},
        skipped=index.skipped,
        parameters=layout.parameters
        | {
            "columns": {m: list(names) for m, names in layout.columns.items()},
            "kinds": dict(layout.kinds),
        }
        | {"target": list(roles.target), "id": roles.id or options.id},
        warnings=tuple(_doubts(protocol, place, index, roles, layout)),
        inferred=(
            *_told(layout, columns, options),
            f"target {', '.join(roles.target)}: {_said(task)}",
            *_named(roles),
            how,
        ),
        chunk=1024 if all(signal.kind in LIGHT for signal in layout.signals.values()) else 16,
    )


class TableRows(Sequence[Sample]):
    """Samples of a manifest, read from it when they are asked for."""

    def __init__(self, table: Table, rows: NDArray[np.int64], layout: Layout, roles: Roles) -> None:
        self.table, self.rows, self.layout, self.roles = table, rows, layout, roles

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Sample: ...
    @overload
    def __getitem__(self, place: slice) -> list[Sample]: ...
    def __getitem__(self, place: int | slice) -> Sample | list[Sample]:
        if isinstance(place, slice):
            rows = self.rows[place].tolist()
            cells = self.table.rows(rows[0], rows[-1] + 1) if rows else []
            return [self._sample(row, cells[row - rows[0]]) for row in rows]
        row = int(self.rows[place])
        return self._sample(row, self.table[row])

    def __iter__(self) -> Iterator[Sample]:
        wanted = iter(self.rows.tolist())
        following = next(wanted, None)
        for row, cells in enumerate(self.table):
            if row == following:
                yield self._sample(row, cells)
                following = next(wanted, None)

    def _sample(self, row: int, cells: dict[str, Any]) -> Sample:
        name, values = self.roles.name(cells, row), tuple(self.roles.values(cells))
        target = (
            values
            if len(values) > 1
            else values[0]
            if self.roles.labels is None
            else int(values[0])
        )
        return Sample(
            name,
            target,
            self.roles.together(cells, name),
            self.layout.files(cells),
            self.layout.facts(cells),
        )


class _Index:
    """Which rows stay, and the numbers by which they are split and judged; nothing else of a row is kept.

    Args:
        rows: numbers of those that stay. key: by which each is drawn. group: which belong together, 64 bits of a hash.
        place: that the table says. target: in numbers. present: which modalities each has.
    """

    def __init__(self, table: Table, roles: Roles, layout: Layout) -> None:
        self.skipped: list[Skip] = []
        count = len(table)
        names, group = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
        key, place = np.zeros(count, np.uint32), np.zeros(count, np.int8)
        target, present = (
            np.zeros((count, len(roles.target))),
            np.zeros((count, len(layout.signals)), np.bool_),
        )
        for row, cells in enumerate(table):
            name, values = roles.name(cells, row), roles.values(cells)
            together = roles.together(cells, name)
            names[row], group[row], key[row], place[row] = (
                _digest(name),
                _digest(together),
                name_hash(together),
                roles.place(cells, row),
            )
            target[row], present[row] = values, layout.present(cells)
            if any(map(math.isnan, values)):
                self.skipped.append(Skip(name, "no-agreed-label", "its target is empty"))
            elif any(map(math.isinf, values)):
                self.skipped.append(Skip(name, "non-finite", "its target"))
        good, first = np.isfinite(target).all(1), unique_rows(names)
        for row in np.flatnonzero(good & ~first).tolist():
            self.skipped.append(
                Skip(roles.name(table[row], row), "duplicate", "an id that occurs before")
            )
        self.rows = np.flatnonzero(good & first)
        self.group, self.key, self.place = group[self.rows], key[self.rows], place[self.rows]
        self.target, self.present = target[self.rows], present[self.rows]


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _split(name: str, index: _Index, roles: Roles) -> tuple[str, NDArray[np.int8], str]:
    """Return the name of the protocol, the split of every row, and a sentence about it."""
    place, rule = complete_splits(index.place, index.key)
    unknown = int((index.place == UNKNOWN).sum())
    if unknown == len(place):
        counts = " / ".join(f"{(place == number).sum()} {s}" for number, s in enumerate(SPLITS))
        by = roles.group or roles.id or "row"
        return f"{name}/{rule}", place, f"split: none is given; drawn by {by}: {counts}"
    how = f"split: from the column {roles.split!r}"
    if unknown:
        how += f"; {unknown} rows where it is empty are unused"
    if drawn := int(((place == VALID) & (index.place != VALID)).sum()):
        how += f"; {drawn} of its train rows, by hash, are validation"
    return f"{name}/{rule}", place, how


def _doubts(
    protocol: str, place: NDArray[np.int8], index: _Index, roles: Roles, layout: Layout
) -> Iterator[str]:
    """What would only be seen in training, or never."""
    groups = [np.unique(index.group[place == number]) for number in (TRAIN, VALID, TEST)]
    times = np.unique(np.concatenate(groups), return_counts=True)[1]
    if none := [split for split, there in zip(SPLITS, groups, strict=True) if not len(there)]:
        few = (
            ""
            if len(times) >= len(SPLITS)
            else f"; three splits need three groups, found {len(times)}"
        )
        yield f"{protocol}: no rows for {', '.join(none)}, so that nothing can be trained on it{few}"
    if shared := int((times > 1).sum()):
        yield f"{protocol}: {shared} groups ({roles.group or roles.id}) stand in more than one split, so that its figures do not speak of new groups"
    train = place == TRAIN
    if not train.any():
        return
    for name, values in zip(roles.target, index.target[train].T, strict=True):
        if (values == values[0]).all():
            yield f"{protocol}: the target {name} is the same on all training rows, so that nothing can be learnt about it"
    for m, there in zip(layout.signals, index.present[train].any(0), strict=True):
        if not there:
            yield f"{protocol}: no training row has {m}, so that nothing can be learnt from it"


def _told(layout: Layout, columns: Mapping[str, Column], options: TableOptions) -> Iterator[str]:
    for m, signal in layout.signals.items():
        names = layout.columns[m]
        held = f"{min(columns[name].cells for name in names)} rows hold {'it' if len(names) == 1 else 'all of it'}"
        whence = f"{signal.kind} from {len(names)} column{'s' * (len(names) > 1)} ({', '.join(names[:6])}{', ...' * (len(names) > 6)})"
        yield f"{m}: {whence}, {held}, stored as {signal.dtype} {signal.shape}"
        if layout.kinds[m] in WORDS and columns[names[0]].longest > options.characters:
            yield f"{m}: the longest has {columns[names[0]].longest} bytes, of which characters={options.characters} are kept"
        for name, origin in zip(names, signal.facts.get("origin", ()), strict=False):
            if origin:
                yield f"{m}: {name} is stored relative to {origin:.15g}, its least, for single precision would not hold its values apart"
    if hollow := [name for name, column in columns.items() if not column.cells]:
        yield f"left out: {', '.join(map(repr, hollow))}, for nothing stands there"


def _named(roles: Roles) -> Iterator[str]:
    said = {"names": roles.id, "groups": roles.group}
    if any(said.values()):
        yield "rows: " + ", ".join(
            f"{what} from the column {column!r}" for what, column in said.items() if column
        )


def _said(task: Mapping[str, Any]) -> str:
    if "classes" not in task:
        return f"regression, {task['outputs']} value{'s' * (task['outputs'] > 1)}, scaled by the training rows"
    classes = task["classes"]
    return f"classification, {len(classes)} classes ({', '.join(classes[:6])}{', ...' * (len(classes) > 6)})"
