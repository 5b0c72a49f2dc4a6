"""A user's own data: a CSV or JSONL file with a column per modality, a target, and if they are known a split and a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.readers.base import Reader, ReaderOptions
from g2d.data.readers.inferring import KINDS, Column, classes_of, look
from g2d.data.readers.manifest_values import Layout, ManifestDecode, layout_of
from g2d.data.readers.table import Table, empty, unique_rows
from g2d.data.store.plan import TEST, TRAIN, UNUSED, VALID, Plan, Sample, Skip, name_hash
from g2d.errors import DataError

FEW, MANY = 50, 1000
"""Groups (or rows of their own) below which a fifth is held out rather than a tenth, and from which hashes alone decide."""
TARGETS = ("target", "label", "class", "y")
LIGHT = frozenset({"table", "text"})
"""Kinds that need no decoding: rows are taken by the thousand."""
PLACES = {"train": TRAIN, "training": TRAIN, "valid": VALID, "val": VALID, "validation": VALID, "dev": VALID, "test": TEST, "unused": UNUSED}


class ManifestOptions(ReaderOptions):
    """What ``g2d data prepare manifest`` can be told; everything else is inferred, and said."""

    target: str | tuple[str, ...] | None = Field(None, description="column of the target, or several for a regression; by default target, label, class or y")
    task: Literal["classification", "regression"] | None = Field(None, description="what the target is, where it is not seen")
    id: str = Field("id", description="column of the names of rows")
    split: str = Field("split", description="column of the split: train, valid or test")
    group: str = Field("group", description="column of what must not stand on two sides of a split: a person, a place")
    ignore: tuple[str, ...] = Field((), description="columns to leave out")
    kinds: dict[str, str] = Field(default_factory=dict, description=f"kinds of columns that are not inferred as you want: {', '.join(KINDS)}")
    rate: int = Field(16_000, ge=1000, description="samples per second of sound")
    seconds: float | None = Field(None, gt=0, le=600, description="of sound kept; by default the longest of the first files, at most 10")
    size: int = Field(128, ge=8, le=1024, description="side of stored pictures")
    frames: int = Field(8, ge=1, description="of every video")
    steps: int = Field(128, ge=1, description="kept of a sequence, at most")
    characters: int = Field(2000, ge=1, description="bytes kept of a text, at most")


def plan_manifest(source: Path, options: ManifestOptions) -> Plan:
    """One pass to see what the columns are; rows are read again when they are needed."""
    table = Table(source)
    columns = look(table)
    targets = _targets(columns, options)
    classes = classes_of(columns[targets[0]], targets[0], options.task) if len(targets) == 1 else None
    layout = layout_of(columns, options, [c for c in columns if c not in {*targets, options.id, options.split, options.group, *options.ignore}], table)
    index = _Index(table, options, targets, classes is None)
    samples = ManifestRows(table, index.rows, options, layout, targets, classes)
    protocol, place, how = _split(source.stem, index, columns, options)
    task: dict[str, Any] = {"kind": "regression", "outputs": len(targets), "scale": "train", "output": "identity"}
    if classes is not None:
        task = {"kind": "classification", "classes": list(classes)}
    told = [*_told(layout, columns), f"target {', '.join(targets)}: {_said(classes, targets)}", how]
    return Plan(
        name=source.stem,
        task=task,
        signals=layout.signals,
        samples=samples,
        decode=ManifestDecode(layout),
        protocols={protocol: place},
        skipped=index.skipped,
        parameters=layout.parameters
        | {"columns": {m: list(names) for m, names in layout.columns.items()}, "kinds": dict(layout.kinds), "target": list(targets), "id": options.id},
        told=tuple(told),
        chunk=1024 if all(signal.kind in LIGHT for signal in layout.signals.values()) else 16,
    )


class ManifestRows(Sequence[Sample]):
    """Samples of a manifest, read from it when they are asked for."""

    def __init__(
        self, table: Table, rows: NDArray[np.int64], options: ManifestOptions, layout: Layout, targets: Sequence[str], classes: Sequence[str] | None
    ) -> None:
        self.table, self.rows, self.options, self.layout, self.targets = table, rows, options, layout, targets
        self.classes = None if classes is None else {name: i for i, name in enumerate(classes)}

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
        name = _name(cells, self.options, row)
        if self.classes is not None:
            target: int | float | tuple[float, ...] = self.classes[str(cells[self.targets[0]]).strip()]
        else:
            values = tuple(float(cells[column]) for column in self.targets)
            target = values if len(values) > 1 else values[0]
        group = cells.get(self.options.group)
        return Sample(name, target, name if empty(group) else str(group), self.layout.files(cells), self.layout.facts(cells))


class _Index:
    """Which rows stay, and the numbers by which they are split; nothing else of a row is kept."""

    def __init__(self, table: Table, options: ManifestOptions, targets: Sequence[str], numbers: bool) -> None:
        self.skipped: list[Skip] = []
        count = len(table)
        keys, self.key, self.place = np.zeros(count, np.uint64), np.zeros(count, np.uint32), np.full(count, UNUSED - 1, np.int8)
        good = np.ones(count, np.bool_)
        for row, cells in enumerate(table):
            name = _name(cells, options, row)
            keys[row] = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
            group = cells.get(options.group)
            self.key[row] = name_hash(name if empty(group) else str(group))
            self.place[row] = _place(cells.get(options.split), options.split, row)
            if any(empty(cells.get(column)) for column in targets):
                good[row] = False
                self.skipped.append(Skip(name, "no-agreed-label", "its target is empty"))
            elif numbers and not all(np.isfinite(float(cells[column])) for column in targets):
                good[row] = False
                self.skipped.append(Skip(name, "non-finite", "its target"))
        first = unique_rows(keys)
        for row in np.flatnonzero(good & ~first).tolist():
            self.skipped.append(Skip(_name(table[row], options, row), "duplicate", "an id that occurs before"))
        self.rows = np.flatnonzero(good & first)
        self.key, self.place = self.key[self.rows], self.place[self.rows]


def _name(cells: dict[str, Any], options: ManifestOptions, row: int) -> str:
    given = cells.get(options.id)
    return f"{row:08d}" if empty(given) else str(given)


def _place(cell: Any, column: str, row: int) -> int:
    if empty(cell):
        return UNUSED - 1
    try:
        return PLACES[str(cell).strip().lower()]
    except KeyError:
        raise DataError(f"the column {column!r} must say train, valid or test, found {cell!r} in row {row + 1}.") from None


def _targets(columns: dict[str, Column], options: ManifestOptions) -> tuple[str, ...]:
    given = (options.target,) if isinstance(options.target, str) else options.target
    found = given or tuple(name for name in TARGETS if name in columns)[:1]
    if not found or any(name not in columns for name in found):
        said = f"no column {', '.join(name for name in found if name not in columns)!r}" if found else f"none of {', '.join(TARGETS)}"
        raise DataError(f"a manifest must have a column for its target, found {said} among {', '.join(columns)}. Name it: target=COLUMN")
    for name in found:
        if not columns[name].cells:
            raise DataError(f"the target {name!r} must hold something, found an empty column.")
        if len(found) > 1 and columns[name].numbers < columns[name].cells:
            raise DataError(f"several targets must all be numbers, found others in {name!r}.")
    return found


def _split(name: str, index: _Index, columns: dict[str, Column], options: ManifestOptions) -> tuple[str, NDArray[np.int8], str]:
    """The column's split, else one by hash; validation is carved from train where the column has none."""
    unsaid = index.place == UNUSED - 1
    if unsaid.all():
        by = options.group if options.group in columns else options.id
        slot, rule = _slots(index.key)
        place = np.select([slot == 0, slot == 1], [TEST, VALID], TRAIN).astype(np.int8)
        counts = " / ".join(f"{(place == number).sum()} {split}" for split, number in (("train", TRAIN), ("valid", VALID), ("test", TEST)))
        return f"{name}/{rule}", place, f"split: none is given; drawn by {by}: {counts}"
    place = np.where(unsaid, UNUSED, index.place).astype(np.int8)
    if (place == VALID).any():
        return f"{name}/given", place, f"split: from the column {options.split!r}"
    train = np.flatnonzero(place == TRAIN)
    slot, rule = _slots(index.key[train])
    place[train[slot == 1]] = VALID
    return f"{name}/given-valid-by-{rule}", place, f"split: from the column {options.split!r}; {(slot == 1).sum()} of its train rows, by hash, are validation"


