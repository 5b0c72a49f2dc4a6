"""Compare the rankings of G²D on problems with signal, paired with joint training by seed.

Every problem is its packaged recipe, most of them small ones. The teachers of a problem and seed
are trained once and shared. Rankings that give the same order for the whole run share one run.
Problems with files of their own are made from development arrays, as the tests do; without
``--packs`` they are left out. An interrupted measurement continues. ``--table`` only prints.

    python benchmarks/rankings.py OUT [--packs DIR] [--seeds 5] [--problems NAME ...] [--table]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from g2d.data import Loader, Source  # noqa: E402
from g2d.datasets.arrays.reader import ArraysOptions, plan_arrays  # noqa: E402
from g2d.datasets.houses.reader import TASK  # noqa: E402
from g2d.engine.evaluate import evaluate  # noqa: E402
from g2d.experiment.console import Console  # noqa: E402
from g2d.experiment.student import Student  # noqa: E402
from g2d.experiment.teachers import TeacherSet, teacher_sets  # noqa: E402
from g2d.files import read_json, write_json  # noqa: E402
from g2d.method import rank  # noqa: E402
from g2d.method.orders import REVERSED  # noqa: E402
from g2d.model import Teachers  # noqa: E402
from g2d.prepare import prepare  # noqa: E402
from g2d.recipe import Recipe  # noqa: E402
from g2d.runs import TEACHERS  # noqa: E402

BUILT_IN: dict[str, tuple[str, dict[str, Any]]] = {
    "memorizer": ("digits", {}),
    "mild": ("digits/mild", {}),
    "lookalike": ("digits/lookalike", {}),
    "trio": ("digits/trio", {}),
    "small": ("digits/small", {}),
    "balanced": ("digits/balanced", {}),
    "dead": ("digits/dead", {}),
    "regression": ("digits/regression", {}),
}
"""Per problem that needs no files, a packaged recipe and changes."""
IN_PACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "houses": ("houses/small", {}),
    "mmmo": ("mmmo/small", {}),
    "mosi": ("mosi/small", {"data.modalities": ["audio", "text"]}),
    "avdigits": ("av_mnist/canvas_small", {}),
    "grid_av": ("grid_av/small", {}),
}
"""The same of problems whose arrays are in packs."""
TASKS: dict[str, dict[str, Any]] = {"houses": TASK}
"""Tasks that arrays cannot describe: the price of a house is on a logarithmic scale."""
ONCE = ("memorization", "memorization-reversed", "dataset", "validation", "random")
"""Rankings that give one order for the whole run."""
DURING = ("batch", "batch-reversed", "lag", "lag-reversed")
"""Rankings that change during a run."""
JOINT = "joint"
COLUMNS = (
    *("memorization", "batch", "lag", "dataset", "validation", "random"),
    *(f"{name}{REVERSED}" for name in ("memorization", "batch", "lag")),
)
"""Rankings, as the columns of the table."""
DONE = "scores.json"
"""File of the scores of a problem and seed, in percent."""


def problem(name: str, out: Path, packs: Path | None) -> Recipe | None:
    """Return the recipe of a problem; None if its files are missing.

    Args:
        name: Name of the problem.
        out: Folder of the measurement; it gets the files of problems from packs.
        packs: Folder of the packs.
    """
    source, changes = (BUILT_IN | IN_PACKS)[name]
    if name in IN_PACKS:
        data = out / "data"
        if packs is not None:
            _write_files(name, data, packs)
        if not (data / name).exists():
            return None
        changes = changes | {"data.root": str(data)}
        if name != "avdigits":
            changes["data.store"] = name
    recipe = Recipe.load(source)
    if "data.modalities" in changes:
        dropped = set(recipe.modalities) - set(changes["data.modalities"])
        changes = {**changes, **{f"encoders.{m}": None for m in dropped}}
    return recipe.changed({**changes, "controls": False, "teachers.folder": str(out / TEACHERS)})


def _write_files(name: str, data: Path, packs: Path) -> None:
    """Write the store of a problem, or the public files, from its pack."""
    from support import packs as support
    from support.raw_av_mnist import write_raw_parts

    if (data / name).exists():
        return
    support.PACKS = packs
    if name == "avdigits":
        write_raw_parts(packs / "avdigits-raw", data / name)
        return
    table, options = support.ARRAYS[name]()
    data.mkdir(parents=True, exist_ok=True)
    np.savez(data / f"{name}.npz", **table)
    plan = plan_arrays(data / f"{name}.npz", ArraysOptions.model_validate(options))
    prepare(replace(plan, task=TASKS.get(name, plan.task)), data, data / name)


def measure(recipe: Recipe, source: Source, folder: Path) -> None:
    """Train joint training and G²D under every ranking, with the seed of a recipe.

    Args:
        recipe: The problem.
        source: Its data.
        folder: Folder of the results.
    """
    if (folder / DONE).is_file():
        return
    main = recipe.changed({"method": "g2d", "method.ranking": "batch", "controls": False})
    (one,) = teacher_sets(Student.build(main, source), folder, Console(_silent, False, ()))

    def score(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        path = folder / f"{name}.json"
        if not path.is_file():
            write_json(path, _trained(main.changed({**changes, "controls": False}), one, source))
            print(folder.parent.name, folder.name, name, read_json(path), flush=True)
        content: dict[str, Any] = read_json(path)
        return content

    scores = {JOINT: score(JOINT, {"method": JOINT})}
    scores |= {by: score(by, {"method.ranking": by}) for by in DURING}
    timed_alike = [scores[by] for by in DURING if "batch" in by]  # the lag ends its turns itself
    constant = {tuple(one["order"]): one for one in timed_alike if one["order"]}
    for by in ONCE:
        order = _order(by, one.teachers, source, recipe.train.seed)
        if order not in constant:
            constant[order] = score("+".join(order), {"method.ranking": list(order)})
        scores[by] = constant[order]
    write_json(folder / DONE, {name: 100 * one["test"] for name, one in scores.items()})


def _trained(recipe: Recipe, teachers: TeacherSet, source: Source) -> dict[str, Any]:
    """Return the test score of a recipe, the seconds of its training, and its constant order."""
    student = Student.build(recipe, source)
    fitted = student.train(teachers.teachers if recipe.needs_teachers else None)
    test = evaluate(student.method, student.model, source, "test").score
    order = _constant_order([epoch["train"] for epoch in fitted.history], source.modalities)
    return {"test": test, "seconds": round(fitted.seconds, 1), "order": order}


def _constant_order(epochs: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[str]:
    """Return the order in which modalities learned alone; empty if updates of an epoch differ.

    A run whose order never changes is the run of that explicit order.
    """
    order: list[str] = []
    for epoch in epochs:
        kappa = {m: epoch.get(f"kappa/{m}", 1.0) for m in names}
        if set(kappa.values()) - {0.0, 1.0}:
            return []
        learning = [m for m in names if kappa[m]]
        if len(learning) == 1 and learning[0] not in order:
            order += learning
    return [*order, *(m for m in names if m not in order)] if len(order) == len(names) - 1 else []


def _order(by: Any, teachers: Teachers, source: Source, seed: int) -> tuple[str, ...]:
    train, valid = (Loader(source, split, 512, seed=seed).epoch(1) for split in ("train", "valid"))
    return rank(teachers, train, valid, by=by, task=source.task, seed=seed)


def _silent(_sentence: str) -> None:
    pass


def finished(out: Path, name: str) -> list[dict[str, Any]]:
    """Return the scores of every finished seed of a problem.

    Args:
        out: Folder of the measurement.
        name: The problem.
    """
    return [read_json(path) for path in sorted((out / "runs").glob(f"*/{name}/{DONE}"))]


def table(out: Path) -> str:
    """Return the table of all finished seeds, in Markdown.

    Args:
        out: Folder of the measurement.
    """
    lines = [
        "| problem | seeds | joint | " + " | ".join(COLUMNS) + " |",
        "| --- | --- | --- |" + " --- |" * len(COLUMNS),
    ]
    means: dict[str, list[float]] = {by: [] for by in COLUMNS}
    worst: dict[str, list[str]] = {by: [] for by in COLUMNS}
    below: dict[str, list[str]] = {by: [] for by in COLUMNS}
    for name in BUILT_IN | IN_PACKS:
        seeds = finished(out, name)
        if len(seeds) < 2:
            continue
        cells = [_spread([one[JOINT] for one in seeds])]
        for by in COLUMNS:
            gain, error = _mean([one[by] - one[JOINT] for one in seeds])
            cells.append(f"{gain:+.1f} ({error:.1f})")
            means[by].append(gain)
            if _is_worst(by, seeds):
                worst[by].append(name)
            if gain < -2 * error:
                below[by].append(name)
        lines.append(f"| {name} | {len(seeds)} | " + " | ".join(cells) + " |")
    for title, row in (
        ("mean", [f"{statistics.fmean(v):+.1f}" if v else "" for v in means.values()]),
        ("smallest", [f"{min(v):+.1f}" if v else "" for v in means.values()]),
        ("clearly below joint", [str(len(v)) for v in below.values()]),
        ("clearly worst", [", ".join(v) or "0" for v in worst.values()]),
    ):
        lines.append(f"| {title} | | | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _is_worst(by: str, seeds: Sequence[Mapping[str, float]]) -> bool:
    """Return whether a ranking is more than two standard errors below the best one."""
    best = max(COLUMNS, key=lambda other: statistics.fmean(one[other] for one in seeds))
    gap, error = _mean([one[by] - one[best] for one in seeds])
    lowest = min(statistics.fmean(one[other] for one in seeds) for other in COLUMNS)
    is_lowest = statistics.fmean(one[by] for one in seeds) <= lowest + 1e-9
    return is_lowest and gap < -2 * error and gap < -1


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--packs", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problems", nargs="*", default=[*BUILT_IN, *IN_PACKS])
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    problems = (
        [] if given.table else [(n, problem(n, given.out, given.packs)) for n in given.problems]
    )
    data = {name: recipe.build_source() for name, recipe in problems if recipe is not None}
    for seed in range(given.seeds):  # a partial table has all problems
        for name, recipe in problems:
            if recipe is not None:
                folder = given.out / "runs" / f"seed-{seed}" / name
                measure(recipe.changed(seed=seed), data[name], folder)
    print(table(given.out))


if __name__ == "__main__":
    main()
