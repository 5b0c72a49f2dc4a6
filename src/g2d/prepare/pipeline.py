"""From a plan to a store: decode in parallel, record what is done, report every skip.

The folder holds ``.preparing/`` until the store is complete. ``dataset.json`` is written last, so a
folder with one is a complete store.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from g2d.data.store.arrays import blocks, mapped_array, row_bytes
from g2d.data.store.facts import DATASET, PRESENT, UNFINISHED, read_facts
from g2d.errors import DataError
from g2d.files import sweep
from g2d.locks import is_bookkeeping, owned, tidy
from g2d.manifest import read_signed, write_signed
from g2d.prepare.arrays import create, is_full
from g2d.prepare.causes import ACCEPT, causes, skip_lines
from g2d.prepare.finishing import write_store
from g2d.prepare.journal import Journal, plan_hash
from g2d.prepare.outcomes import count_outcomes, create_outcomes, cure_lines, outcome_lines
from g2d.prepare.plan import Plan, Skip, some
from g2d.prepare.worker import Chunk, Job, decode_all

PLAN, JOURNAL, FROZEN = "plan.json", "journal.jsonl", "frozen"
"""Files in the folder of unfinished work: the hash of the plan, the journal, and a mark that the
choice of kept samples is final."""
ADVICE = f"Add the files, or {ACCEPT}."
"""Ways out where files are missing."""
LEAST = 0.9
"""Share of the expected samples that must be kept."""
GIB = 2**30
Watch = Callable[[int, int], None]
"""Progress callback: (done, total)."""
Progress = Watch | None


@dataclass(frozen=True)
class Summary:
    """Result of a preparation.

    Args:
        out: Folder of the store.
        facts: Content of its ``dataset.json``.
        decoded: Number of samples decoded in this run; the others were decoded before.
        complete: Whether the store was complete before, so that nothing was done.
    """

    out: Path
    facts: dict[str, Any]
    decoded: int
    complete: bool = False

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        facts = self.facts
        count = f"{facts['rows']} of {facts['expected']} samples prepared in {self.out}"
        before = " (already complete; to read the files again, give another --out)"
        yield f"{facts['name']}: {count}{before if self.complete else ''}"
        skipped = [Skip(**skip) for skip in facts["skipped"]]
        yield from skip_lines(skipped, rest=f" (all are listed in {DATASET})")
        yield from cure_lines(skipped, facts["report"], facts.get("outcomes", {}))
        yield from outcome_lines(facts)
        for sentence in (*facts["cautions"], *facts["warnings"]):
            yield f"warning: {sentence}"
        for name, protocol in facts["protocols"].items():
            counts = (f"{count} {split}" for split, count in protocol["rows"].items())
            yield f"protocol {name}: {' / '.join(counts)}"
        yield f"content hash {facts['content_hash']}"


def prepare(
    plan: Plan,
    source: Path,
    out: Path,
    *,
    workers: int = 1,
    allow_partial: bool = False,
    watch: Progress = None,
) -> Summary:
    """Write a store, or continue one that an interrupted process left.

    Args:
        plan: Plan of a reader.
        source: Folder of the raw files.
        out: Folder of the store.
        workers: Number of processes that decode. With 1, decoding happens in this process, and a
            file that crashes its decoder ends it.
        allow_partial: Whether to accept a store with less than 90 % of the expected samples, or
            without a modality.
        watch: Progress callback.

    Raises:
        DataError: Too few samples can be kept (decoded ones stay, so that the same command with
            ``allow_partial`` ends soon), or the folder holds something else.
        RunError: Another process is writing to the folder.
    """
    if not plan.samples:
        lines = [f"{source} must hold samples of {plan.name}, found none."]
        raise DataError("\n".join([*lines, *skip_lines(plan.skipped)]))
    _check_enough(plan, list(plan.skipped), source, allow_partial)
    digest = plan_hash(plan)
    if (done := _complete(digest, out)) and not (out / UNFINISHED).exists():
        tidy(out)
        return done
    try:
        with _owned(out) as work:
            # Another process may have finished in the meantime.
            if done := _complete(digest, out):
                shutil.rmtree(work)
                return done
            return _prepare(plan, digest, source, work, workers, allow_partial, watch)
    except OSError as error:
        if not is_full(error):
            raise
        raise DataError(f"the disk of {out} is full. Free disk space and try again.") from error


def _complete(digest: str, out: Path) -> Summary | None:
    """Return the summary of a complete store of the same plan; refuse one of another plan."""
    if not (out / DATASET).is_file():
        return None
    facts = read_facts(out)
    if facts["plan_hash"] != digest:
        rule = f"{out} must be a new folder, found a store of {facts['name']} made from other files"
        raise DataError(f"{rule} or with other options. Give another --out.")
    return Summary(out, facts, 0, complete=True)


def _prepare(
    plan: Plan, digest: str, source: Path, work: Path, workers: int, partial: bool, watch: Progress
) -> Summary:
    _begin(plan, digest, work)
    frozen = work / FROZEN
    journal = Journal(work / JOURNAL, len(plan.samples), again=not frozen.exists())
    if not frozen.exists():
        journal.reopen_changed(plan, source)
    decoded = _decode(plan, source, work, journal, workers, watch)
    skipped = journal.skips(plan)
    counts = count_outcomes(plan, work, journal.kept())
    _check_enough(plan, skipped, source, partial, counts)
    if not frozen.exists():
        empty = _empty_modalities(plan, work, journal)
        if empty and not partial:
            rule = f"{plan.name} must have samples with {' and '.join(empty)}, found none."
            raise DataError(f"{rule}\n{ADVICE}")
        frozen.touch()
    facts = write_store(plan, journal, work, work.parent, plan_hash=digest, skipped=skipped)
    shutil.rmtree(work)
    return Summary(work.parent, facts, decoded)


def _begin(plan: Plan, digest: str, work: Path) -> None:
    """Create the arrays, unless the same plan has begun before."""
    if (work / PLAN).is_file():
        try:
            begun = read_signed(work / PLAN)
        except ValueError as error:
            rule = f"{work / PLAN} must describe the preparation that was begun"
            advice = f"Delete {work} to begin again."
            raise DataError(f"{rule}, found damage: {error}. {advice}") from None
        if begun.get("plan_hash") != digest:
            other = f"found one of {begun.get('name')} begun from other files or with other options"
            advice = f"Continue with those, give another --out, or delete {work}."
            rule = f"{work.parent} must be free or hold the same preparation"
            raise DataError(f"{rule}, {other}. {advice}")
        create_outcomes(plan, work)
        return
    # A process that was killed at this point left arrays without a plan.
    for leftover in (*work.glob("*.npy"), work / JOURNAL):
        leftover.unlink(missing_ok=True)
    _check_space(plan, work)
    rows = len(plan.samples)
    for m, signal in plan.signals.items():
        create(work / f"{m}.npy", signal.dtype, (rows, *signal.shape))
        if marks := signal.marks(m):
            create(work / f"{marks.name}.npy", marks.dtype, (rows, *marks.shape))
    create(work / f"{PRESENT}.npy", "bool", (rows, len(plan.signals)))
    create_outcomes(plan, work)
    write_signed(work / PLAN, {"name": plan.name, "plan_hash": digest})


def _check_space(plan: Plan, work: Path) -> None:
    """Refuse a preparation for which the disk has too little space."""
    marks = (signal.marks(m) for m, signal in plan.signals.items())
    arrays = [(s.dtype, s.shape) for s in (*plan.signals.values(), *marks) if s is not None]
    row = sum(row_bytes(np.dtype(dtype), shape) for dtype, shape in arrays)
    needed, free = row * len(plan.samples), shutil.disk_usage(work).free
    if needed > free:
        rule = f"the disk of {work.parent} must have {needed / GIB:.1f} GiB of free space"
        advice = "Give another --out, or prepare less."
        raise DataError(f"{rule}, found {free / GIB:.1f} GiB. {advice}")


def _decode(
    plan: Plan, source: Path, work: Path, journal: Journal, workers: int, watch: Progress
) -> int:
    """Decode all open samples and return their number."""
    rows, total = journal.open(), len(plan.samples)
    done = total - len(rows)

    def chunks() -> Iterator[Chunk]:
        for block in blocks(rows, plan.chunk):
            numbers = block.tolist()
            yield numbers, some(plan.samples, numbers)

    if watch:
        watch(done, total)
    # Two workers even for few samples: a file that crashes its decoder must not end this process.
    useful = min(workers, max(2, -(-len(rows) // plan.chunk))) if len(rows) else 1
    job = Job(source, work, plan.signals, plan.decode)
    for numbers, outcome in decode_all(job, chunks(), useful):
        journal.add(numbers, outcome)
        done += len(numbers)
        if watch:
            watch(done, total)
    return len(rows)


def _check_enough(
    plan: Plan,
    skips: list[Skip],
    source: Path,
    allow_partial: bool,
    outcomes: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
) -> None:
    """Refuse a data set with too few usable samples."""
    cures = cure_lines(skips, plan.report, outcomes)
    kept = len(plan.samples) + len(plan.skipped) - len(skips)
    if not kept:
        rule = f"{plan.name} must have readable samples, found none."
        raise DataError("\n".join([rule, *causes(plan, skips, source), *cures]))
    if allow_partial:
        return
    if plan.missing:
        missing = " and ".join(plan.missing)
        raise DataError(f"{plan.name} must be complete, found no file of {missing}.\n{ADVICE}")
    expected = plan.expected_of(kept, skips)
    if kept < LEAST * expected:
        rule = f"{plan.name} must have at least {LEAST:.0%} of its samples in usable form"
        rule = f"{rule}, found {kept} of {expected}."
        lines = [rule, *causes(plan, skips, source), *cures, f"Or {ACCEPT}."]
        raise DataError("\n".join(lines))


def _empty_modalities(plan: Plan, work: Path, journal: Journal) -> list[str]:
    """Return the modalities that no kept sample has."""
    present = mapped_array(work / f"{PRESENT}.npy")
    used = np.asarray(present[journal.kept()].any(0))
    return [m for m, any_row in zip(plan.signals, used, strict=True) if not any_row]


@contextmanager
def _owned(out: Path) -> Iterator[Path]:
    """Own the folder of the store, and yield the folder of unfinished work in it."""
    work = out / UNFINISHED
    begun = not out.is_dir() or work.is_dir() or (out / DATASET).is_file()
    if not begun and not all(map(is_bookkeeping, out.iterdir())):
        raise DataError(f"{out} must be a new or empty folder, found files. Give another --out.")
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot write to {out}: {reason}. Give another --out.") from error
    with owned(out):
        sweep(out)
        work.mkdir(exist_ok=True)  # a process that owned the folder until now may have deleted it
        yield work


def default_workers() -> int:
    """Return one worker per core, at least two and at most eight."""
    return max(2, min(os.cpu_count() or 1, 8))
