"""Measure a comparison with several jobs, and through a local Ray, against one job.

Every cell has one thread. The comparisons run one after another in new processes, each in a folder
of its own. Their tables must be equal, apart from the columns of seconds. Let the machine do
nothing else meanwhile: two idle cores should need at most 0.65 of the time of one job.

    python benchmarks/jobs.py                        # digits, three methods, three seeds, two jobs
    python benchmarks/jobs.py --recipe digits/small --seeds 1
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

MOST = 0.65
"""Largest share of the serial time that two jobs on two idle cores should need."""


@dataclass
class Measured:
    """Seconds and tables of a comparison."""

    label: str
    seconds: float
    tables: Any


def compare(label: str, words: list[str], out: Path) -> Measured:
    """Run a comparison in a new process and measure it."""
    command = [sys.executable, "-m", "g2d", "compare", *words, "--out", str(out), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    seconds = perf_counter() - start
    if ended.returncode:
        sys.exit(f"{label} failed:\n{ended.stdout}\n{ended.stderr}")
    return Measured(label, seconds, without_seconds(out / "compare.json"))


def without_seconds(path: Path) -> Any:
    """Return the tables of a comparison without the columns of seconds."""
    tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
    for table in tables:
        kept = [i for i, column in enumerate(table["columns"]) if column["unit"] != "s"]
        table["columns"] = [table["columns"][i] for i in kept]
        for row in table["rows"]:
            row["cells"] = [row["cells"][i] for i in kept]
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--methods", default="joint,ogm_ge,g2d")
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--jobs", default="2")
    parser.add_argument("overrides", nargs="*", help="KEY=VALUE")
    given = parser.parse_args()
    words = [given.recipe, *given.overrides, "--methods", given.methods, "--seeds", given.seeds]
    ways = {"one job": ["--jobs", "1"], f"{given.jobs} jobs": ["--jobs", given.jobs]}
    if importlib.util.find_spec("ray"):
        ways["local Ray"] = ["--ray", "local"]
    print(f"g2d compare {' '.join(words)}, one thread per cell, load {os.getloadavg()[0]:.1f}")
    with TemporaryDirectory() as folder:
        measured = [
            compare(label, [*words, "train.threads=1", *way], Path(folder, str(i)))
            for i, (label, way) in enumerate(ways.items())
        ]
    serial = measured[0]
    print(f"{'':<12} {'seconds':>8} {'ratio':>6}  table")
    for one in measured:
        table = "same" if one.tables == serial.tables else "DIFFERENT"
        print(f"{one.label:<12} {one.seconds:8.1f} {one.seconds / serial.seconds:6.2f}  {table}")
    same = all(one.tables == serial.tables for one in measured)
    slow = measured[1].seconds > MOST * serial.seconds
    if slow:
        print(f"{measured[1].label} needed more than {MOST} of the time.")
    if slow or not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
