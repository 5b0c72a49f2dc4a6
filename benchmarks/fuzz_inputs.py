"""Prepare thousands of made-up inputs, and report every traceback, hang and silent loss.

An input is a table, a column of pictures, sounds, videos or arrays, or a file of arrays; it is
valid, odd or damaged. Every one must become a sound store in which each row is kept or listed as
skipped, or be refused with a sentence. One in ten stores is also trained for an epoch with its
starter recipe.

    python benchmarks/fuzz_inputs.py [--inputs 3000] [--seed 0] [--only NUMBER]
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from made_up_inputs import MAKERS, Made, made

LIMIT = 30.0
"""Seconds that one input may take."""
TRAINED = 10
"""One store in so many is trained."""


def outcome(number: int, folder: Path, train: bool) -> tuple[str, str]:
    """Prepare an input; return ``kept``, ``refused`` or ``fault``, and the details.

    Args:
        number: Number of the input.
        folder: Empty folder for the input, the store and the run.
        train: Whether to train the store for an epoch.
    """
    from g2d.errors import G2DError

    given = made(number, folder)
    warnings.simplefilter("error")
    try:
        return _prepared(given, folder, train)
    except G2DError as error:
        sentence = str(error).strip()
        if not sentence or given.good or "Traceback" in sentence:
            return "fault", f"refused without cause: {sentence}"
        return "refused", sentence
    except Exception:
        return "fault", traceback.format_exc()


def _prepared(given: Made, folder: Path, train: bool) -> tuple[str, str]:
    """Prepare and check a store."""
    from g2d.datasets import find_dataset
    from g2d.datasets.base import read_options
    from g2d.prepare import check_store, prepare, write_starter

    reader = find_dataset(given.reader).reader
    assert reader is not None
    plan = reader.plan(given.source, read_options(reader, given.options))
    root = given.source if given.source.is_dir() else given.source.parent
    facts = prepare(plan, root, folder / "store", allow_partial=True).facts
    if given.rows is not None and facts["rows"] + len(facts["skipped"]) != given.rows:
        lost = given.rows - facts["rows"] - len(facts["skipped"])
        return "fault", f"{lost} of {given.rows} rows are neither kept nor listed as skipped"
    if given.good and facts["rows"] != given.rows:
        return "fault", f"good rows are skipped: {facts['skipped'][:3]}"
    if unnamed := [skip for skip in facts["skipped"] if not skip["reason"]]:
        return "fault", f"skipped without a reason: {unnamed[:3]}"
    # A table may itself give a group to two splits, which preparation reports.
    shared = "more than one split"
    errors = [error for error in check_store(folder / "store").errors if shared not in error]
    if errors:
        return "fault", f"the store is not sound: {errors[:3]}"
    recipe = write_starter(folder / "store", facts)
    splits = next(iter(facts["protocols"].values()))["rows"]
    if train and splits["train"] >= 4 and splits["valid"] >= 2 and splits["test"] >= 2:
        _trained(recipe, folder / "run")
        return "trained", f"{facts['rows']} rows"
    return "kept", f"{facts['rows']} rows"


def _trained(recipe: Path, out: Path) -> None:
    """Train the starter recipe of a store for an epoch."""
    from g2d import train

    run = train(recipe, out, progress=False, say=lambda *_: None, epochs=1)
    metrics = run.evaluate("test")
    assert metrics


def _work(pipe: Connection, train: int) -> None:
    """Answer numbers with outcomes until the other end closes."""
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            pipe.send(outcome(number, folder, train > 0 and number // len(MAKERS) % train == 0))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class Worker:
    """A process that prepares inputs one by one and is replaced if it hangs or crashes.

    Args:
        train: One store in so many is trained; 0 trains none.
        limit: Seconds that one input may take.
    """

    def __init__(self, train: int = TRAINED, limit: float = LIMIT) -> None:
        self.train, self.limit = train, limit
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, self.train), daemon=True)
        self.process.start()
        other.close()
        self.started = False

    def __call__(self, number: int) -> tuple[str, str]:
        """Return the outcome of an input."""
        self.pipe.send(number)
        # The first input also pays for importing the libraries.
        limit = self.limit if self.started else self.limit + 60
        try:
            if self.pipe.poll(limit):
                self.started = True
                answer: tuple[str, str] = self.pipe.recv()
                return answer
            reason = f"no answer within {limit:.0f} s"
        except (EOFError, ConnectionResetError):
            self.process.join(5)
            reason = f"its process ended with code {self.process.exitcode}"
        self.close()
        self._start()
        return "fault", reason

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


def outcomes(numbers: range | list[int], worker: Worker) -> Iterator[tuple[int, str, str, float]]:
    """Yield number, outcome, details and seconds of every input."""
    for number in numbers:
        start = time.perf_counter()
        kind, detail = worker(number)
        yield number, kind, detail, time.perf_counter() - start


def main() -> None:
    """Print every fault, and the counts of outcomes by kind of input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, default=None, help="show one input")
    chosen = parser.parse_args()
    first = chosen.seed * 1_000_000
    numbers = range(first, first + chosen.inputs) if chosen.only is None else [chosen.only]
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[int] = []
    slowest: list[Any] = [0.0, -1]
    worker, start = Worker(), time.perf_counter()
    for number, kind, detail, seconds in outcomes(numbers, worker):
        counts[list(MAKERS)[number % len(MAKERS)], kind] += 1
        slowest = max(slowest, [seconds, number])
        if kind == "fault":
            faults.append(number)
        if kind == "fault" or chosen.only is not None:
            print(f"--- {number} {kind}: {detail}", flush=True)
    worker.close()
    for maker in MAKERS:
        parts = (f"{count} {kind}" for (m, kind), count in sorted(counts.items()) if m == maker)
        print(f"{maker}: {', '.join(parts)}")
    print(
        f"{sum(counts.values())} inputs in {time.perf_counter() - start:,.0f} s, "
        f"{len(faults)} faults, slowest {slowest[0]:.1f} s (input {slowest[1]})"
    )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