def _slots(key: NDArray[np.uint32]) -> tuple[NDArray[np.int64], str]:
    """Tenths of the rows (fifths of few), by the hash of their group or id.

    Of many, a row's own hash decides, so that more rows change nothing for the others. Of few, the order of the hashes does: chance would leave
    a split with next to nothing.
    """
    different, rank = np.unique(key, return_inverse=True)
    parts = 10 if len(different) >= FEW else 5
    if len(different) >= MANY:
        return key.astype(np.int64) % parts, "hash-v1"
    return rank * parts // len(different), "shares-v1"


def _told(layout: Layout, columns: dict[str, Column]) -> Iterator[str]:
    for m, signal in layout.signals.items():
        names = layout.columns[m]
        held = min(columns[name].cells for name in names)
        whence = f"{signal.kind} from {len(names)} column{'s' * (len(names) > 1)} ({', '.join(names[:6])}{', ...' * (len(names) > 6)})"
        yield f"{m}: {whence}, {held} rows hold it, stored as {signal.dtype} {signal.shape}"


def _said(classes: Sequence[str] | None, targets: Sequence[str]) -> str:
    if classes is None:
        return f"regression, {len(targets)} value{'s' * (len(targets) > 1)}, scaled by the training rows"
    return f"classification, {len(classes)} classes ({', '.join(classes[:6])}{', ...' * (len(classes) > 6)})"


READER = Reader(
    plan=plan_manifest,
    options=ManifestOptions,
    about="your own data: a CSV or JSONL file with a column per modality",
    layout="a .csv, .tsv or .jsonl file: columns of paths (pictures, sound, video, .npy), text or numbers; target; optional id, split, group",
    needs="a file with a row per sample; paths count from its folder",
    licence="yours",
    own=True,
)
