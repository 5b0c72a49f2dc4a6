"""Flip bits in files of runs, teachers, stores and comparisons, and cut files off.

Every file of a small world is damaged in turn: of finished runs with their checkpoints (one of them
a stack), their teachers, the store, the comparison, and an unfinished run. After each damage the
store is checked, every run is evaluated and reported, and the unfinished run is continued to its
end. The damage must be noticed, recovered from, or without effect: every output is the same, bit
for bit, or a sentence says what is damaged.

    python benchmarks/chaos_bits.py [--count 500] [--cuts 200] [--seed 0] [--folder runs/chaos-bits]

Finished trials are kept in the folder, so the same command goes on after an interruption. The exit
code is 1 if a damage changed an output in silence, or ended in a traceback.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.bits import KINDS, World

OUTCOMES = ("noticed", "recovered", "no effect", "fault")


def main() -> int:
    """Damage the files, and print the table; return 1 if there was a fault."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--count", type=int, default=500, help="flipped bits")
    words.add_argument("--cuts", type=int, default=200, help="truncated files")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--folder", type=Path, default=Path("runs/chaos-bits"))
    given = words.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    journal = given.folder / f"seed-{given.seed}.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    outcomes: dict[str, str] = dict(map(json.loads, lines))
    warnings.simplefilter("ignore")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as top:
        world = World.made(Path(top))
        for way, count in (("bit", given.count), ("cut", given.cuts)):
            for number in range(count):
                name = f"{way} {number}"
                if name in outcomes:
                    continue
                kind = list(KINDS)[number % len(KINDS)]
                rng = random.Random(f"{given.seed} {name}")
                outcome = world.trial(kind, way == "cut", rng)
                outcomes[name] = f"{kind}|{outcome}"
                with journal.open("a") as file:
                    file.write(json.dumps([name, outcomes[name]]) + "\n")
                if ":" in outcome:
                    print(f"{name}: {outcome}", flush=True)
    return table(outcomes, time.monotonic() - started)


def table(outcomes: dict[str, str], seconds: float) -> int:
    """Print the number of outcomes per kind of file and way of damage; return 1 with faults."""
    counts = Counter[tuple[str, str, str]]()
    for name, text in outcomes.items():
        kind, _, outcome = text.partition("|")
        counts[kind, name.split()[0], "fault" if ":" in outcome else outcome] += 1
    print("| files | damage | trials | " + " | ".join(OUTCOMES) + " |")
    print("| --- | --- | ---: | " + " | ".join(["---:"] * len(OUTCOMES)) + " |")
    for kind in KINDS:
        for way in ("bit", "cut"):
            cells = [counts[kind, way, outcome] for outcome in OUTCOMES]
            print(f"| {kind} | {way} | {sum(cells)} | " + " | ".join(map(str, cells)) + " |")
    print(f"{len(outcomes)} trials; this session took {seconds:.0f} s")
    return int(any(outcome == "fault" for _, _, outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
