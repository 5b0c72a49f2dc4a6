"""Your own data: a table with a column per modality, a target, and optionally split and group."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.gaps import Gaps, Unreadable
from g2d.data.label_sets import label_task, strata_of
from g2d.data.lengths import MAX_SECONDS, MAX_STEPS, MAX_TOKENS
from g2d.data.splits import SPLITS, TRAIN, UNKNOWN, VALID, complete_splits, name_hash
from g2d.datasets.base import GapOptions
from g2d.datasets.table.columns import Profile
from g2d.datasets.table.kinds import KINDS, decide
from g2d.datasets.table.layout import keep_categories, layout_of
from g2d.datasets.table.leakage import Leakage
from g2d.datasets.table.lines import decision_lines, first, table_lines
from g2d.datasets.table.roles import Roles, roles_of
from g2d.datasets.table.rows import TableFile, unique_rows
from g2d.datasets.table.spelling import NOTHING, Decimal, Nothing, usual_nothing
from g2d.datasets.table.values import Layout, TableDecode, category_of
from g2d.errors import Reason
from g2d.prepare import Plan, Sample, Skip
from g2d.prepare.plan import LACKING

DECIMALS: dict[str, Decimal] = {"point": ".", "comma": ",", ".": ".", ",": ","}
"""Decimal sign by the value of the option."""
LIGHT = frozenset({"table", "text"})
"""Kinds that need no decoding; their rows are processed by the thousand."""


class TableOptions(GapOptions):
    """Options of ``g2d data prepare table``; all others are inferred and shown."""

    target: str | tuple[str, ...] | None = Field(
        None,
        description="column of the target, or several for a regression or for labels of 0 and 1; "
        "by default target, label, class or y",
    )
    task: Literal["classification", "regression", "multilabel"] | None = Field(
        None,
        description="classification, regression or multilabel (several labels per row); inferred "
        "if omitted",
    )
    separator: str | None = Field(
        None,
        min_length=1,
        description="sign between the labels of a cell, if a row has several; by default |, ; or , "
        "where labels recur in combinations",
    )
    id: str = Field("id", description="column of the rows' names")
    split: str = Field("split", description="column of the split: train, valid or test")
    group: str = Field(
        "group", description="column whose values must stay in one split (for example, person)"
    )
    ignore: tuple[str, ...] = Field((), description="columns to leave out")
    kinds: dict[str, str] = Field(
        default_factory=dict,
        description=f"kinds of columns whose inferred kind is wrong: {', '.join(KINDS)}",
    )
    missing: tuple[str | int | float, ...] | None = Field(
        None,
        description="cells that mean nothing, besides blank ones and "
        f"{', '.join(NOTHING)}; [] for blank cells only",
    )
    unreadable: Unreadable = Field(
        "skip",
        description="what a missing, damaged or silent file does: skip (its row is left out) or "
        "lack (the row lacks the modality)",
    )
    decimal: Literal["point", "comma", ".", ","] | None = Field(
        None, description="decimal sign of numbers: point or comma; inferred if omitted"
    )
    encoding: str | None = Field(
        None,
        description="encoding of a text that is not UTF-8, such as cp1252; inferred if omitted",
    )
    rate: int = Field(16_000, ge=1000, description="sample rate of stored sound, per second")
    seconds: float | None = Field(
        None,
        gt=0,
        le=86_400,
        description="seconds of sound stored; by default as many as 95 % of the files have, "
        "at most max_seconds",
    )
    size: int = Field(128, ge=8, le=1024, description="height and width of stored pictures")
    frames: int = Field(8, ge=1, description="frames stored per video")
    steps: int | None = Field(
        None,
        ge=1,
        description="maximum steps of a sequence; by default as many as 95 % of them have, "
        "at most max_steps",
    )
    characters: int | None = Field(
        None,
        ge=1,
        description="maximum bytes of a text; by default as many tokens as 95 % of the texts "
        "have, at most max_tokens",
    )
    max_seconds: float = Field(MAX_SECONDS, gt=0, description="maximum of the default of seconds")
    max_steps: int = Field(MAX_STEPS, ge=1, description="maximum of the default of steps")
    max_tokens: int = Field(MAX_TOKENS, ge=1, description="maximum tokens of a text by default")


def plan_table(source: Path, options: TableOptions, folder: Path | None = None) -> Plan:
    """Plan the preparation of a table.

    The table is read four times: a scan finds the columns, a second pass the splits, and
    preparation reads it once to decode and once to write the rows. Lengths are measured on a sample
    of at most 5,000 rows.

    Args:
        source: CSV, TSV, JSON, Parquet or Excel file, compressed or not. Paths in it are relative
            to its folder.
        options: Options of the user.
        folder: Another folder to which paths are relative.

    Raises:
        DataError: The table or an option is unusable.
    """
    missing = usual_nothing(options.missing)
    decimal = DECIMALS.get(options.decimal or "")
    table = TableFile(source, Nothing.of(missing), decimal, None, options.encoding, folder)
    roles = roles_of(table.columns, options)
    table.keeps_empty = {*roles.target} if roles.sets else set()
    left_out = roles.columns | {*options.ignore}
    names = [name for name in table.columns if name not in left_out]
    decisions = decide(table.columns, options.kinds, names, source, table.folder)
    layout = layout_of(table.columns, options, decisions, table)
    gaps = Gaps(options.absent, options.unreadable, options.invalid)
    leakage = Leakage(layout, table.columns, roles.target)
    index = _Index(table, roles, layout, leakage, gaps)
    protocol, place, split_line = _split(source.stem, index, roles)
    seen = index.categories_of(place == TRAIN)
    unseen = _unseen_lines(layout, seen)
    layout = keep_categories(layout, table.columns, seen)
    outputs = len(roles.target)
    task: Any = {"kind": "regression", "outputs": outputs, "scale": "train", "output": "identity"}
    if roles.labels is not None:
        task = {"kind": "classification", "classes": list(dict.fromkeys(roles.labels.values()))}
    if roles.sets is not None:
        task = label_task(roles.sets.names)
    samples = TableRows(table, index.rows, layout, roles)
    return Plan(
        name=source.stem,
        task=task,
        signals=layout.signals,
        samples=samples,
        decode=TableDecode(layout, gaps),
        protocols={protocol: place},
        skipped=index.skipped,
        parameters=layout.parameters
        | gaps.changed()
        | {
            "columns": {m: list(names) for m, names in layout.columns.items()},
            "kinds": dict(layout.kinds),
            "target": list(roles.target),
            "id": roles.id or options.id,
        },
        report={
            "spelling": {
                "missing": list(missing),
                "decimal": table.decimal,
                "encoding": options.encoding,
            },
            "gaps": gaps.plain(),
        },
        warnings=(
            *unseen,
            *_constant(layout, table.columns),
            *leakage.lines(),
            *_warnings(protocol, place, index, roles, layout),
        ),
        inferred=(
            *table_lines(table, roles.names),
            *decision_lines(table.columns, decisions),
            *_modality_lines(layout, table.columns),
            f"target {', '.join(roles.target)}: {_task_line(task, roles)}",
            *_role_lines(roles),
            split_line,
        ),
        cures=_cures(roles),
        chunk=1024 if all(signal.kind in LIGHT for signal in layout.signals.values()) else 16,
        source_hash=samples.source_hash,
    )


class TableRows(Sequence[Sample]):
    """Samples of a table, read from the file on access.

    Args:
        table: The table.
        rows: Numbers of the rows that are samples.
        layout: Modalities and their columns.
        roles: The other columns.
    """

    def __init__(
        self, table: TableFile, rows: NDArray[np.int64], layout: Layout, roles: Roles
    ) -> None:
        self.table, self.rows, self.layout, self.roles = table, rows, layout, roles

    @property
    def source_hash(self) -> str:
        """Hash of the file and of the columns' roles, which together determine all samples."""
        roles = asdict(self.roles)
        if self.roles.sets is None:  # the hash of a table without several labels has no such part
            del roles["sets"]
        text = json.dumps([self.table.sha256, roles])
        return hashlib.sha256(text.encode()).hexdigest()

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

    def _sample(self, row: int, cells: dict[str, Any]) -> Sample:
        name, values = self.roles.name(cells, row), tuple(self.roles.values(cells))
        target: int | float | tuple[float, ...] = values if len(values) > 1 else values[0]
        return Sample(
            name,
            target if self.roles.labels is None else int(values[0]),
            self.roles.group_of(cells, name),
            self.layout.files(cells),
            self.layout.facts(cells),
        )


