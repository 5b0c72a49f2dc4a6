"""The journal of a preparation: which samples are done, so that it can resume after a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import REASONS, DataError
from g2d.prepare.plan import Plan, Skip, each
from g2d.prepare.worker import Outcome, stamp

KEPT, OPEN = 0, 255
"""States of a sample. Numbers between them are positions in ``REASONS``, plus one."""


class Journal:
    """The states of all samples, in a few bytes each, written as a line per chunk.

    Args:
        path: File of the journal; it is read if it exists.
        samples: Number of samples.
        again: Whether samples that an earlier run skipped are tried again, because their files may
            have been repaired.
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
        """Mark samples as not done whose files changed since they were decoded."""
        kept = np.flatnonzero((self.state == KEPT) & (self.stamp != 0))
        for row, sample in zip(kept.tolist(), each(plan.samples, kept), strict=True):
            if stamp(source, sample) != self.stamp[row]:
                self.state[row] = OPEN

    def open(self) -> NDArray[np.int64]:
        """Return the numbers of the samples that are still to be decoded."""
        return np.flatnonzero(self.state == OPEN)

    def add(self, rows: Sequence[int], outcome: Outcome) -> None:
        """Record a chunk whose values are written."""
        line = [list(rows), outcome.digests, outcome.stamps, outcome.skipped, outcome.warnings]
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._take(rows, outcome)

    def kept(self) -> NDArray[np.int64]:
        """Return the numbers of the samples that are kept."""
        return np.flatnonzero(self.state == KEPT)

    def skips(self, plan: Plan) -> list[Skip]:
        """Return the samples that the plan or decoding skipped, sorted by id."""
        undecoded = [
            Skip(plan.samples[int(i)].id, _reason(self.state[i]), self.details.get(int(i), ""))
            for i in np.flatnonzero(self.state != KEPT)
        ]
        return sorted([*plan.skipped, *undecoded], key=lambda skip: skip.id.encode())

    def _take(self, rows: Sequence[int], outcome: Outcome) -> None:
        for i, row in enumerate(rows):
            # Details and warnings of an earlier try are outdated.
            self.details.pop(row, None)
            self.warnings.pop(row, None)
            reason = outcome.skipped.get(i)
            digest = bytes.fromhex(outcome.digests[i] or "00" * 32)
            self.state[row] = KEPT if reason is None else 1 + REASONS.index(reason[0])
            self.digest[row] = np.frombuffer(digest, np.uint8)
            self.stamp[row] = outcome.stamps[i]
        self.details |= {rows[i]: detail for i, (_, detail) in outcome.skipped.items()}
        self.warnings |= {rows[i]: sentences for i, sentences in outcome.warnings.items()}

    def _read(self) -> None:
        """Read the lines of an earlier run, and cut off a last line that is incomplete."""
        complete = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    rows, digests, stamps, skipped, warnings = json.loads(line)
                    outcome = Outcome(
                        digests,
                        stamps,
                        {int(i): tuple(reason) for i, reason in skipped.items()},
                        {int(i): sentences for i, sentences in warnings.items()},
                    )
                    self._take(rows, outcome)
                except (ValueError, TypeError, LookupError, AttributeError) as error:
                    rule = f"{self.path} must be the journal of this preparation"
                    advice = f"Delete {self.path.parent} to begin again."
                    raise DataError(f"{rule}, found damage: {error}. {advice}") from None
                complete += len(line)
        with self.path.open("r+b") as file:
            file.truncate(complete)


def plan_hash(plan: Plan) -> str:
    """Return a hash of everything that determines a store but the bytes of its raw files."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        digest.update(json.dumps(value, sort_keys=True, default=list).encode() + b"\n")

    stored = {m: asdict(signal) for m, signal in plan.signals.items()}
    add([plan.name, plan.task, plan.parameters, stored])
    if plan.source_hash:
        add(plan.source_hash)
    else:
        for sample in plan.samples:
            add([sample.id, sample.target, sample.group, sample.files, sample.facts, sample.notes])
    for skip in plan.skipped:
        add([skip.id, skip.reason])
    for name, place in plan.protocols.items():
        digest.update(name.encode() + place.tobytes())
    return digest.hexdigest()


def _reason(state: np.uint8) -> Any:
    return REASONS[int(state) - 1]
