"""Say why samples were skipped and what repairs them; examine one if most fail alike."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from os.path import exists, isfile
from pathlib import Path

import numpy as np

from g2d.errors import Reason
from g2d.prepare.plan import Plan, Sample, Skip, each

CURES: Mapping[Reason, str] = {
    "missing-file": "Add the files, or correct their paths",
    "lfs-pointer": "Run git lfs pull in the folder of the files",
    "undecodable": "Replace damaged files, and convert those of a format that cannot be read",
    "no-audio": "Replace silent files, or leave the sound out",
    "zero-length": "Replace empty files and fill empty rows, or remove these samples",
    "too-few-frames": "Ask for fewer frames, or remove these samples",
    "non-finite": "Replace infinite numbers and NaN",
    "duplicate": "Change the ids, so that each names one sample",
    "no-agreed-label": "Fill in the labels, or remove these samples",
    "known-bad": "Nothing has to be done for samples that are known to be bad",
    "absent": "Fill in the cells, or keep samples that lack a modality with absent=lack",
}
"""Sentence that says how to repair samples, by the reason for which they were skipped."""
ACCEPT = "accept a partial store with --allow-partial; every result says so"
MOST = 0.5
"""Share of the skipped samples from which a common reason is examined."""
SEARCHED = 50_000
"""Number of names below a folder among which a missing file is searched."""
SIGNS = ";|"
"""Signs that separate several paths in one cell."""


def skip_lines(skipped: Sequence[Skip], rest: str = "", most: int = 10) -> Iterator[str]:
    """Yield how many samples were skipped for which reason, with the first ids of each.

    An id, and a detail that several samples share, are named once.

    Args:
        skipped: Skipped samples.
        rest: Where the other ids are listed.
        most: Number of ids to show per reason.

    Example:
        >>> twice = "an earlier row has the same id"
        >>> skips = [Skip("p1", "duplicate", twice), Skip("p1", "duplicate", twice)]
        >>> print(*skip_lines([*skips, Skip("p2", "missing-file", "a.jpg")]), sep="\\n")
        3 skipped:
          duplicate 2: p1 twice (an earlier row has the same id)
          missing-file 1: p2 (a.jpg)
    """
    if not skipped:
        return
    yield f"{len(skipped)} skipped:"
    for reason, count in sorted(Counter(skip.reason for skip in skipped).items()):
        by_detail: dict[str, Counter[str]] = {}
        for skip in skipped:
            if skip.reason == reason:
                by_detail.setdefault(skip.detail, Counter())[skip.id] += 1
        left, parts = most, []
        for detail, ids in by_detail.items():
            names = [_times(name, times) for name, times in ids.items()][:left]
            left -= len(names)
            if names:
                parts.append(", ".join(names) + (f" ({detail})" if detail else ""))
        distinct = sum(map(len, by_detail.values()))
        more = f", and {distinct - most} more{rest}" if distinct > most else ""
        yield f"  {reason} {count}: {', '.join(parts)}{more}"


def _times(name: str, count: int) -> str:
    return name if count == 1 else f"{name} twice" if count == 2 else f"{name} {count} times"


def causes(plan: Plan, skipped: Sequence[Skip], source: Path) -> Iterator[str]:
    """Yield the skipped samples, the likely cause if most fail alike, and what repairs them.

    Args:
        plan: Plan of the preparation.
        skipped: Skipped samples.
        source: Folder of the raw files.
    """
    yield from skip_lines(skipped)
    counts = Counter(skip.reason for skip in skipped)
    if counts:
        reason, count = counts.most_common(1)[0]
        if count > MOST * len(skipped):
            one = next(skip for skip in skipped if skip.reason == reason)
            yield from _examined(plan, one, source)
    for reason, _ in counts.most_common():
        yield f"{reason}: {plan.cures.get(reason, CURES[reason])}."


def _examined(plan: Plan, skip: Skip, source: Path) -> Iterator[str]:
    """Yield what is found out about one sample, given its files."""
    rows = np.arange(len(plan.samples))
    sample = next((sample for sample in each(plan.samples, rows) if sample.id == skip.id), None)
    if sample is None or not sample.files:
        return
    if skip.reason == "missing-file":
        missing = [file for file in sample.files if not exists(source / file)]
        if missing:
            yield f"for example, {skip.id}: {path_fault(missing[0], source)}"
    elif web := _web_page(sample, source):
        yield f"for example, {skip.id}: {web} is a web page; its download failed"


def path_fault(file: str, source: Path) -> str:
    """Describe a path that leads nowhere: where it was searched, and the likely reasons.

    Args:
        file: Path as the data set names it.
        source: Folder that it is relative to.
    """
    return "\n  ".join([f"no file {source / file}", *_reasons(file, source)])


def _web_page(sample: Sample, source: Path) -> Path | None:
    """Return a file of a sample that holds HTML."""
    for file in sample.files:
        if not isfile(source / file):  # reading a pipe or a device might never end
            continue
        try:
            if not (source / file).is_file():  # opening a pipe might never end
                continue
            with (source / file).open("rb") as opened:
                start = opened.read(200).lstrip().lower()
        except OSError:
            continue
        if start.startswith((b"<!doctype html", b"<html")):
            return source / file
    return None


def _reasons(file: str, source: Path) -> Iterator[str]:
    """Yield likely reasons why a path leads nowhere.

    Args:
        file: Path as the data set names it.
        source: Folder that it is relative to.
    """
    if re.match(r"[a-z][a-z0-9+]+://", file, re.IGNORECASE):
        yield "it is an address; download the files and give their paths"
        return
    for sign in SIGNS:
        parts = [part.strip() for part in file.split(sign) if part.strip()]
        if len(parts) > 1:
            yield (
                f"the cell holds {len(parts)} paths with {sign!r} between them; write one path "
                "per cell, in a column for each file"
            )
            file = parts[0]
    if "\\" in file:
        yield "it has backslashes, as on Windows; write slashes: " + file.replace("\\", "/")
    plain = file.strip("'\" ").replace("\\", "/")
    if plain != file and "\\" not in file:
        yield "it has quotes or blanks around the name; remove them"
    if re.match(r"[A-Za-z]:/|/|~", plain):
        yield "it is the path of another computer or account; write it relative to the table"
    yield from _near(plain, source)


def _near(file: str, source: Path) -> Iterator[str]:
    """Yield where a file of the same name, or with another suffix or case, is."""
    if exists(source / file):
        return
    name, (stem, suffix) = os.path.basename(file), os.path.splitext(os.path.basename(file))
    alike: list[str] = []
    for path in _below(source):
        base = os.path.basename(path)
        if base == name:
            yield f"{path} exists there; write the paths of the column like this"
            return
        if os.path.splitext(base)[0].lower() == stem.lower():
            alike.append(path)
    if not alike:
        return
    same = [path for path in alike if os.path.basename(path).lower() == name.lower()]
    near = (same or alike)[0]
    what = "its capital letters differ" if same else f"its suffix is not {suffix or 'left out'}"
    yield f"{near} exists there; {what}"


def _below(source: Path) -> Iterator[str]:
    """Yield the files below a folder, relative to it, those near its top first."""
    folders, count = [""], 0
    while folders and count < SEARCHED:
        folder = folders.pop(0)
        try:
            entries = sorted(os.scandir(source / folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            count += 1
            path = os.path.join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield path
