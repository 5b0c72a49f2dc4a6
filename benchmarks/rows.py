"""Measure the memory that a large table needs for preparation and for an epoch of training.

A million made-up rows are compared with a hundred thousand. With ``--mixed``, rows also have a
category and a text of about ten words.

    python benchmarks/rows.py [--rows 1000000] [--mixed]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COLUMNS = 12
WORDS = [f"word{i}" for i in range(300)]
MEASURED = """
import resource, sys
from g2d.cli import app
try:
    app(sys.argv[1:], standalone_mode=False)
finally:
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        print("peak", resource.getrusage(who).ru_maxrss)
"""


def write(path: Path, rows: int, mixed: bool) -> None:
    """Write a table whose numbers depend slightly on the label.

    Args:
        path: File to write.
        rows: Number of rows.
        mixed: Whether to add a category and a text.
    """
    rng = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        more = ["color", "note"] if mixed else []
        out.writerow(["id", *(f"x{i}" for i in range(COLUMNS)), *more, "label"])
        for row in range(rows):
            label = rng.randrange(4)
            words = [f"color {rng.randrange(8)}", " ".join(rng.choices(WORDS, k=10))]
            out.writerow(
                [
                    f"r{row}",
                    *(round(rng.gauss(label, 3), 3) for _ in range(COLUMNS)),
                    *(words if mixed else ()),
                    f"class {label}",
                ]
            )


def measured(*arguments: str) -> tuple[float, float]:
    """Run a command; return its peak memory in MB (of its largest process) and its seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    peaks = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("peak ")]
    return max(peaks) / 1024, time.perf_counter() - start


def peaks(rows: int, mixed: bool) -> tuple[float, float]:
    """Return the peak memory in MB of preparing and of training."""
    with tempfile.TemporaryDirectory() as folder:
        table, store = Path(folder) / "table.csv", Path(folder) / "store"
        write(table, rows, mixed)
        prepare, seconds = measured(
            "data", "prepare", "table", "--source", str(table), "--out", str(store), "--quiet"
        )
        print(f"{rows:>9,} rows: prepare {prepare:,.0f} MB, {seconds:,.0f} s", end="", flush=True)
        recipe = store / "recipe.yaml"
        train, seconds = measured(
            "train",
            str(recipe),
            "epochs=1",
            "--out",
            str(Path(folder) / "run"),
            "--quiet",
        )
        kept = json.loads((store / "dataset.json").read_text())["rows"]
        print(f"; train {train:,.0f} MB, {seconds:,.0f} s ({kept:,} kept)")
    return prepare, train


def main() -> None:
    """Print the peaks and their difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--mixed", action="store_true", help="also a category and a text")
    chosen = parser.parse_args()
    rows, mixed = chosen.rows, chosen.mixed
    small, large = peaks(rows // 10, mixed), peaks(rows, mixed)
    print(
        f"ten times the rows: prepare {large[0] - small[0]:+,.0f} MB, "
        f"train {large[1] - small[1]:+,.0f} MB (goal: at most 200)"
    )


if __name__ == "__main__":
    main()
