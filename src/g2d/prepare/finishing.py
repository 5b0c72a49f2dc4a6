"""The last step of a preparation: keep the readable rows, fit each protocol, sign the store."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.data.splits import SPLITS as NAMES
from g2d.data.splits import TRAIN
from g2d.data.store.arrays import StoredArray
from g2d.data.store.facts import (
    PRESENT,
    SAMPLES,
    SCHEMA,
    SPLITS,
    content_hash,
    protocol_file,
    protocol_hash,
    write_facts,
)
from g2d.data.store.fitting import fit_chain
from g2d.data.store.opening import open_mask
from g2d.data.store.scaling import fit_target
from g2d.data.views import Chain, read_chain
from g2d.errors import Reason
from g2d.files import replaced, write_text
from g2d.manifest import hashes
from g2d.prepare.arrays import fill_holes, save, shrink
from g2d.prepare.balance import class_balance, seen_rows
from g2d.prepare.journal import Journal
from g2d.prepare.outcomes import count_outcomes
from g2d.prepare.plan import Plan, Sample, Skip, each
from g2d.types import Input, Sequence

Numbers = NDArray[np.int64]
"""Numbers of rows or groups."""
WARNINGS_KEPT = 100
"""Number of sentences about single samples in ``dataset.json``; the others are only counted."""
ABSENT: Reason = "missing-file"
"""Reason of a skipped sample of which nothing was found."""


def write_store(
    plan: Plan, journal: Journal, work: Path, out: Path, *, plan_hash: str, skipped: list[Skip]
) -> dict[str, Any]:
    """Write everything that a store holds, ``dataset.json`` last.

    If interrupted, it starts again from the decoded arrays. From here on the choice of kept samples
    is final, because the arrays lose the rows of the others.

    Args:
        plan: Plan of the preparation.
        journal: States of the samples.
        work: Folder of the decoded arrays.
        out: Folder of the store.
        plan_hash: Hash of the plan.
        skipped: Skipped samples, sorted by id.

    Returns:
        Content of ``dataset.json``.
    """
    kept = fill_holes(journal.kept())
    expected = plan.expected_of(len(kept), skipped)
    arrays = _place_arrays(plan, kept, work, out)
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "name": plan.name,
        "task": dict(plan.task),
        "modalities": {m: asdict(signal) for m, signal in plan.signals.items()},
        "rows": len(kept),
        "expected": expected,
        "found": len(kept) + sum(skip.reason != ABSENT for skip in skipped),
        "partial": len(kept) < expected or bool(plan.missing),
        "outcomes": count_outcomes(plan, work, np.sort(kept)),
        "skipped": [asdict(skip) for skip in skipped],
        "warnings": [*plan.warnings, *_warnings(plan, journal)],
        "cautions": list(plan.cautions),
        "parameters": dict(plan.parameters),
        "report": dict(plan.report),
        "plan_hash": plan_hash,
    }
    labels = _Labels(plan, len(kept))
    rows = _write_rows(plan, kept, journal, labels, out / SAMPLES)
    facts["content_hash"] = content_hash(facts, rows, labels.target)
    target, group = labels.target, labels.groups()
    save(out / "target.npy", target)
    save(out / "group.npy", group)
    facts["protocols"] = {p: _protocol(p, kept, group, target, plan, out) for p in plan.protocols}
    facts["warnings"] += _split_warnings(plan, kept, target, journal.digest[kept])
    own = [file for p in facts["protocols"].values() for file in (p["file"], p["views"])]
    files = [*arrays, "target.npy", "group.npy", SAMPLES, *own]
    facts["files"] = hashes(out, files)
    facts["sizes"] = {name: (out / name).stat().st_size for name in files}
    return write_facts(out, facts)


def _place_arrays(plan: Plan, kept: NDArray[np.int64], work: Path, out: Path) -> list[str]:
    """Reduce the decoded arrays to the kept rows and link them into the store; return their names.

    The links in the folder of unfinished work are deleted with it, after the store is signed.
    """
    marks = (marks for m, signal in plan.signals.items() if (marks := signal.marks(m)))
    arrays = (*plan.signals, *(array.name for array in marks), PRESENT)
    names = [f"{name}.npy" for name in arrays]
    for name in names:
        shrink(work / name, kept)
    if StoredArray(work / f"{PRESENT}.npy")[:].all():
        names.remove(f"{PRESENT}.npy")
    for name in names:
        with replaced(out / name) as temporary:
            _link(work / name, temporary)
    return names


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


class _Labels:
    """Targets and groups of the kept rows, filled row by row.

    Args:
        plan: Plan of the preparation.
        rows: Number of kept rows.
    """

    def __init__(self, plan: Plan, rows: int) -> None:
        self.target: NDArray[Any] = np.zeros(rows, np.int64)
        if "classes" not in plan.task:
            self.target = np.zeros((rows, plan.task.get("outputs", 1)), np.float64)
        self.group = np.zeros(rows, np.int64)
        self.key = np.zeros(rows, np.int64)
        self.numbers: dict[str, int] = {}

    def add(self, row: int, sample: Sample) -> None:
        """Store the target and the group of a row.

        A row that is its own group gets no entry in ``numbers``, which would be large for a
        million rows.
        """
        self.target[row] = sample.target
        self.key[row] = hash(sample.id)
        alone = sample.group == sample.id
        number = -1 if alone else self.numbers.setdefault(sample.group, len(self.numbers))
        self.group[row] = number

    def groups(self) -> NDArray[np.int64]:
        """Return the numbers of the groups, in the order of the groups' names."""
        # A row can be its own group and yet have the name of a group of others.
        named = {hash(name): number for name, number in self.numbers.items()}
        for row in np.flatnonzero((self.group < 0) & np.isin(self.key, list(named))).tolist():
            self.group[row] = named[int(self.key[row])]
        order = np.zeros(len(self.numbers) + 1, np.int64)
        for number, name in enumerate(sorted(self.numbers, key=str.encode)):
            order[self.numbers[name]] = number
        alone = self.group < 0
        return np.where(alone, len(self.numbers) + np.cumsum(alone) - 1, order[self.group])


