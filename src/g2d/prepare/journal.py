"""What is already decoded: a line per handful of samples, so that a preparation that was killed goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import REASONS
from g2d.prepare.plan import Plan, Skip, each
from g2d.prepare.worker import Done, stamp

KEPT, OPEN = 0, 255
"""States of a sample; numbers between them are places in REASONS, plus one."""


class Journal:
    """The states of all samples, in a few bytes each.

    What an earlier run had to skip is tried again: its files may have been mended since.

    Args:
        path: of the file. samples: how many there are. again: whether what was skipped is tried again.
    """

    def __init__(self, path: Path, samples: int, *, again: bool = True) -> None:
        self.path = path
        self.state: NDArray[np.uint8] = np.full(samples, OPEN, np.uint8)
        self.digest: NDArray[np.uint8] = np.zeros((samples, 32), np.uint8)
        self.stamp: NDArray[np.int64] = np.zeros(samples, np.int64)
        self.details: dict[int, str] = {}
        self.warnings: dict[int, list[str]] = {}
        if path.exists():
            self._read()
        if again:
            self.state[self.state != KEPT] = OPEN
            self.details.clear()

    def reopen_changed(self, plan: Plan, source: Path) -> None:
        """Rows whose files are no longer those that were decoded are decoded again."""
        kept = np.flatnonzero((self.state == KEPT) & (self.stamp != 0))
        for row, sample in zip(kept.tolist(), each(plan.samples, kept), strict=True):
            try:
                same = stamp(source, sample) == self.stamp[row]
            except (OSError, ValueError):
                same = False
            if not same:
                self.state[row] = OPEN

    def open(self) -> NDArray[np.int64]:
        """Rows that are still to be decoded."""
        return np.flatnonzero(self.state == OPEN)

    def add(self, rows: Sequence[int], done: Done) -> None:
        """These rows are decoded and their values are written."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps([list(rows), done.digests, done.stamps, done.skipped, done.warnings])
                + "\n"
            )
        self._take(rows, done)

    def kept(self) -> NDArray[np.int64]:
        """Places of the samples that stay."""
        return np.flatnonzero(self.state == KEPT)

    def skips(self, plan: Plan) -> list[Skip]:
        """Those that do not, by the plan or by decoding, in order of their ids."""
        found = [
            Skip(plan.samples[int(i)].id, _reason(self.state[i]), self.details.get(int(i), ""))
            for i in np.flatnonzero(self.state != KEPT)
        ]
        return sorted([*plan.skipped, *found], key=lambda skip: skip.id.encode())

    def _take(self, rows: Sequence[int], done: Done) -> None:
        for i, row in enumerate(rows):
            self.details.pop(row, None), self.warnings.pop(row, None)  # of an earlier try
            reason = done.skipped.get(i)
            self.state[row] = KEPT if reason is None else 1 + REASONS.index(reason[0])
            self.digest[row] = np.frombuffer(bytes.fromhex(done.digests[i] or "00" * 32), np.uint8)
            self.stamp[row] = done.stamps[i]
        self.details |= {rows[i]: detail for i, (_, detail) in done.skipped.items()}
        self.warnings |= {rows[i]: sentences for i, sentences in done.warnings.items()}

    def _read(self) -> None:
        """Lines of a run before; one that a kill cut off is forgotten, and its rows are decoded again."""
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                rows, digests, stamps, skipped, warnings = json.loads(line)
                self._take(
                    rows,
                    Done(
                        digests,
                        stamps,
                        {int(i): tuple(r) for i, r in skipped.items()},
                        {int(i): s for i, s in warnings.items()},
                    ),
                )
                whole += len(line)
        with self.path.open("r+b") as file:
            file.truncate(whole)


def plan_hash(plan: Plan) -> str:
    """Covers everything that determines a store but for the bytes of the raw files."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        digest.update(json.dumps(value, sort_keys=True, default=list).encode() + b"\n")

    add(
        [
            plan.name,
            plan.task,
            plan.parameters,
            {m: asdict(signal) for m, signal in plan.signals.items()},
        ]
    )
    for sample in plan.samples:
        add([sample.id, sample.target, sample.group, sample.files, sample.facts, sample.notes])
    for skip in plan.skipped:
        add([skip.id, skip.reason])
    for name, place in plan.protocols.items():
        digest.update(name.encode() + place.tobytes())
    return digest.hexdigest()


def _reason(state: np.uint8) -> Any:
    return REASONS[int(state) - 1]
