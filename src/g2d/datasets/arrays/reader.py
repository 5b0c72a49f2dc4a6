"""Plan a store from a user's own arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from g2d.data.gaps import Gaps
from g2d.data.lengths import Length, described, measured_rows
from g2d.data.rowset import RowSet, TaskKind, collect
from g2d.data.splits import SPLITS
from g2d.data.store.facts import WORDS, Kind
from g2d.data.views.words import texts, token_ends
from g2d.datasets.arrays.files import hash_of, read_arrays
from g2d.datasets.base import GapOptions
from g2d.prepare import Decoded, Plan, Sample, Skip

CHUNK = 1024
"""Rows that a worker decodes at a time."""


class ArraysOptions(GapOptions):
    """Options of ``g2d data prepare arrays``; what is left out is inferred and reported."""

    task: TaskKind | None = Field(
        None,
        description="classification, regression or multilabel (0 or 1 per label); "
        "inferred from the target if omitted",
    )
    classes: tuple[str, ...] | None = Field(
        None,
        description="names of the classes, in order, if targets are whole numbers; or of the "
        "labels",
    )
    kinds: dict[str, Kind] = Field(
        default_factory=dict,
        description="kind per modality where it is not inferred as wanted: audio, image, video, "
        "sequence, table or text",
    )
    rate: int | None = Field(None, ge=100, description="samples per second of sound")


def plan_arrays(source: Path, options: ArraysOptions) -> Plan:
    """Plan a store with a row per sample.

    Args:
        source: File of arrays, or folder of ``.npy`` files.
        options: Options of the preparation.

    Raises:
        DataError: The arrays cannot be read, or do not fit together.
    """
    digest = hash_of(source)
    rows = _collected(source, options.model_dump_json(), digest)
    order = sorted(
        (row for row in range(len(rows.ids)) if row not in rows.unusable),
        key=lambda row: rows.ids[row].encode(),
    )
    protocol, place = f"{source.stem}/{rows.rule}", rows.place[order]
    return Plan(
        name=source.stem,
        task=rows.task,
        signals=rows.signals,
        samples=[
            Sample(rows.ids[row], _target(rows, row), rows.group[row], facts={"row": row})
            for row in order
        ],
        decode=ArraysDecode(
            source.name if source.is_file() else ".", options.model_dump_json(), digest
        ),
        protocols={protocol: place},
        skipped=[Skip(rows.ids[row], *fault) for row, fault in rows.unusable.items()],
        parameters={"rate": options.rate} | _gaps(options).changed(),
        report={"gaps": _gaps(options).plain()},
        warnings=tuple(
            f"{protocol}: no rows for {split}"
            for number, split in enumerate(SPLITS)
            if not (place == number).any()
        ),
        inferred=tuple(_inferred(rows)),
        chunk=CHUNK,
        source_hash=digest,
    )


@dataclass(frozen=True)
class ArraysDecode:
    """Decoder of a row.

    Args:
        name: Name of the file in the source folder, or ``"."`` for the folder itself.
        options: The options of the preparation as JSON.
        digest: Hash of the file or folder.
    """

    name: str
    options: str
    digest: str

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        rows = _collected(source / self.name, self.options, self.digest)
        row = sample.facts["row"]
        return Decoded(
            {m: values[row] if rows.present[m][row] else None for m, values in rows.values.items()},
            {m: mask[row] for m, mask in rows.masks.items()},
            outcomes={
                m: int(counts[row])
                for m, counts in rows.invalid.items()
                if counts[row] and rows.present[m][row]
            },
        )


@lru_cache(maxsize=1)
def _collected(path: Path, options: str, digest: str) -> RowSet:
    """Return the rows of a file, which every process reads once.

    Args:
        path: File, or folder of ``.npy`` files.
        options: The options of the preparation as JSON.
        digest: Hash of the file or folder; another one means that it must be read again.
    """
    given = ArraysOptions.model_validate_json(options)
    own = given.model_dump(exclude=set(GapOptions.model_fields))
    return collect(read_arrays(path), str(path), **own, gaps=_gaps(given))


def _gaps(options: ArraysOptions) -> Gaps:
    return Gaps(absent=options.absent, invalid=options.invalid)


def _text_length(m: str, rows: RowSet) -> Length:
    """Return how many tokens of texts the default view keeps."""
    stored = rows.values[m]
    measured = measured_rows(len(stored))
    given = list(texts(torch.from_numpy(stored[measured])))
    counts = [len(ends) for ends in token_ends(given)]
    longest = f"data.views.{m}=[{{name: tokens, length: {max(counts)}}}] in training"
    kept = rows.signals[m].view[0]["length"]
    length = described(counts, kept, "tokens", rows=len(stored))
    return replace(length, option=longest)


def _target(rows: RowSet, row: int) -> int | float | tuple[float, ...]:
    target = rows.target[row]
    if target.ndim == 0:
        return int(target)
    return float(target[0]) if len(target) == 1 else tuple(target.tolist())


def _task_line(rows: RowSet) -> str:
    """Describe the task."""
    kind = rows.task["kind"]
    if "labels" in rows.task:
        per_row = float(np.nansum(rows.target, 1).mean())
        return (
            f"{kind}, {len(rows.task['labels'])} labels, several per row ({per_row:.2f} on average)"
        )
    if "classes" in rows.task:
        return f"{kind}, {len(rows.task['classes'])} classes"
    return f"{kind}, {rows.task['outputs']} values"


def _inferred(rows: RowSet) -> Iterator[str]:
    """Yield a sentence about every decision."""
    for m, signal in rows.signals.items():
        count = int(rows.present[m].sum())
        yield f"{m}: {signal.kind}, {count} rows, stored as {signal.dtype} {signal.shape}"
        if signal.kind == WORDS:
            yield f"{m}: {_text_length(m, rows)}"
    yield f"target: {_task_line(rows)}"
    counts = np.bincount(rows.place[rows.place >= 0], minlength=len(SPLITS)).tolist()
    shares = " / ".join(f"{count} {split}" for count, split in zip(counts, SPLITS, strict=True))
    yield f"split: {rows.rule}: {shares}"
