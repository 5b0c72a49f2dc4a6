"""Decoding in worker processes: a sample that cannot be read, or that takes its decoder down with it, is reported and never stops the others."""

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

from g2d.data.source import MASK
from g2d.data.store.facts import PRESENT, Signal
from g2d.errors import G2DError, UnreadableError
from g2d.files import sha256
from g2d.prepare.arrays import open_for_writing
from g2d.prepare.plan import Decode, Decoded, Sample


@dataclass(frozen=True)
class Job:
    """What every worker knows.

    Args:
        source: the raw files. folder: where the arrays lie. signals: per modality. decode: of the plan.
    """

    source: Path
    folder: Path
    signals: Mapping[str, Signal]
    decode: Decode


@dataclass
class Done:
    """What became of a chunk of samples, by their place in it.

    Args:
        digests: per sample the SHA-256 of what it is made of; empty for one that is skipped.
        stamps: per sample :func:`stamp` of its files; 0 for one that is skipped.
        skipped: reason and detail. warnings: sentences.
    """

    digests: list[str] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    skipped: dict[int, tuple[str, str]] = field(default_factory=dict)
    warnings: dict[int, list[str]] = field(default_factory=dict)

    def keep(self, digest: str, stamp: int, warnings: Sequence[str] = ()) -> None:
        """The next sample stays."""
        if warnings:
            self.warnings[len(self.digests)] = list(warnings)
        self.digests.append(digest)
        self.stamps.append(stamp)

    def skip(self, reason: str, detail: str) -> None:
        """The next sample does not."""
        self.skipped[len(self.digests)] = (reason, detail)
        self.digests.append("")
        self.stamps.append(0)

    def take(self, one: Done) -> None:
        """The next sample, from what became of it alone."""
        if one.skipped:
            self.skip(*one.skipped[0])
        else:
            self.keep(one.digests[0], one.stamps[0], one.warnings.get(0, ()))


Chunk = tuple[Sequence[int], Sequence[Sample]]
"""Rows, and the samples that belong there."""


class Worker:
    """Decodes chunks and writes their values to the arrays."""

    def __init__(self, job: Job) -> None:
        self.job = job
        names = [
            *job.signals,
            *(m + MASK for m, signal in job.signals.items() if signal.masked),
            PRESENT,
        ]
        self.arrays = {name: open_for_writing(job.folder / f"{name}.npy") for name in names}

    def __call__(self, chunk: Chunk) -> Done:
        done = Done()
        for row, sample in zip(*chunk, strict=True):
            try:
                decoded, files, seen = self._read(sample)
                done.keep(self._write(row, sample, decoded, files), seen, decoded.warnings)
            except UnreadableError as error:
                done.skip(error.reason, error.detail)
        return done

    def _read(self, sample: Sample) -> tuple[Decoded, list[str], int]:
        """The values of a sample, the digests of its files, and their stamp.

        Files can be damaged, and paths impossible, in ways that no reader foresees; such a one costs itself, not the run.
        """
        try:
            before = stamp(self.job.source, sample)
            decoded = self.job.decode(self.job.source, sample)
            digests = [digest_of(self.job.source / name) for name in sample.files]
            if stamp(self.job.source, sample) != before:
                raise UnreadableError("undecodable", "it changed while it was read")
        except (UnreadableError, G2DError):
            raise
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnreadableError("missing-file", Path(error.filename or "").name) from error
        except Exception as error:
            said = (
                getattr(error, "strerror", None) or error
            )  # without the path, which differs from machine to machine
            raise UnreadableError("undecodable", f"{type(error).__name__}: {said}"[:200]) from error
        return decoded, digests, before

    def _write(self, row: int, sample: Sample, decoded: Decoded, files: list[str]) -> str:
        """Of a sample with files their bytes and its facts are digested, of one without (a row of an array) the values themselves."""
        digest = hashlib.sha256()
        if files:
            digest.update("".join([json.dumps(sample.facts, sort_keys=True), *files]).encode())
        for place, (m, stored) in enumerate(self.job.signals.items()):
            values = decoded.values.get(m)
            self.arrays[PRESENT][row, place] = values is not None
            if values is None:
                continue
            _check(m, stored, values)
            parts = {m: values} | ({m + MASK: decoded.masks[m]} if stored.masked else {})
            for name, part in parts.items():
                self.arrays[name][row] = part
                if not files:
                    digest.update(name.encode())
                    digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def decode_all(
    job: Job, chunks: Iterable[Chunk], workers: int
) -> Iterator[tuple[Sequence[int], Done]]:
    """Rows, as they are finished, and what became of them; one worker is this process itself."""
    if workers <= 1:
        worker = Worker(job)
        for chunk in chunks:
            yield chunk[0], worker(chunk)
        return
    waiting = iter(chunks)
    others = set(multiprocessing.active_children())
    while True:
        running: dict[Future[Done], Chunk] = {}
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
                pass  # one of those that run took its worker down, and the pool with it
            except BaseException:
                _stop(pool, others)
                raise
        yield from _one_by_one(job, [*running.values(), *unsent])


