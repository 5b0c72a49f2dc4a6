"""``g2d data check``: verify that a store is undamaged and that its splits are sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.splits import SPLITS, TEST, TRAIN, UNUSED, VALID
from g2d.data.store.arrays import StoredArray, blocks, rows_at_once
from g2d.data.store.facts import (
    MAY_MISS,
    PRESENT,
    SAMPLES,
    Signal,
    content_hash,
    protocol_hash,
    read_facts,
    signals,
)
from g2d.data.store.opening import load_array, open_mask
from g2d.files import sha256
from g2d.prepare.balance import class_balance
from g2d.prepare.finishing import shared_groups

Facts = dict[str, Any]
"""Contents of the description of a store."""


@dataclass
class Findings:
    """Result of a check.

    Args:
        errors: Reasons why the store must not be used.
        warnings: What a user should know.
        lines: What is in order.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        warnings = (f"warning: {text}" for text in self.warnings)
        errors = (f"error: {text}" for text in self.errors)
        counts = {"error": len(self.errors), "warning": len(self.warnings)}
        counted = [f"{n} {word}{'' if n == 1 else 's'}" for word, n in counts.items()]
        return "\n".join([*self.lines, *warnings, *errors, ", ".join(counted)])


def check_store(folder: Path) -> Findings:
    """Check hashes, shapes, ranges, NaN and infinity, ids, class balance, and groups across splits.

    Args:
        folder: Folder of the store.

    Raises:
        DataError: The folder is no store.
    """
    facts, findings = read_facts(folder), Findings()
    rows = facts["rows"]
    count = f"{rows} of {facts['expected']} samples"
    skipped = f"{len(facts['skipped'])} skipped, content hash {facts['content_hash']}"
    findings.lines.append(f"{facts['name']}: {count}, {skipped}")
    if facts["partial"]:
        advice = "compare results only with those of the same content hash"
        findings.warnings.append(f"partial: {count}; {advice}")
    if not _check_files(folder, facts, findings):
        return findings
    target = load_array(folder, "target.npy")
    _check_samples(folder, facts, target, findings)
    for m, signal in signals(facts).items():
        _check_values(folder, m, signal, facts, findings)
    known = len(findings.errors)
    _check_target(facts["task"], target, findings)
    if len(findings.errors) > known:  # classes cannot be counted
        return findings
    for name in facts["protocols"]:
        _check_protocol(folder, name, facts, target, findings)
    return findings


def _check_files(folder: Path, facts: dict[str, Any], findings: Findings) -> bool:
    """Check the hash of every file; return whether all are in order."""
    for name, digest in facts["files"].items():
        path = folder / name
        if not path.is_file():
            findings.errors.append(f"cannot read {name}: no such file; prepare the store again")
        elif sha256(path) != digest:
            rule = f"{name} must have the SHA-256 {digest[:12]}..., found another"
            findings.errors.append(f"{rule}: it was changed or damaged; prepare the store again")
    if not findings.errors:
        findings.lines.append(f"{len(facts['files'])} files have the recorded hashes")
    return not findings.errors


def _check_samples(folder: Path, facts: Facts, target: NDArray[Any], findings: Findings) -> None:
    """Check the ids, and the content hash, which follows from ids, targets and digests."""
    rows = facts["rows"]
    names, contents = np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)

    def samples() -> Iterator[tuple[str, bytes]]:
        with (folder / SAMPLES).open(encoding="utf-8") as file:
            for row, line in zip(range(rows), file, strict=True):
                sample = json.loads(line)
                names[row] = hash(sample["id"]) & (2**64 - 1)
                contents[row] = int(sample["sha256"][:16], 16)
                yield sample["id"], bytes.fromhex(sample["sha256"])

    try:
        content = content_hash(facts, samples(), target)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        rule = f"{SAMPLES} must have a line per row ({rows}) with an id and a hash"
        findings.errors.append(f"{rule}, found: {error}")
        return
    if content != facts["content_hash"]:
        rule = f"the content hash must match {SAMPLES}, the targets and the parameters"
        findings.errors.append(f"{rule}, found a different one")
    if repeated := rows - len(np.unique(names)):
        findings.errors.append(f"ids must be unique, found {repeated} repeated ones")
    if same := rows - len(np.unique(contents)):
        findings.warnings.append(f"{same} samples have the same content as another one")


@dataclass
class _Numbers:
    """Statistics of the values of a modality, gathered block by block."""

    low: float = np.inf
    high: float = -np.inf
    missing: int = 0
    infinite: int = 0
    constant: int = 0

    def add(self, flat: NDArray[Any]) -> NDArray[np.bool_]:
        """Add rows ``(R, n)``; return which values are finite."""
        finite: NDArray[np.bool_] = np.isfinite(flat)
        if flat.dtype.kind == "f":
            self.missing += int(np.isnan(flat).sum())
            self.infinite += int(np.isinf(flat).sum())
        known = flat if finite.all() else flat[finite]
        if known.size:
            self.low = min(self.low, float(known.min()))
            self.high = max(self.high, float(known.max()))
        if flat.shape[1] > 1:
            self.constant += int((flat == flat[:, :1]).all(1).sum())
        return finite


