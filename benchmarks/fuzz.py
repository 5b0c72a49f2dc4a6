"""Give thousands of made-up inputs to g2d, and report every traceback, hang and silent damage.

    python benchmarks/fuzz.py [--count 10000] [--seed 0] [--part NAME]... [--only NUMBER]

Parts: ``recipes`` (mappings, texts, overrides, and models built from odd options), ``inputs``
(tables, pictures, sounds, videos and arrays that are prepared), ``stores``, ``checkpoints`` and
``results`` (files that are mutated, most of them signed again, and read by every command). Inputs
run in a forked process with a limit of memory and time. Finished ones are kept in the folder, so
the same command goes on after an interruption. The exit code is 1 if there was a fault.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import fuzz_files
import fuzz_inputs
import fuzz_recipes

SHARES = {"recipes": 60, "inputs": 8, "stores": 12, "checkpoints": 8, "results": 12}
"""Percent of the inputs by part."""
FAULTS = ("traceback", "hang", "crash", "fault")
LIMIT = 60.0
"""Seconds that one input may take."""
MEMORY = 12 * 2**30
"""Bytes of address space of the process that reads inputs."""


def outcome(part: str, number: int, seed: int, world: fuzz_files.World) -> tuple[str, str]:
    """Return what became of an input, and the details."""
    rng = random.Random(f"{seed} {part} {number}")
    if part == "recipes":
        return fuzz_recipes.outcome_of(rng.choice(list(fuzz_recipes.KINDS)), rng)
    if part == "inputs":
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            with warnings.catch_warnings():
                return fuzz_inputs.outcome(seed * 1_000_000 + number, folder, train=False)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return fuzz_files.read_files(part, world, rng)


def work(pipe: Connection, part: str, numbers: list[int], seed: int, top: Path) -> None:
    """Send the outcome of every input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    if part == "recipes":
        fuzz_recipes.warm_up()
    world = fuzz_files.World(top)
    if part in fuzz_files.PATTERNS:
        world.whole = {name: read(top) for name, read in fuzz_files.READERS.items()}
    for number in numbers:
        pipe.send((number, *outcome(part, number, seed, world)))


def outcomes(
    part: str, numbers: list[int], seed: int, world: Path, pristine: Path
) -> Iterator[tuple[int, str, str]]:
    """Yield number, outcome and details of every input, whatever becomes of its process."""
    left = list(numbers)
    while left:
        shutil.rmtree(world, ignore_errors=True)
        shutil.copytree(pristine, world)  # its recipes name this folder
        parent, child = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        process = context.Process(target=work, args=(child, part, left, seed, world))
        process.start()
        child.close()
        first = True
        while left:
            try:
                if not parent.poll(LIMIT + 240 * first):
                    reason = ("hang", f"no answer within {LIMIT:.0f} s")
                    break
                first = False
                number, kind, detail = parent.recv()
            except (EOFError, ConnectionResetError):
                process.join(5)
                reason = ("crash", f"its process ended with code {process.exitcode}")
                break
            left.remove(number)
            yield number, kind, detail
        else:
            reason = None
        if reason is not None:
            yield left.pop(0), *reason
        process.kill()
        process.join()
        parent.close()


def main() -> int:
    """Read the inputs, and print the table; return 1 if there was a fault."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--count", type=int, default=10_000, help="inputs of all parts together")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--part", action="append", choices=SHARES, help="default: all")
    words.add_argument("--only", type=int, help="number of the only input of a part to read")
    words.add_argument("--folder", type=Path, default=Path("runs/fuzz"))
    given = words.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    journal = given.folder / f"seed-{given.seed}.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    done = {(part, number): kind for part, number, kind, _ in map(json.loads, lines)}
    from support.bits import build_world  # found through the path that fuzz_files adds

    world, pristine = given.folder.resolve() / "world", given.folder.resolve() / "pristine"
    if not pristine.exists():
        shutil.rmtree(world, ignore_errors=True)
        world.mkdir()
        build_world(world)
        shutil.copytree(world, pristine)
    started = time.monotonic()
    for part in given.part or SHARES:
        numbers = [n for n in range(given.count * SHARES[part] // 100) if (part, n) not in done]
        if given.only is not None:
            numbers = [given.only]
        for number, kind, detail in outcomes(part, numbers, given.seed, world, pristine):
            done[part, number] = kind
            with journal.open("a") as file:
                file.write(json.dumps([part, number, kind, detail[-3000:]]) + "\n")
            if kind in FAULTS or given.only is not None:
                print(f"--- {part} {number}: {kind}\n{detail}", flush=True)
    counts = Counter((part, kind) for (part, _), kind in done.items())
    for part in SHARES:
        kinds = [
            f"{count} {kind}" for (name, kind), count in sorted(counts.items()) if name == part
        ]
        print(f"{part}: {', '.join(kinds)}")
    faults = sum(count for (_, kind), count in counts.items() if kind in FAULTS)
    print(f"{len(done)} inputs, {faults} faults; {time.monotonic() - started:.0f} s now")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
