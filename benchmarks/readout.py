"""Measure how far unimodal readouts are from dropping the other modalities, on trained runs.

The values in docs/fusions.md come from:

g2d compare digits --methods joint,g2d fusion=film --seeds 2 --out runs/table5/film
python benchmarks/readout.py runs/table5/film/*/seed-0
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import g2d
from g2d.analysis import readout_error
from g2d.data import Loader

DEFAULT = "runs/table5/*/*/seed-0"
"""Runs that are measured if none is given."""


def rows(run: g2d.Run) -> Iterator[g2d.Batch]:
    """Return the test batches of a run."""
    return iter(Loader(run.source, "test", 256).epoch(0))


def main() -> None:
    """Print one line per run: the error of every modality's readout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, default=sorted(Path().glob(DEFAULT)))
    folders = parser.parse_args().runs
    if not folders:
        parser.error(f"no runs given, and none in {DEFAULT}: train some first (see --help)")
    for folder in folders:
        run = g2d.load(folder)
        errors = readout_error(run.model, rows(run))
        texts = [f"{m}: {e.relative:5.2f}, {e.agreement:4.0%} agree" for m, e in errors.items()]
        print(f"{run.name:<32}{'  '.join(texts)}")


if __name__ == "__main__":
    main()