def _check_values(folder: Path, m: str, signal: Signal, facts: Facts, findings: Findings) -> None:
    """Check the values of a modality."""
    values, rows = StoredArray(folder / f"{m}.npy"), facts["rows"]
    if values.shape != (rows, *signal.shape) or values.dtype != np.dtype(signal.dtype):
        rule = f"{m} must be {signal.dtype} {(rows, *signal.shape)}"
        findings.errors.append(f"{rule}, found {values.dtype} {values.shape}")
        return
    mask = open_mask(folder, m, signal, rows)
    numbers, without_steps = _Numbers(), 0
    unknown = np.ones(signal.shape[-1], np.bool_)
    for block in blocks(np.arange(rows), rows_at_once(values.dtype, values.shape[1:])):
        finite = numbers.add(values[block].reshape(len(block), -1))
        unknown &= ~finite.reshape(-1, len(unknown)).any(0)
        without_steps += int((~mask[block].any(1)).sum()) if mask is not None else 0
    missing = f", {numbers.missing} missing" if numbers.missing else ""
    between = f"from {numbers.low:g} to {numbers.high:g}{missing}"
    findings.lines.append(f"{m}: {signal.kind} {signal.dtype} {signal.shape}, values {between}")
    if numbers.infinite:
        findings.errors.append(f"{m} must hold no infinite values, found {numbers.infinite}")
    if numbers.missing and signal.kind not in MAY_MISS:
        findings.errors.append(f"{m} must hold no NaN, found {numbers.missing}")
    if signal.kind in MAY_MISS and numbers.missing and unknown.any():
        columns = signal.facts.get("columns", range(len(unknown)))
        names = ", ".join(str(columns[i]) for i in np.flatnonzero(unknown)[:10].tolist())
        findings.warnings.append(f"{m} has no number at all in {names}")
    lacking = _rows_without(folder, m, facts)
    if lacking:
        findings.warnings.append(f"{m} is missing on {lacking} rows")
    if numbers.constant > lacking:
        fact = f"{m} has the same number everywhere on {numbers.constant - lacking} rows"
        findings.warnings.append(f"{fact}: silence, a blank picture, an empty text or sequence")
    if without_steps > lacking:
        findings.warnings.append(f"{m} has no step on {without_steps - lacking} rows")


def _rows_without(folder: Path, m: str, facts: dict[str, Any]) -> int:
    """Return the number of rows that lack a modality."""
    name = f"{PRESENT}.npy"
    if name not in facts["files"]:
        return 0
    column = load_array(folder, name)[:, list(facts["modalities"]).index(m)]
    return int((~column).sum())


def _check_target(task: dict[str, Any], target: NDArray[Any], findings: Findings) -> None:
    """Check that targets are class numbers, states of labels, or finite values."""
    if "classes" in task:
        last = len(task["classes"]) - 1
        if len(target) and (target.min() < 0 or target.max() > last):
            rule = f"targets must be class numbers from 0 to {last}"
            findings.errors.append(f"{rule}, found {target.min()} to {target.max()}")
        return
    if "labels" in task:
        if not np.isin(target, (0, 1)).all():
            findings.errors.append("targets must be 1 or 0 per label, found something else")
        per_row = target.sum(1).mean() if len(target) else 0.0
        findings.lines.append(f"target: {len(task['labels'])} labels, {per_row:.2f} per row")
        return
    if not np.isfinite(target).all():
        findings.errors.append("targets must be finite, found NaN or infinity")
    findings.lines.append(f"target: from {target.min():g} to {target.max():g}")


def _check_protocol(
    folder: Path, name: str, facts: Facts, target: NDArray[Any], findings: Findings
) -> None:
    """Check a split; a group in two splits is an error in the default protocol."""
    protocol, task = facts["protocols"][name], facts["task"]
    place = load_array(folder, protocol["file"])
    if len(place) != len(target) or not np.isin(place, (UNUSED, TRAIN, VALID, TEST)).all():
        rule = f"{name} must place every row at -1 (unused), 0 (train), 1 (valid) or 2 (test)"
        findings.errors.append(f"{rule}, found something else")
        return
    if protocol_hash(name, place) != protocol["hash"]:
        findings.errors.append(f"the hash of {name} must match its rows, found a different one")
    counts = {split: int((place == number).sum()) for number, split in enumerate(SPLITS)}
    listed = " / ".join(f"{count} {split}" for split, count in counts.items())
    findings.lines.append(f"protocol {name}: {listed}")
    if empty := [split for split, count in counts.items() if not count]:
        findings.warnings.append(f"{name}: no rows for {' and '.join(empty)}")
    if shared := shared_groups(place, load_array(folder, "group.npy")):
        sentence = f"{name}: {shared} groups are in more than one split"
        if name == next(iter(facts["protocols"])):
            findings.errors.append(sentence)
        else:
            findings.warnings.append(f"{sentence}; its results do not hold for new groups")
    balance = class_balance(task, target, place)
    findings.warnings.extend(f"{name}: {text}" for text in balance)
