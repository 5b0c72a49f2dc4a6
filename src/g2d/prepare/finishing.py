"""The last step of a preparation: keep what could be read, learn what each protocol's training rows teach, and sign."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.data.source import MASK
from g2d.data.splits import SPLITS as NAMES
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
from g2d.data.store.scaling import fit_target
from g2d.data.views import Chain, read_chain
from g2d.files import sha256
from g2d.prepare.arrays import fill_holes, shrink
from g2d.prepare.journal import Journal
from g2d.prepare.plan import Plan, Skip, each
from g2d.types import Input, Sequence

WARNINGS_KEPT = 100
"""Sentences about single samples that dataset.json holds; the number of all is there too."""


def write_store(
    plan: Plan, journal: Journal, work: Path, out: Path, *, plan_hash: str, skipped: list[Skip]
) -> dict[str, Any]:
    """Everything that a store holds, ``dataset.json`` last. Killed in between, it starts over from the decoded arrays, which stay.

    What is kept must not change from here on: arrays lose the rows of what was skipped.
    """
    kept = fill_holes(journal.kept())
    arrays = _place_arrays(plan, kept, work, out)
    target, group = _labels(plan, kept)
    np.save(out / "target.npy", target)
    np.save(out / "group.npy", group)
    _write_samples(plan, kept, journal, out / SAMPLES)
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "name": plan.name,
        "task": dict(plan.task),
        "modalities": {m: asdict(signal) for m, signal in plan.signals.items()},
        "rows": len(kept),
        "expected": plan.expected,
        "found": len(kept) + sum(skip.reason != "missing-file" for skip in skipped),
        "partial": len(kept) < plan.expected or bool(plan.missing),
        "skipped": [asdict(skip) for skip in skipped],
        "warnings": [*plan.warnings, *_warnings(plan, journal)],
        "cautions": list(plan.cautions),
        "parameters": dict(plan.parameters),
        "report": dict(plan.report),
        "plan_hash": plan_hash,
    }
    samples = (
        (sample.id, journal.digest[place].tobytes())
        for place, sample in zip(kept.tolist(), each(plan.samples, kept), strict=True)
    )
    facts["content_hash"] = content_hash(facts, samples, target)
    facts["protocols"] = {
        name: _protocol(name, place[kept], group, target, plan, out)
        for name, place in plan.protocols.items()
    }
    own = [file for p in facts["protocols"].values() for file in (p["file"], p["views"])]
    facts["files"] = {
        name: sha256(out / name) for name in [*arrays, "target.npy", "group.npy", SAMPLES, *own]
    }
    return write_facts(out, facts)


def _place_arrays(plan: Plan, kept: NDArray[np.int64], work: Path, out: Path) -> list[str]:
    """The decoded arrays, cut down to the kept rows, under a second name; the first goes when the store is signed."""
    names = (
        [f"{m}.npy" for m in plan.signals]
        + [f"{m}{MASK}.npy" for m, signal in plan.signals.items() if signal.masked]
        + [f"{PRESENT}.npy"]
    )
    for name in names:
        shrink(work / name, kept)
    if StoredArray(work / f"{PRESENT}.npy")[:].all():
        names.remove(f"{PRESENT}.npy")
    for name in names:
        aside = out / f".{name}.new"
        aside.unlink(missing_ok=True)
        _link(work / name, aside)
        os.replace(aside, out / name)
    return names


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _labels(plan: Plan, kept: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Targets as they are, ``(N,)`` int64 or ``(N, C)`` float64, and groups as numbers in order of their names."""
    classes = "classes" in plan.task
    outputs = plan.task.get("outputs", 1)
    target = (
        np.zeros(len(kept), np.int64) if classes else np.zeros((len(kept), outputs), np.float64)
    )
    numbers: dict[str, int] = {}
    group, key = np.zeros(len(kept), np.int64), np.zeros(len(kept), np.int64)
    for row, sample in enumerate(each(plan.samples, kept)):
        target[row] = sample.target
        # A row that is its own group needs no entry: a million of them would not be small.
        group[row] = (
            -1 if sample.group == sample.id else numbers.setdefault(sample.group, len(numbers))
        )
        key[row] = hash(sample.id)
    # Unless its name is also that of a group that others belong to: the second view of a picture, called after the first.
    named = {hash(name): number for name, number in numbers.items()}
    for row in np.flatnonzero((group < 0) & np.isin(key, list(named))).tolist():
        group[row] = named[int(key[row])]
    order = np.zeros(len(numbers) + 1, np.int64)
    for number, name in enumerate(sorted(numbers, key=str.encode)):
        order[numbers[name]] = number
    alone = group < 0
    return target, np.where(alone, len(numbers) + np.cumsum(alone) - 1, order[group])