class _Index:
    """Numbers about every row, by which rows are kept and divided; other cells are not stored.

    Attributes:
        skipped: Rows that are left out.
        rows: Numbers of the rows that are kept.
        key: Hash of the group of every kept row, by which splits are drawn.
        group: Longer hash of the group.
        place: Number of the split that the table gives.
        target: Target in numbers.
        present: Which modalities every row has.
        categories: Number of every row's value of the columns that are categories; -1 if empty.
    """

    def __init__(
        self, table: TableFile, roles: Roles, layout: Layout, leakage: Leakage, gaps: Gaps
    ) -> None:
        self.skipped: list[Skip] = []
        count = len(table)
        names, group = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
        key, place = np.zeros(count, np.uint32), np.zeros(count, np.int8)
        target = np.zeros((count, len(roles.outputs)))
        present = np.zeros((count, len(layout.signals)), np.bool_)
        self.values = {
            name: {value: number for number, value in enumerate(values)}
            for signal in layout.signals.values()
            for name, values in signal.facts.get("categories", {}).items()
        }
        self.categories = {name: np.full(count, -1, np.int16) for name in self.values}
        for row, cells in enumerate(table):
            for column, numbers in self.values.items():
                if cells.get(column) is not None:
                    self.categories[column][row] = numbers[category_of(cells[column])]
            name, values = roles.name(cells, row), roles.values(cells)
            group_name = roles.group_of(cells, name)
            names[row], group[row] = _digest(name), _digest(group_name)
            key[row], place[row] = name_hash(group_name), roles.place(cells, row)
            target[row], present[row] = values, layout.present(cells)
            leakage.add(cells, values)
            if any(map(math.isnan, values)):
                self.skipped.append(Skip(name, "no-agreed-label", "its target is empty"))
            elif any(map(math.isinf, values)):
                self.skipped.append(Skip(name, "non-finite", "its target is infinite"))
            elif gaps.absent == "skip" and not present[row].all():
                m = list(layout.signals)[int(present[row].argmin())]
                self.skipped.append(Skip(name, LACKING, f"{m}: its cell is empty"))
        good, first = np.isfinite(target).all(1), unique_rows(names)
        if gaps.absent == "skip":
            good &= present.all(1)
        for row in np.flatnonzero(good & ~first).tolist():
            name = roles.name(table[row], row)
            self.skipped.append(Skip(name, "duplicate", "an earlier row has the same id"))
        self.rows = np.flatnonzero(good & first)
        self.group, self.key, self.place = group[self.rows], key[self.rows], place[self.rows]
        self.target, self.present = target[self.rows], present[self.rows]

    def categories_of(self, kept: NDArray[np.bool_]) -> dict[str, set[str]]:
        """Return the values of the categories' columns on some of the kept rows."""
        numbers = {
            name: {*every[self.rows][kept].tolist()} for name, every in self.categories.items()
        }
        return {
            name: {value for value, number in self.values[name].items() if number in present}
            for name, present in numbers.items()
        }


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _constant(layout: Layout, columns: Mapping[str, Profile]) -> list[str]:
    """Return a line about every column of a modality with the same value everywhere."""
    names = [name for group in layout.columns.values() for name in group]
    return [
        f"{name} is {columns[name].example!r} on all rows; nothing can be learned from it"
        for name in names
        if columns[name].constant and len(columns[name].example) < 80
    ]


