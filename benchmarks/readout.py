"""How far unimodal readouts are from dropping the other modalities, for trained runs: what docs/fusions.md quotes.

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


def rows(run: g2d.experiment.Run) -> Iterator[g2d.Batch]:
    return iter(Loader(run.source, "test", 256).epoch(0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", nargs="*", type=Path, default=sorted(Path("runs/ablations").glob("table5-*/seed-0"))
    )
    folders = parser.parse_args().runs
    if not folders:
        print("no runs given, and none in runs/ablations: train some first (see --help)")
    for folder in folders:
        run = g2d.load(folder)
        errors = readout_error(run.model, rows(run))
        print(
            f"{run.name:<32}"
            + "  ".join(
                f"{m}: {error.relative:5.2f}, {error.agreement:4.0%} agree"
                for m, error in errors.items()
            )
        )


if __name__ == "__main__":
    main()