def _write_rows(
    plan: Plan, kept: NDArray[np.int64], journal: Journal, labels: _Labels, path: Path
) -> Iterator[tuple[str, bytes]]:
    """Write ``samples.jsonl``, fill ``labels``, and yield the id and digest of every row.

    All of it happens in one pass over the samples, because they may be read from a large file.
    """
    # Names of files need not be UTF-8; "backslashreplace" is how JSON writes such names.
    with (
        replaced(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        for row, sample in enumerate(each(plan.samples, kept)):
            digest = journal.digest[kept[row]].tobytes()
            labels.add(row, sample)
            line = {"id": sample.id, "group": sample.group, "files": list(sample.files)}
            line |= {"sha256": digest.hex(), **sample.facts, **sample.notes}
            file.write(json.dumps(line, ensure_ascii=False, default=list) + "\n")
            yield sample.id, digest


def _warnings(plan: Plan, journal: Journal) -> list[str]:
    """Return the warnings about single samples, at most ``WARNINGS_KEPT``."""
    sentences = [
        f"{plan.samples[place].id}: {sentence}"
        for place in sorted(journal.warnings)
        for sentence in journal.warnings[place]
    ]
    more = len(sentences) - WARNINGS_KEPT
    rest = [f"and {more} more about single samples"] if more > 0 else []
    return sentences[:WARNINGS_KEPT] + rest


def _split_warnings(
    plan: Plan, kept: Numbers, target: NDArray[Any], digests: NDArray[np.uint8]
) -> Iterator[str]:
    """Yield warnings about the rows of the default protocol."""
    for name, every in [*plan.protocols.items()][:1]:
        place = every[kept]
        for text in class_balance(plan.task, target, place):
            yield f"{name}: {text}"
        for text in seen_rows(digests, place):
            yield f"{name}: {text}"


def _protocol(
    name: str, kept: Numbers, group: Numbers, target: NDArray[Any], plan: Plan, out: Path
) -> dict[str, Any]:
    """Write a split and what the views learn on its training rows; return the facts about it."""
    file = f"{SPLITS}/{protocol_file(name)}"
    place = plan.protocols[name][kept]
    train = place == TRAIN
    save(out / f"{file}.npy", place)
    fitted = {m: chain.config()["steps"] for m, chain in _views(plan, np.flatnonzero(train), out)}
    write_text(out / f"{file}.json", json.dumps(fitted))
    return {
        "file": f"{file}.npy",
        "views": f"{file}.json",
        "hash": protocol_hash(name, place),
        "rows": {split: int((place == number).sum()) for number, split in enumerate(NAMES)},
        "unused": int((place < 0).sum()),
        "groups_on_two_sides": shared_groups(place, group),
        "target": fit_target(plan.task, target[train]),
    }


def _views(plan: Plan, train: NDArray[np.int64], out: Path) -> Iterator[tuple[str, Chain]]:
    """Yield the default view of every modality, fitted on the training rows."""
    file = out / f"{PRESENT}.npy"
    present = StoredArray(file) if file.is_file() else None
    for number, (m, signal) in enumerate(plan.signals.items()):
        values = StoredArray(out / f"{m}.npy")
        mask = open_mask(out, m, signal, len(values))

        def stored(rows: Numbers, values: Any = values, mask: Any = mask) -> Input:
            tensor = torch.from_numpy(values[rows])
            return tensor if mask is None else Sequence(tensor, torch.from_numpy(mask[rows]))

        having = None if present is None else present[:, number]
        yield m, fit_chain(read_chain(m, signal.view), signal, train, stored, having)


def shared_groups(place: NDArray[np.int8], group: NDArray[np.int64]) -> int:
    """Return how many groups are in more than one split."""
    groups = [np.unique(group[place == number]) for number in range(len(NAMES))]
    return int((np.unique(np.concatenate(groups), return_counts=True)[1] > 1).sum())