def _unseen_lines(layout: Layout, seen: Mapping[str, set[str]]) -> list[str]:
    """Return a line about every category with values that no training row has."""
    known = [signal.facts.get("categories", {}) for signal in layout.signals.values()]
    missing = [
        (name, [value for value in values if value not in seen[name]])
        for categories in known
        for name, values in categories.items()
    ]
    return [
        f"{name}: no training row has {first(values)}; rows with it have none of the categories"
        for name, values in missing
        if values and len(values) < len(seen[name]) + len(values)
    ]


def _split(name: str, index: _Index, roles: Roles) -> tuple[str, NDArray[np.int8], str]:
    """Return the name of the protocol, the split of every row, and a line about it."""
    strata = None if roles.labels is None else index.target[:, 0].astype(np.int64)
    if roles.sets is not None:
        strata = strata_of(index.target)
    place, rule = complete_splits(index.place, index.key, strata)
    unknown = int((index.place == UNKNOWN).sum())
    if unknown == len(place):
        counts = " / ".join(f"{(place == number).sum()} {s}" for number, s in enumerate(SPLITS))
        by = roles.group or roles.id or "row"
        noun = "classes" if roles.sets is None else "rare labels"
        alike = f", {noun} in equal shares" if strata is not None else ""
        return f"{name}/{rule}", place, f"split: no split column; drawn by {by}{alike}: {counts}"
    line = f"split: from the column {roles.split!r}"
    if unknown:
        line += f"; {unknown} rows where it is empty are unused"
    if drawn := int(((place == VALID) & (index.place != VALID)).sum()):
        line += f"; {drawn} training rows, drawn by hash, are used for validation"
    return f"{name}/{rule}", place, line