def _stop(pool: ProcessPoolExecutor, others: set[BaseProcess]) -> None:
    """End the workers now: what they are at will be decoded again. Ctrl-C pressed twice must not meet half of this.

    Args:
        others: children of this process that are none of ours.
    """
    main = threading.current_thread() is threading.main_thread()
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    for worker in set(multiprocessing.active_children()) - others:
        worker.kill()
    pool.shutdown(wait=True, cancel_futures=True)
    if main:
        signal.signal(signal.SIGINT, heard)


def _finished(running: dict[Future[Done], Chunk]) -> Iterator[tuple[Sequence[int], Done]]:
    ready, _ = wait(running, return_when=FIRST_COMPLETED)
    # Those that failed first: a chunk leaves the list only with its result.
    for future in sorted(ready, key=lambda f: f.exception() is None):
        result = future.result()
        yield running.pop(future)[0], result


def _one_by_one(job: Job, chunks: Sequence[Chunk]) -> Iterator[tuple[Sequence[int], Done]]:
    """A sample at a time, so that only the guilty one is lost: one that takes down two processes in a row, for the first may have been killed by others."""
    pool = _pool(job, 1)
    try:
        for rows, samples in chunks:
            whole = Done()
            for alone in zip(rows, samples, strict=True):
                for _ in range(2):
                    try:
                        whole.take(_submit(pool, ([alone[0]], [alone[1]])).result())
                        break
                    except BrokenProcessPool:
                        pool = _pool(job, 1)
                else:
                    whole.skip("undecodable", "its decoder crashed")
            yield rows, whole
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_worker: Worker | None = None


def _pool(job: Job, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(job,),
    )


def _submit(pool: ProcessPoolExecutor, chunk: Chunk) -> Future[Done]:
    """Ctrl-C is the parent's: a worker that this starts inherits that it does not hear it."""
    if not hasattr(signal, "pthread_sigmask"):
        return pool.submit(_work, chunk)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_work, chunk)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(job: Job) -> None:
    """In a worker: open the arrays, leave Ctrl-C to the parent, and never outlive it."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = Worker(job)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_end([parent.sentinel])
    os._exit(1)


def _work(chunk: Chunk) -> Done:
    assert _worker is not None
    return _worker(chunk)


def stamp(source: Path, sample: Sample) -> int:
    """Sizes and times of a sample's files as a number below 2^63, 0 where it has none: whether they are still those that were read."""
    if not sample.files:
        return 0
    stats = [(source / name).stat() for name in sample.files]
    said = json.dumps([(there.st_size, there.st_mtime_ns) for there in stats])
    return int(hashlib.sha256(said.encode()).hexdigest()[:16], 16) >> 1


def digest_of(path: Path) -> str:
    """SHA-256 of a file, which many samples may be made of."""
    there = path.stat()
    return _digest_of(path, there.st_size, there.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of(path: Path, size: int, changed: int) -> str:
    return sha256(path)


def _check(m: str, signal: Signal, values: NDArray[Any]) -> None:
    """A reader that breaks its word is our fault; infinite values are the file's."""
    if values.shape != signal.shape or values.dtype != np.dtype(signal.dtype):
        raise TypeError(
            f"values of {m!r} must be {signal.dtype} {signal.shape}, found {values.dtype} {values.shape}"
        )
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise UnreadableError("non-finite", f"{int(np.isinf(values).sum())} infinite values of {m}")