def _write_samples(plan: Plan, kept: NDArray[np.int64], journal: Journal, path: Path) -> None:
    with path.open(
        "w", encoding="utf-8", errors="backslashreplace"
    ) as file:  # names of files need not be UTF-8; this is how JSON writes them
        for place, sample in zip(kept.tolist(), each(plan.samples, kept), strict=True):
            line = {
                "id": sample.id,
                "group": sample.group,
                "files": list(sample.files),
                "sha256": journal.digest[place].tobytes().hex(),
                **sample.facts,
                **sample.notes,
            }
            file.write(json.dumps(line, ensure_ascii=False, default=list) + "\n")


def _warnings(plan: Plan, journal: Journal) -> list[str]:
    sentences = [
        f"{plan.samples[place].id}: {sentence}"
        for place in sorted(journal.warnings)
        for sentence in journal.warnings[place]
    ]
    more = (
        [f"and {len(sentences) - WARNINGS_KEPT} more about single samples"]
        if len(sentences) > WARNINGS_KEPT
        else []
    )
    return sentences[:WARNINGS_KEPT] + more


def _protocol(
    name: str,
    place: NDArray[np.int8],
    group: NDArray[np.int64],
    target: NDArray[Any],
    plan: Plan,
    out: Path,
) -> dict[str, Any]:
    """Write a split and what is learnt on its training rows; tell its numbers."""
    folder = out / SPLITS
    folder.mkdir(exist_ok=True)
    file = protocol_file(name)
    np.save(folder / f"{file}.npy", place)
    fitted = {
        m: chain.config()["steps"] for m, chain in _views(plan, np.flatnonzero(place == 0), out)
    }
    (folder / f"{file}.json").write_text(json.dumps(fitted), encoding="utf-8")
    return {
        "file": f"{SPLITS}/{file}.npy",
        "views": f"{SPLITS}/{file}.json",
        "hash": protocol_hash(name, place),
        "rows": {split: int((place == number).sum()) for number, split in enumerate(NAMES)},
        "unused": int((place < 0).sum()),
        "groups_on_two_sides": shared_groups(place, group),
        "target": fit_target(plan.task, target[place == 0]),
    }


def _views(plan: Plan, train: NDArray[np.int64], out: Path) -> Iterator[tuple[str, Chain]]:
    """The store's own views, fitted on the training rows."""
    there = StoredArray(out / f"{PRESENT}.npy") if (out / f"{PRESENT}.npy").is_file() else None
    for number, (m, signal) in enumerate(plan.signals.items()):
        values = StoredArray(out / f"{m}.npy")
        mask = StoredArray(out / f"{m}{MASK}.npy") if signal.masked else None

        def stored(
            rows: NDArray[np.int64], values: StoredArray = values, mask: StoredArray | None = mask
        ) -> Input:
            tensor = torch.from_numpy(values[rows])
            return tensor if mask is None else Sequence(tensor, torch.from_numpy(mask[rows]))

        present = None if there is None else there[:, number]
        yield m, fit_chain(read_chain(m, signal.view), signal, train, stored, present)


def shared_groups(place: NDArray[np.int8], group: NDArray[np.int64]) -> int:
    """How many groups stand in more than one split."""
    seen = Counter(int(g) for number in range(3) for g in np.unique(group[place == number]))
    return sum(times > 1 for times in seen.values())