def _warnings(
    protocol: str, place: NDArray[np.int8], index: _Index, roles: Roles, layout: Layout
) -> Iterator[str]:
    """Yield problems that would otherwise appear only during training, or never."""
    groups = [np.unique(index.group[place == number]) for number in range(len(SPLITS))]
    times = np.unique(np.concatenate(groups), return_counts=True)[1]
    if empty := [split for split, rows in zip(SPLITS, groups, strict=True) if not len(rows)]:
        few = f" and three groups, found {len(times)}" if len(times) < len(SPLITS) else ""
        yield f"{protocol}: no rows for {', '.join(empty)}; a run needs three splits{few}"
    if shared := int((times > 1).sum()):
        yield (
            f"{protocol}: {shared} groups ({roles.group or roles.id}) are in more than one split; "
            "its results do not hold for new groups"
        )
    train = place == TRAIN
    if not train.any():
        return
    for name, values in zip(roles.outputs, index.target[train].T, strict=True):
        if (values == values[0]).all():
            yield (
                f"{protocol}: the target {name} is the same on all training rows; "
                "nothing can be learned about it"
            )
    if roles.sets is not None and len(roles.outputs) > 1 and (index.target.sum(1) == 1).all():
        yield (
            "every row has exactly one of the labels; if no row can have several, put its name "
            "into one column, which is then a classification"
        )
    for m, present in zip(layout.signals, index.present[train].any(0), strict=True):
        if not present:
            yield f"{protocol}: no training row has {m}; nothing can be learned from it"


def _modality_lines(layout: Layout, columns: Mapping[str, Profile]) -> Iterator[str]:
    """Yield lines about every modality, and about ignored columns."""
    for m, signal in layout.signals.items():
        names = layout.columns[m]
        columns_of = "column" if len(names) == 1 else f"{len(names)} columns"
        rows = min(columns[name].cells for name in names)
        yield (
            f"{m}: {signal.kind} from {columns_of} ({first(names)}), "
            f"complete in {rows} rows, stored as {signal.dtype} {signal.shape}"
        )
        yield from (f"{m}: {line}" for line in layout.lines.get(m, ()))
        for name, origin in zip(names, signal.facts.get("origin", ()), strict=False):
            if origin:
                yield (
                    f"{m}: {name} is stored relative to {origin:.15g}, "
                    "so that close values stay distinct in float32"
                )
    if unused := [name for name, column in columns.items() if not column.cells]:
        yield f"ignored empty columns: {', '.join(map(repr, unused))}"


def _cures(roles: Roles) -> dict[Reason, str]:
    """Return what repairs rows that were skipped, where it depends on the table."""
    if roles.id is None:
        return {}
    group = "" if roles.group else f", or give group={roles.id}, which keeps all rows"
    also = " and keeps those of one group in one split, if it names groups such as persons"
    return {
        "duplicate": f"The ids in the column {roles.id!r} repeat. Name another column with "
        f"id=COLUMN{group}{also if group else ''}"
    }


def _role_lines(roles: Roles) -> Iterator[str]:
    """Yield a line about the columns of names and groups."""
    columns = {"names": roles.id, "groups": roles.group}
    if parts := [f"{role} from the column {name!r}" for role, name in columns.items() if name]:
        yield f"rows: {', '.join(parts)}"


def _task_line(task: Mapping[str, Any], roles: Roles) -> str:
    """Describe the task."""
    if roles.sets is not None:
        return roles.sets.line
    if "classes" in task:
        return f"classification, {len(task['classes'])} classes ({first(task['classes'])})"
    values = "1 value" if task["outputs"] == 1 else f"{task['outputs']} values"
    return f"regression, {values}, scaled by the training rows"
