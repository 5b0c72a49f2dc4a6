"""Outcome of every cell: a value, absent, or unreadable; counted per modality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.arrays import blocks, mapped_array
from g2d.prepare.arrays import create
from g2d.prepare.plan import Plan, Skip

OUTCOMES = "cell.outcomes"
"""Name of the array ``(rows, modalities)`` of outcomes in the folder of unfinished work. It holds
one of the codes below, or, where there is a value, how many of its numbers were replaced."""
ABSENT, NO_STREAM, UNREADABLE = -1, -2, -3
"""Codes: an empty cell; a whole file without the wanted stream; a file that cannot be used."""
FILLED_BY = {"mean": "the mean of the training rows", "zero": "zero"}
"""Replacement of invalid numbers, by the option ``invalid``."""


def create_outcomes(plan: Plan, work: Path) -> None:
    """Create the array of outcomes, unless there is one."""
    path = work / f"{OUTCOMES}.npy"
    if not path.exists():
        create(path, "int32", (len(plan.samples), len(plan.signals)))


def count_outcomes(plan: Plan, work: Path, kept: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Count the outcomes of every modality.

    Args:
        plan: Plan of the preparation.
        work: Folder of the unfinished work.
        kept: Numbers of the rows that are kept.

    Returns:
        Per modality the number of kept rows with a ``value``; of those that are ``absent``, and
        of those whose file has ``no_stream`` of the kind; of all rows whose cell is
        ``unreadable``; and of numbers that were ``replaced``, with the number of their rows.
    """
    codes = mapped_array(work / f"{OUTCOMES}.npy")
    every = np.zeros(codes.shape[1], np.int64)
    for block in blocks(np.arange(len(codes)), 2**16):
        every += (codes[block] == UNREADABLE).sum(0)
    names = ("value", "absent", "no_stream", "replaced", "replaced_rows")
    sums = np.zeros((len(names), codes.shape[1]), np.int64)
    for block in blocks(kept, 2**16):
        part = codes[block]
        sums += np.stack(
            [
                (part >= 0).sum(0),
                (part == ABSENT).sum(0),
                (part == NO_STREAM).sum(0),
                part.clip(0).sum(0, dtype=np.int64),
                (part > 0).sum(0),
            ]
        )
    return {
        m: dict(zip(names, column, strict=True)) | {"unreadable": int(unreadable)}
        for m, column, unreadable in zip(plan.signals, sums.T.tolist(), every, strict=True)
    }


def outcome_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line per modality about what became of its cells.

    Args:
        facts: Content of ``dataset.json``; stores of earlier versions have no outcomes.
    """
    rule = facts["report"].get("gaps", {}).get("invalid", "mean")
    for m, count in facts.get("outcomes", {}).items():
        parts = [f"{count['value']} values"]
        if count["absent"]:
            parts.append(f"{count['absent']} absent")
        if count["no_stream"]:
            parts.append(f"{count['no_stream']} absent because their file has no such stream")
        if count["unreadable"]:
            parts.append(f"{count['unreadable']} unreadable")
        line = f"{m}: {', '.join(parts)}"
        if count["replaced"]:
            line += (
                f"; {count['replaced']} empty, NaN or infinite numbers in "
                f"{count['replaced_rows']} rows became {FILLED_BY[rule]} (invalid={rule})"
            )
        yield line


def cure_lines(
    skipped: Iterable[Skip], report: Mapping[str, Any], counts: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Return the options that keep skipped rows.

    Args:
        skipped: Skipped samples.
        report: Report of the reader, which holds its rules for gaps if it has any.
        counts: Outcomes as :func:`count_outcomes` returns them.
    """
    rules, reasons = report.get("gaps", {}), {skip.reason for skip in skipped}
    lines = []
    if "non-finite" in reasons and rules.get("invalid") == "skip":
        lines.append("invalid=mean or invalid=zero keeps rows with numbers that are not finite")
    unreadable = any(count["unreadable"] for count in counts.values())
    if unreadable and len(counts) > 1 and rules.get("unreadable") == "skip":
        lines.append("unreadable=lack keeps the rows of unreadable cells, without the modality")
    return lines
