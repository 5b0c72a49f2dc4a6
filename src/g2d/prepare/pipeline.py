"""From a plan to a store: decode in parallel, remember what is done, leave nothing out in silence.

The folder holds ``.preparing/`` until the store is whole; ``dataset.json`` is written last, so a folder with one is a store.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from g2d.data.source import MASK
from g2d.data.store.arrays import blocks, row_bytes
from g2d.data.store.facts import DATASET, PRESENT, read_facts
from g2d.errors import DataError
from g2d.prepare.arrays import create, is_full
from g2d.prepare.finishing import write_store
from g2d.prepare.journal import Journal, plan_hash
from g2d.prepare.plan import Plan, Skip, some
from g2d.prepare.worker import Chunk, Job, decode_all

WORK, PLAN, JOURNAL, FROZEN = ".preparing", "plan.json", "journal.jsonl", "frozen"
"""The folder of unfinished work; in it what is to be done, what is done, and a mark that what is kept is settled."""
LEAST = 0.9
"""Share of the expected samples that must be kept."""
Watch = Callable[[int, int], None]
"""Told how many samples are done, of how many."""


@dataclass(frozen=True)
class Summary:
    """What a preparation ends with.

    Args:
        out: the store. facts: its ``dataset.json``. decoded: samples that were decoded now, the others stood from before.
        whole: the store was finished before, and nothing was done.
    """

    out: Path
    facts: dict[str, Any]
    decoded: int
    whole: bool = False

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        facts = self.facts
        rows, skipped = facts["rows"], facts["skipped"]
        again = " (it stood already; another --out reads the files again)" if self.whole else ""
        yield f"{facts['name']}: {rows} of {facts['expected']} samples prepared in {self.out}{again}"
        yield from skip_lines([Skip(**skip) for skip in skipped], rest=f" ({DATASET} names all)")
        for sentence in (*facts["cautions"], *facts["warnings"]):
            yield f"warning: {sentence}"
        for name, protocol in facts["protocols"].items():
            yield f"protocol {name}: " + " / ".join(
                f"{count} {split}" for split, count in protocol["rows"].items()
            )
        yield f"content hash {facts['content_hash']}"


def skip_lines(skipped: list[Skip], rest: str = "", shown: int = 10) -> Iterator[str]:
    """How many were skipped, by reason, with the first names of each; ``rest`` says where the others stand."""
    if not skipped:
        return
    yield f"{len(skipped)} skipped:"
    for reason, count in sorted(Counter(skip.reason for skip in skipped).items()):
        names = [
            f"{skip.id} ({skip.detail})" if skip.detail else skip.id
            for skip in skipped
            if skip.reason == reason
        ]
        more = f", and {count - shown} more{rest}" if count > shown else ""
        yield f"  {reason} {count}: {', '.join(names[:shown])}{more}"


def prepare(
    plan: Plan,
    source: Path,
    out: Path,
    *,
    workers: int = 1,
    allow_partial: bool = False,
    watch: Watch | None = None,
) -> Summary:
    """Write a store, or go on writing one where a killed process stopped.

    Args:
        plan: of a reader. source: the folder that it looked at. out: the folder of the store.
        workers: processes that decode; 1 decodes in this one, which a file that crashes its decoder takes down.
        allow_partial: accept a store with less than 90 % of the expected samples, or without a modality.

    Raises:
        DataError: too little could be kept (what was decoded stays, so that the same command with ``allow_partial`` ends soon), the folder
            holds something else, or another process is at work there.
    """
    if not plan.samples:
        raise DataError(
            f"{source} must hold samples of {plan.name}, found none."
            + "".join(f"\n{line}" for line in skip_lines(list(plan.skipped)))
        )
    _refuse(plan, list(plan.skipped), allow_partial)
    digest = plan_hash(plan)
    if done := _finished(digest, out):
        return done
    try:
        with _alone(out) as work:
            # Another process may have finished in between.
            return _finished(digest, out) or _prepare(
                plan,
                digest,
                source,
                work,
                workers=workers,
                allow_partial=allow_partial,
                watch=watch,
            )
    except OSError as error:
        if is_full(error):
            raise DataError(
                f"{out} must have room for what is written, found a full disk. Make room and give the same command again."
            ) from error
        raise


def _finished(digest: str, out: Path) -> Summary | None:
    """A store that stands already, if it is the one that is wanted."""
    if not (out / DATASET).is_file():
        return None
    facts = read_facts(out)
    if facts["plan_hash"] != digest:
        raise DataError(
            f"{out} must be a new folder, found a store of {facts['name']} made from other files or with other options. Give another --out."
        )
    shutil.rmtree(out / WORK, ignore_errors=True)
    return Summary(out, facts, 0, whole=True)


def _prepare(
    plan: Plan,
    digest: str,
    source: Path,
    work: Path,
    *,
    workers: int,
    allow_partial: bool,
    watch: Watch | None,
) -> Summary:
    _begin(plan, digest, work)
    frozen = work / FROZEN
    journal = Journal(work / JOURNAL, len(plan.samples), again=not frozen.exists())
    if not frozen.exists():
        journal.reopen_changed(plan, source)
    decoded = _decode(plan, source, work, journal, workers, watch)
    skipped = journal.skips(plan)
    _refuse(plan, skipped, allow_partial)
    if not frozen.exists():
        absent = _absent(plan, work, journal)
        if absent and not allow_partial:
            raise DataError(_partial(f"no sample has {' or '.join(absent)}", plan, []))
        frozen.touch()
    facts = write_store(plan, journal, work, work.parent, plan_hash=digest, skipped=skipped)
    shutil.rmtree(work)
    return Summary(work.parent, facts, decoded)


def _begin(plan: Plan, digest: str, work: Path) -> None:
    """Lay out the arrays, unless the same plan has begun before."""
    if (work / PLAN).is_file():
        begun = json.loads((work / PLAN).read_text(encoding="utf-8"))
        if begun["plan_hash"] != digest:
            raise DataError(
                f"{work.parent} must be free or hold the same preparation, found one of {begun['name']} begun from other files or with other options. "
                f"Go on with those, give another --out, or delete {work}."
            )
        return
    for leftover in (
        *work.glob("*.npy"),
        work / JOURNAL,
    ):  # of a process that was killed while it laid them out
        leftover.unlink(missing_ok=True)
    _room(plan, work)
    rows = len(plan.samples)
    for m, signal in plan.signals.items():
        create(work / f"{m}.npy", signal.dtype, (rows, *signal.shape))
        if signal.masked:
            create(work / f"{m}{MASK}.npy", "bool", (rows, signal.shape[0]))
    create(work / f"{PRESENT}.npy", "bool", (rows, len(plan.signals)))
    aside = work / f"{PLAN}.new"
    aside.write_text(json.dumps({"name": plan.name, "plan_hash": digest}), encoding="utf-8")
    aside.replace(work / PLAN)


def _room(plan: Plan, work: Path) -> None:
    """Refuse before the work what would end in a full disk."""
    row = sum(
        row_bytes(np.dtype(s.dtype), s.shape) + (s.shape[0] if s.masked else 0)
        for s in plan.signals.values()
    )
    needed, free = row * len(plan.samples), shutil.disk_usage(work).free
    if needed > free:
        raise DataError(
            f"{work.parent} must have room for {needed / 2**30:.1f} GiB, found {free / 2**30:.1f} GiB free. Give another --out, or prepare less."
        )


def _decode(
    plan: Plan, source: Path, work: Path, journal: Journal, workers: int, watch: Watch | None
) -> int:
    rows, total = journal.open(), len(plan.samples)
    done = total - len(rows)

    def chunks() -> Iterator[Chunk]:
        for block in blocks(rows, plan.chunk):
            numbers = block.tolist()
            yield numbers, some(plan.samples, numbers)

    if watch:
        watch(done, total)
    # Two at least where there are several: a file that takes its decoder down must not take this process with it.
    useful = min(workers, max(2, -(-len(rows) // plan.chunk)))
    for finished, what in decode_all(
        Job(source, work, plan.signals, plan.decode), chunks(), useful if len(rows) else 1
    ):
        journal.add(finished, what)
        done += len(finished)
        if watch:
            watch(done, total)
    return len(rows)


def _refuse(plan: Plan, skips: list[Skip], allow_partial: bool) -> None:
    """Too little to be called the data set: said before the work where it is known, else after it."""
    kept = len(plan.samples) + len(plan.skipped) - len(skips)
    if not kept:
        raise DataError(
            "\n".join(
                [f"{plan.name} must have samples that can be read, found none.", *skip_lines(skips)]
            )
        )
    if allow_partial:
        return
    if plan.missing:
        raise DataError(_partial(f"no file of {' and '.join(plan.missing)} was found", plan, []))
    if kept < LEAST * plan.expected:
        raise DataError(_partial(f"{kept} of {plan.expected} samples can be used", plan, skips))


def _partial(what: str, plan: Plan, skips: list[Skip]) -> str:
    rule = f"{plan.name} must be whole, or at least {LEAST:.0%} of it, found that {what}."
    return "\n".join(
        [
            rule,
            *skip_lines(skips),
            "Add the files, or give --allow-partial: it is recorded, and shown beside every result.",
        ]
    )


def _absent(plan: Plan, work: Path, journal: Journal) -> list[str]:
    present = np.load(work / f"{PRESENT}.npy", mmap_mode="r", allow_pickle=False)
    there = present[journal.kept()].any(0)
    return [m for m, any_row in zip(plan.signals, there, strict=True) if not any_row]


@contextmanager
def _alone(out: Path) -> Iterator[Path]:
    """The working folder, for this process alone: two must not write one store. The system drops the lock of a process that is killed."""
    work = out / WORK
    if out.is_dir() and not work.is_dir() and not (out / DATASET).is_file() and any(out.iterdir()):
        raise DataError(
            f"{out} must be a new or empty folder, found other files in it. Give another --out."
        )
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{out} must be a folder that can be written, found: {error.strerror}. Give another --out."
        ) from error
    if sys.platform == "win32":
        yield work
        return
    import fcntl

    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(
                f"{out} must be prepared by one process, found another one at work there. Wait for it, or give another --out."
            ) from None
        yield work


def default_workers() -> int:
    """One per core, two at least and eight at most."""
    return max(2, min(os.cpu_count() or 1, 8))
