"""Run the demonstration on other rows, and print the small table of the README.

For every data seed and setting, ``g2d demo`` runs under several seeds. Numbers are means over the
data seeds of the mean of each, with their standard deviation. An interrupted measurement continues.
``--table`` only prints what is finished.

    python benchmarks/demo.py OUT [--data-seeds 4] [--seeds 3] [--settings NAME ...] [--table]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from g2d.experiment import demonstrate  # noqa: E402
from g2d.experiment.demo import FITTED, facts_of  # noqa: E402
from g2d.experiment.demo_words import DemoFacts, verdict  # noqa: E402
from g2d.runs import find_runs, read_result  # noqa: E402

SETTINGS = ("memorizer", "lookalike", "match")
"""Where balancing helps, where nothing is suppressed, and where it cannot help."""
FINISHED = "demo.md"
"""File that a finished demonstration has."""
ROWS: dict[str, Callable[[DemoFacts], float | None]] = {
    "joint training": lambda facts: facts.joint,
    "G²D by its default ranking": lambda facts: facts.students[0].fused,
    "G²D, ranked as in the paper (`ranking: batch`)": lambda facts: facts.students[1].fused,
    "control: the best teacher alone": lambda facts: facts.controls["best_teacher"],
    "control: the teachers' ensemble, calibrated": lambda f: f.controls["ensemble_calibrated"],
    "control: linear model on pooled inputs": lambda facts: facts.controls["linear"],
    "`g2d fit`, four passes": lambda facts: _fitted(facts),
}
"""Accuracy in percent by the name of a row."""


def _fitted(facts: DemoFacts) -> float | None:
    """Return the test accuracy of what the fit chose, in percent."""
    if facts.fit is None:
        return None
    accuracy = facts.fit.options[facts.fit.chosen].test.get(facts.fit.metric)
    return None if accuracy is None else 100 * accuracy


def place(out: Path, setting: str, data_seed: int) -> Path:
    """Return the folder of one demonstration."""
    return out / setting / f"data-{data_seed}"


def read(folder: Path) -> DemoFacts | None:
    """Return the results of a demonstration, None if it is not finished."""
    if not (folder / FINISHED).is_file():
        return None
    runs, _ = find_runs([folder])
    return facts_of([run.result for run in runs], folder, read_result(folder / FITTED))


def spread(values: Sequence[float | None]) -> str:
    """Return mean and standard deviation of the values that are known.

    Example:
        >>> spread([80.0, 82.0]), spread([None])
        ('81.0 ± 1.4', '-')
    """
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    deviation = statistics.stdev(known) if len(known) > 1 else 0.0
    return f"{statistics.fmean(known):.1f} ± {deviation:.1f}"


def table(out: Path, settings: Sequence[str], data_seeds: int) -> Iterator[str]:
    """Yield the lines of the table, and a line per demonstration with its gain and verdict."""
    known = {
        setting: {
            seed: facts
            for seed in range(data_seeds)
            if (facts := read(place(out, setting, seed))) is not None
        }
        for setting in settings
    }
    counts = [f"{setting} ({len(known[setting])} data seeds)" for setting in settings]
    yield f"| | {' | '.join(counts)} |"
    yield f"| --- |{' ---: |' * len(settings)}"
    for name, value in ROWS.items():
        cells = [spread([value(one) for one in known[setting].values()]) for setting in settings]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    for setting, several in known.items():
        for seed, facts in several.items():
            gain = facts.students[0].fused - facts.joint
            yield f"{setting}, data seed {seed}: G²D - joint {gain:+.1f} points. {verdict(facts)}"


def main() -> None:
    """Run what is not finished, one data seed after the other, and print the table."""
    parser = argparse.ArgumentParser(description="See benchmarks/demo.py.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-seeds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    for seed in range(0 if options.table else options.data_seeds):
        for setting in options.settings:
            folder = place(options.out, setting, seed)
            if not (folder / FINISHED).is_file():
                demonstrate(
                    setting,
                    data_seed=seed,
                    seeds=options.seeds,
                    out=folder,
                    progress=False,
                    say=lambda sentence: None,
                )
                print(*table(options.out, options.settings, options.data_seeds), sep="\n")
                sys.stdout.flush()
    print(*table(options.out, options.settings, options.data_seeds), sep="\n")


if __name__ == "__main__":
    main()
