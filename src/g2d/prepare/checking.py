"""``g2d data check``: whether a store is what it says, and whether its splits mean what they promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.source import MASK
from g2d.data.splits import SPLITS as NAMES
from g2d.data.store.arrays import StoredArray, blocks, rows_at_once
from g2d.data.store.facts import SAMPLES, Signal, content_hash, protocol_hash, read_facts, signals
from g2d.data.store.opening import load_array
from g2d.files import sha256
from g2d.prepare.finishing import shared_groups

RARE = 0.1
"""A class with less than this share of an even one's rows is worth a word."""


@dataclass
class Findings:
    """What a check found.

    Args:
        errors: the store must not be used. warnings: a user should know. lines: what is as it should be.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = [
            *self.lines,
            *(f"warning: {text}" for text in self.warnings),
            *(f"error: {text}" for text in self.errors),
        ]
        return "\n".join([*told, f"{len(self.errors)} errors, {len(self.warnings)} warnings"])


def check_store(folder: Path) -> Findings:
    """Hashes, shapes, ranges, NaN and infinity, ids, class balance, groups across splits.

    Raises:
        DataError: the folder is no store at all.
    """
    facts, found = read_facts(folder), Findings()
    rows = facts["rows"]
    found.lines.append(
        f"{facts['name']}: {rows} of {facts['expected']} samples, {len(facts['skipped'])} skipped, content hash {facts['content_hash']}"
    )
    if facts["partial"]:
        found.warnings.append(
            f"partial: {rows} of {facts['expected']} samples; results on it compare with those of the same content hash only"
        )
    if not _whole(folder, facts, found):
        return found
    target, group = load_array(folder, "target.npy"), load_array(folder, "group.npy")
    _check_samples(folder, facts, target, found)
    for m, signal in signals(facts).items():
        _check_values(folder, m, signal, rows, facts, found)
    _check_target(facts["task"], target, found)
    for place, (name, protocol) in enumerate(facts["protocols"].items()):
        _check_protocol(folder, name, protocol, facts["task"], target, group, place == 0, found)
    return found


def _whole(folder: Path, facts: dict[str, Any], found: Findings) -> bool:
    """Every file is there, byte for byte."""
    for name, digest in facts["files"].items():
        path = folder / name
        if not path.is_file():
            found.errors.append(
                f"{name} must be there, found no such file; prepare the store again"
            )
        elif sha256(path) != digest:
            found.errors.append(
                f"{name} must have the SHA-256 {digest[:12]}..., found another: it was changed or damaged; prepare the store again"
            )
    if not found.errors:
        found.lines.append(f"{len(facts['files'])} files have their hashes")
    return not found.errors


def _check_samples(
    folder: Path, facts: dict[str, Any], target: NDArray[Any], found: Findings
) -> None:
    """Ids, and the content hash, which follows from them, the targets and what the rows are made of."""
    rows = facts["rows"]
    names, contents = np.zeros(rows, np.uint64), np.zeros(rows, np.uint64)

    def samples() -> Iterator[tuple[str, bytes]]:
        with (folder / SAMPLES).open(encoding="utf-8") as file:
            for row, line in zip(range(rows), file, strict=True):
                sample = json.loads(line)
                names[row], contents[row] = (
                    hash(sample["id"]) & (2**64 - 1),
                    int(sample["sha256"][:16], 16),
                )
                yield sample["id"], bytes.fromhex(sample["sha256"])

    try:
        content = content_hash(facts, samples(), target)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        found.errors.append(
            f"{SAMPLES} must have a line per row ({rows}) with an id and a hash, found: {error}"
        )
        return
    if content != facts["content_hash"]:
        found.errors.append(
            f"the content hash must follow from {SAMPLES}, targets and parameters, found that it does not"
        )
    if repeated := rows - len(np.unique(names)):
        found.errors.append(f"ids must be unique, found {repeated} that occur again")
    if same := rows - len(np.unique(contents)):
        found.warnings.append(f"{same} samples are made of the same bytes as another one")


def _check_values(
    folder: Path, m: str, signal: Signal, rows: int, facts: dict[str, Any], found: Findings
) -> None:
    values = StoredArray(folder / f"{m}.npy")
    if values.shape != (rows, *signal.shape) or values.dtype != np.dtype(signal.dtype):
        found.errors.append(
            f"{m} must be {signal.dtype} {(rows, *signal.shape)}, found {values.dtype} {values.shape}"
        )
        return
    mask = StoredArray(folder / f"{m}{MASK}.npy") if signal.masked else None
    low, high, missing, infinite, constant, empty = np.inf, -np.inf, 0, 0, 0, 0
    never = np.ones(signal.shape[-1], np.bool_)
    for block in blocks(np.arange(rows), rows_at_once(values.dtype, values.shape[1:])):
        flat = values[block].reshape(len(block), -1)
        known = flat
        if flat.dtype.kind == "f":
            finite = np.isfinite(flat)
            missing, infinite = (
                missing + int(np.isnan(flat).sum()),
                infinite + int(np.isinf(flat).sum()),
            )
            never &= ~finite.reshape(-1, len(never)).any(0)
            known = flat[finite]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
        constant += int((flat == flat[:, :1]).all(1).sum()) if flat.shape[1] > 1 else 0
        empty += int((~mask[block].any(1)).sum()) if mask is not None else 0
    found.lines.append(
        f"{m}: {signal.kind} {signal.dtype} {signal.shape}, values from {low:g} to {high:g}"
        + (f", {missing} missing" if missing else "")
    )
    if infinite:
        found.errors.append(f"{m} must hold no infinite values, found {infinite}")
    if missing and signal.kind not in _MAY_MISS:
        found.errors.append(f"{m} must hold no NaN, found {missing}")
    if signal.kind in _MAY_MISS and missing and never.any():
        columns = signal.facts.get("columns", range(len(never)))
        found.warnings.append(
            f"{m} has no number at all in {', '.join(str(columns[i]) for i in np.flatnonzero(never)[:10].tolist())}"
        )
    lacking = (
        rows - int(load_array(folder, "present.npy")[:, list(facts["modalities"]).index(m)].sum())
        if "present.npy" in facts["files"]
        else 0
    )
    if lacking:
        found.warnings.append(f"{m} is missing on {lacking} rows")
    if constant > lacking:
        found.warnings.append(
            f"{m} is the same number throughout on {constant - lacking} rows: silence, a blank picture, an empty text or sequence"
        )
    if empty > lacking:
        found.warnings.append(f"{m} has no step on {empty - lacking} rows")


_MAY_MISS = frozenset({"table", "sequence"})


def _check_target(task: dict[str, Any], target: NDArray[Any], found: Findings) -> None:
    if "classes" in task:
        if len(target) and (target.min() < 0 or target.max() >= len(task["classes"])):
            found.errors.append(
                f"targets must be class numbers from 0 to {len(task['classes']) - 1}, found {target.min()} to {target.max()}"
            )
        return
    if not np.isfinite(target).all():
        found.errors.append("targets must be finite, found NaN or infinity")
    found.lines.append(f"target: from {target.min():g} to {target.max():g}")


def _check_protocol(
    folder: Path,
    name: str,
    protocol: dict[str, Any],
    task: dict[str, Any],
    target: NDArray[Any],
    group: NDArray[Any],
    default: bool,
    found: Findings,
) -> None:
    place = load_array(folder, protocol["file"])
    if len(place) != len(target) or (len(place) and not -1 <= place.min() <= place.max() <= 2):
        found.errors.append(
            f"{name} must place every row at -1 (unused), 0 (train), 1 (valid) or 2 (test), found something else"
        )
        return
    if protocol_hash(name, place) != protocol["hash"]:
        found.errors.append(f"the hash of {name} must follow from its rows, found that it does not")
    counts = {split: int((place == number).sum()) for number, split in enumerate(NAMES)}
    found.lines.append(
        f"protocol {name}: " + " / ".join(f"{count} {split}" for split, count in counts.items())
    )
    if empty := [split for split, count in counts.items() if not count]:
        found.warnings.append(f"{name}: no rows for {' and '.join(empty)}")
    shared = shared_groups(place, group)
    if shared:
        sentence = f"{name}: {shared} groups stand in more than one split"
        (found.errors if default else found.warnings).append(
            sentence + ("" if default else ", so that its figures do not speak of new groups")
        )
    if "classes" in task:
        found.warnings.extend(
            f"{name}: {text}" for text in _balance(task["classes"], target, place)
        )


def _balance(classes: list[str], target: NDArray[Any], place: NDArray[np.int8]) -> Iterator[str]:
    """Classes that a split lacks, or that training hardly sees."""
    for number, split in enumerate(NAMES):
        rows = target[place == number]
        if not len(rows):
            continue
        counts = np.bincount(rows, minlength=len(classes))
        if none := [classes[c] for c in np.flatnonzero(counts == 0)]:
            yield f"{split} has no row of {len(none)} classes: {', '.join(none[:5])}{', ...' if len(none) > 5 else ''}"
        few = [
            f"{classes[c]} {counts[c]}"
            for c in np.flatnonzero((counts > 0) & (counts < RARE * len(rows) / len(classes)))
        ]
        if few:
            yield f"{split} has few rows of {', '.join(few[:5])}{', ...' if len(few) > 5 else ''}"
