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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.source import MASK
from g2d.data.store.arrays import open_for_writing, sha256
from g2d.data.store.plan import Decode, Decoded, Sample, Signal, UnreadableError

PRESENT = "present"
"""Name of the array that says which rows have which modality."""


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
        skipped: reason and detail. warnings: sentences.
    """

    digests: list[str] = field(default_factory=list)
    skipped: dict[int, tuple[str, str]] = field(default_factory=dict)
    warnings: dict[int, list[str]] = field(default_factory=dict)


Chunk = tuple[Sequence[int], Sequence[Sample]]
"""Rows, and the samples that belong there."""


class Worker:
    """Decodes chunks and writes their values to the arrays."""

    def __init__(self, job: Job) -> None:
        self.job = job
        names = [*job.signals, *(m + MASK for m, signal in job.signals.items() if signal.masked), PRESENT]
        self.arrays = {name: open_for_writing(job.folder / f"{name}.npy") for name in names}

    def __call__(self, chunk: Chunk) -> Done:
        done = Done()
        for i, (row, sample) in enumerate(zip(*chunk, strict=True)):
            try:
                decoded = self.job.decode(self.job.source, sample)
                done.digests.append(self._write(row, sample, decoded))
                if decoded.warnings:
                    done.warnings[i] = list(decoded.warnings)
            except UnreadableError as error:
                done.digests.append("")
                done.skipped[i] = (error.reason, error.detail)
            except FileNotFoundError as error:
                done.digests.append("")
                done.skipped[i] = ("missing-file", Path(error.filename or "").name)
        return done

    def _write(self, row: int, sample: Sample, decoded: Decoded) -> str:
        """Of a sample with files its bytes and facts are digested, of one without (a row of an array) the values themselves."""
        digest = hashlib.sha256()
        if sample.files:
            digest.update(json.dumps(sample.facts, sort_keys=True).encode())
        for name in sample.files:
            path = self.job.source / name
            there = path.stat()
            digest.update(_file_digest(path, there.st_size, there.st_mtime_ns).encode())
        for place, (m, stored) in enumerate(self.job.signals.items()):
            values = decoded.values.get(m)
            self.arrays[PRESENT][row, place] = values is not None
            if values is None:
                continue
            _check(m, stored, values)
            self.arrays[m][row] = values
            if stored.masked:
                self.arrays[m + MASK][row] = decoded.masks[m]
            if not sample.files:
                digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()


def decode_all(job: Job, chunks: Iterable[Chunk], workers: int) -> Iterator[tuple[Sequence[int], Done]]:
    """Rows, as they are finished, and what became of them."""
    if workers <= 1:
        worker = Worker(job)
        for chunk in chunks:
            yield chunk[0], worker(chunk)
        return
    waiting = iter(chunks)
    crashed: list[Chunk] = []
    while True:
        running: dict[Future[Done], Chunk] = {}
        with _pool(job, workers) as pool:
            try:
                for chunk in waiting:
                    running[pool.submit(_work, chunk)] = chunk
                    if len(running) >= 4 * workers:
                        yield from _finished(running)
                while running:
                    yield from _finished(running)
            except BrokenProcessPool:
                crashed = list(running.values())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if not crashed:
            return
        # One of them took a worker down. Each goes through a process of its own, so that only the guilty sample is lost.
        for chunk in crashed:
            yield chunk[0], _one_by_one(job, chunk)
        crashed = []


def _finished(running: dict[Future[Done], Chunk]) -> Iterator[tuple[Sequence[int], Done]]:
    ready, _ = wait(running, return_when=FIRST_COMPLETED)
    # Those that failed first: a chunk leaves the list only with its result.
    for future in sorted(ready, key=lambda f: f.exception() is None):
        result = future.result()
        yield running.pop(future)[0], result


def _one_by_one(job: Job, chunk: Chunk) -> Done:
    whole = Done()
    for i, (row, sample) in enumerate(zip(*chunk, strict=True)):
        with _pool(job, 1) as pool:
            try:
                done = pool.submit(_work, ([row], [sample])).result()
            except BrokenProcessPool:
                done = Done([""], {0: ("undecodable", "its decoder crashed")})
        whole.digests += done.digests
        if done.skipped:
            whole.skipped[i] = done.skipped[0]
        if done.warnings:
            whole.warnings[i] = done.warnings[0]
    return whole


_worker: Worker | None = None


def _pool(job: Job, workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(job,))


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


@lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, changed: int) -> str:
    """Many samples may be made of one file."""
    return sha256(path)


def _check(m: str, signal: Signal, values: NDArray[Any]) -> None:
    """A reader that breaks its word is our fault; infinite values are the file's."""
    if values.shape != signal.shape or values.dtype != np.dtype(signal.dtype):
        raise TypeError(f"values of {m!r} must be {signal.dtype} {signal.shape}, found {values.dtype} {values.shape}")
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise UnreadableError("non-finite", f"{int(np.isinf(values).sum())} infinite values of {m}")
