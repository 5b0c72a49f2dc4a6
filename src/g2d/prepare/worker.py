"""Decode samples in worker processes; a bad sample is reported and never stops the others."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import wait as wait_for_end
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.facts import PRESENT, Signal
from g2d.errors import G2DError, UnreadableError
from g2d.files import sha256
from g2d.prepare.arrays import open_for_writing
from g2d.prepare.outcomes import ABSENT, OUTCOMES, UNREADABLE
from g2d.prepare.plan import LACKING, Decode, Decoded, Sample, as_unreadable
from g2d.spawning import needs_main, spawning


@dataclass(frozen=True)
class Job:
    """Information that every worker needs.

    Args:
        source: Folder of the raw files.
        folder: Folder of the arrays to fill.
        signals: How each modality is stored.
        decode: Function that decodes a sample.
    """

    source: Path
    folder: Path
    signals: Mapping[str, Signal]
    decode: Decode


@dataclass
class Outcome:
    """Results of a chunk of samples, by position in the chunk.

    Args:
        digests: SHA-256 of the content of every sample; empty if it is skipped.
        stamps: :func:`stamp` of the files of every sample; 0 if it is skipped.
        skipped: Reason and detail of the skipped samples.
        warnings: Sentences about the kept samples.
    """

    digests: list[str] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    skipped: dict[int, tuple[str, str]] = field(default_factory=dict)
    warnings: dict[int, list[str]] = field(default_factory=dict)

    def keep(self, digest: str, stamp: int, warnings: Sequence[str] = ()) -> None:
        """Append a sample that is kept."""
        if warnings:
            self.warnings[len(self.digests)] = list(warnings)
        self.digests.append(digest)
        self.stamps.append(stamp)

    def skip(self, reason: str, detail: str) -> None:
        """Append a sample that is skipped."""
        self.skipped[len(self.digests)] = (reason, detail)
        self.digests.append("")
        self.stamps.append(0)

    def take(self, one: Outcome) -> None:
        """Append the outcome of a chunk of one sample."""
        if one.skipped:
            self.skip(*one.skipped[0])
        else:
            self.keep(one.digests[0], one.stamps[0], one.warnings.get(0, ()))


Chunk = tuple[Sequence[int], Sequence[Sample]]
"""Row numbers and their samples."""
Done = tuple[Sequence[int], Outcome]
"""Row numbers and what became of them."""


class Worker:
    """Decodes chunks and writes their values into the arrays."""

    def __init__(self, job: Job) -> None:
        self.job = job
        marks = (marks for m, stored in job.signals.items() if (marks := stored.marks(m)))
        names = (*job.signals, *(array.name for array in marks), PRESENT, OUTCOMES)
        self.arrays = {name: open_for_writing(job.folder / f"{name}.npy") for name in names}

    def __call__(self, chunk: Chunk) -> Outcome:
        outcome = Outcome()
        for row, sample in zip(*chunk, strict=True):
            try:
                decoded, files, stamped = self._read(sample)
                outcome.keep(self._write(row, sample, decoded, files), stamped, decoded.warnings)
            except UnreadableError as error:
                outcome.skip(error.reason, error.detail)
                self.arrays[OUTCOMES][row] = [
                    UNREADABLE if m == error.modality and error.reason != LACKING else 0
                    for m in self.job.signals
                ]
        return outcome

    def _read(self, sample: Sample) -> tuple[Decoded, list[str], int]:
        """Return the values of a sample, the digests of its files, and their stamp.

        An error costs the one sample, not the run.
        """
        try:
            before = stamp(self.job.source, sample)
            decoded = self.job.decode(self.job.source, sample)
            lenient = UNREADABLE in decoded.outcomes.values()
            digests = [self._digest(name, lenient=lenient) for name in sample.files]
            if stamp(self.job.source, sample) != before:
                raise UnreadableError("undecodable", "it changed while it was read")
        except (UnreadableError, G2DError):
            raise
        except Exception as error:
            raise as_unreadable(error) from error
        return decoded, digests, before

    def _digest(self, name: str, *, lenient: bool) -> str:
        """Return the digest of a file; with ``lenient``, one that cannot be read has none."""
        try:
            return digest_of(self.job.source / name)
        except (OSError, ValueError):
            if lenient:
                return ""
            raise

    def _write(self, row: int, sample: Sample, decoded: Decoded, files: list[str]) -> str:
        """Write a row and return its digest.

        The digest of a sample with files covers the bytes of the files and the facts; that of a
        sample without files (a row of an array) covers the values.
        """
        digest = hashlib.sha256()
        if files:
            digest.update("".join([json.dumps(sample.facts, sort_keys=True), *files]).encode())
        for place, (m, stored) in enumerate(self.job.signals.items()):
            values = decoded.values.get(m)
            self.arrays[PRESENT][row, place] = values is not None
            usual = ABSENT if values is None else 0
            self.arrays[OUTCOMES][row, place] = decoded.outcomes.get(m, usual)
            if values is None:
                continue
            _check(m, stored, values)
            parts: dict[str, Any] = {m: values}
            if marks := stored.marks(m):
                mask = decoded.masks[m]
                parts[marks.name] = np.int32(mask.sum()) if stored.counted else mask
            for name, part in parts.items():
                self.arrays[name][row] = part
                if not files:
                    digest.update(name.encode())
                    digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def decode_all(job: Job, chunks: Iterable[Chunk], workers: int) -> Iterator[Done]:
    """Decode chunks in parallel and yield their rows and outcomes as they finish.

    Args:
        job: Information for the workers.
        chunks: Row numbers and samples.
        workers: Number of processes; 1 decodes in this process.
    """
    if workers <= 1:
        worker = Worker(job)
        for chunk in chunks:
            yield chunk[0], worker(chunk)
        return
    waiting = iter(chunks)
    others = set(multiprocessing.active_children())
    while True:
        running: dict[Future[Outcome], Chunk] = {}
        unsent: list[Chunk] = []
        with _pool(job, workers) as pool:
            try:
                for chunk in waiting:
                    unsent = [chunk]
                    running[_submit(pool, chunk)] = chunk
                    unsent = []
                    if len(running) >= 4 * workers:
                        yield from _finished(running)
                while running:
                    yield from _finished(running)
                return
            except BrokenProcessPool:
                pass  # a sample crashed its worker, which breaks the whole pool
            except BaseException:
                _stop(pool, others)
                raise
        yield from _one_by_one(job, [*running.values(), *unsent])


def _stop(pool: ProcessPoolExecutor, others: set[BaseProcess]) -> None:
    """Kill the workers; unfinished chunks are decoded again later.

    A second Ctrl-C is ignored meanwhile, so that it cannot interrupt the cleanup.

    Args:
        pool: Pool to end.
        others: Child processes that do not belong to the pool.
    """
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    for worker in set(multiprocessing.active_children()) - others:
        worker.kill()
    pool.shutdown(wait=True, cancel_futures=True)
    if main:
        signal.signal(signal.SIGINT, handler)


def _finished(running: dict[Future[Outcome], Chunk]) -> Iterator[Done]:
    """Wait for at least one chunk, and remove the finished ones from ``running``."""
    ready, _ = wait(running, return_when=FIRST_COMPLETED)
    # Failed ones first: a chunk leaves the list only with its result.
    for future in sorted(ready, key=lambda f: f.exception() is None):
        result = future.result()
        yield running.pop(future)[0], result


def _one_by_one(job: Job, chunks: Sequence[Chunk]) -> Iterator[Done]:
    """Decode the samples of a broken pool one at a time, so that only the guilty one is lost.

    A sample is skipped if it ends two processes in a row, because something else may have killed
    the first.
    """
    pool = _pool(job, 1)
    try:
        for rows, samples in chunks:
            outcome = Outcome()
            for row, sample in zip(rows, samples, strict=True):
                for _ in range(2):
                    try:
                        outcome.take(_submit(pool, ([row], [sample])).result())
                        break
                    except BrokenProcessPool:
                        pool = _pool(job, 1)
                else:
                    outcome.skip("undecodable", "its decoder crashed")
            yield rows, outcome
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_worker: Worker | None = None


def _pool(job: Job, workers: int) -> ProcessPoolExecutor:
    context = spawning(main=needs_main(job))
    return ProcessPoolExecutor(workers, context, initializer=_start, initargs=(job,))


def _submit(pool: ProcessPoolExecutor, chunk: Chunk) -> Future[Outcome]:
    """Submit a chunk with SIGINT blocked, so that workers that this starts do not receive it."""
    if not hasattr(signal, "pthread_sigmask"):
        return pool.submit(_work, chunk)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_work, chunk)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(job: Job) -> None:
    """Initialize a worker: open the arrays, ignore Ctrl-C, and end with the parent process."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(job)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_end([parent.sentinel])
    os._exit(1)


def _work(chunk: Chunk) -> Outcome:
    assert _worker is not None
    return _worker(chunk)


def stamp(source: Path, sample: Sample) -> int:
    """Return a number that changes when a file of the sample changes, 0 if it has no files.

    A file that does not exist is counted as such.

    It is derived from sizes and modification times, and smaller than 2^63.
    """
    if not sample.files:
        return 0
    text = json.dumps([_state(source / name) for name in sample.files])
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) >> 1


def _state(path: Path) -> tuple[int, int] | None:
    """Return the size and modification time of a file, or None if it cannot be found."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_size, stat.st_mtime_ns


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, cached because several samples can share a file."""
    stat = path.stat()
    if not path.is_file():  # reading a pipe or a device might never end
        raise OSError(f"{path.name} is not a regular file")
    return _digest_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of(path: Path, size: int, changed: int) -> str:
    return sha256(path)


def _check(m: str, stored: Signal, values: NDArray[Any]) -> None:
    """Refuse values of another shape or type (a fault of the reader), and infinite values."""
    if values.shape != stored.shape or values.dtype != np.dtype(stored.dtype):
        rule = f"values of {m!r} must be {stored.dtype} {stored.shape}"
        raise TypeError(f"{rule}, found {values.dtype} {values.shape}")
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise UnreadableError("non-finite", f"{int(np.isinf(values).sum())} infinite values of {m}")
