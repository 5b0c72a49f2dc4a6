"""Measure what balancing does to information in the interaction of modalities.

The values in docs/guide/when-balancing-helps.md come from

    python benchmarks/interaction.py --out runs/interaction

which prints two tables in Markdown, and with --page writes them into that page: test accuracies
of methods and fusions, and the interaction shares of joint training with a non-additive fusion,
measured on validation rows. Every seed draws other data with another split (digits/random-v1). An
interrupted measurement continues.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from g2d import analysis
from g2d.data import Loader
from g2d.engine.evaluate import evaluate
from g2d.engine.stack import Stack
from g2d.experiment.loading import Run, load
from g2d.experiment.run import run
from g2d.experiment.student import Student
from g2d.files import read_json, write_json, write_text
from g2d.method import Method
from g2d.model import MultimodalModel
from g2d.recipe import Recipe

PROBLEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "sum": ("digits/sum", {}),
    "match": ("digits/match", {}),
    "mix 0": ("digits/mix", {"data.redundant": 0.0}),
    "mix 50": ("digits/mix", {}),
    "mix 75": ("digits/mix", {"data.redundant": 75.0}),
    "mix 100": ("digits/mix", {"data.redundant": 100.0}),
    "memorizer": ("digits", {}),
    "mild": ("digits/mild", {}),
    "lookalike": ("digits/lookalike", {}),
    "balanced": ("digits/balanced", {}),
}
"""Settings of the built-in data, and what they change in a packaged recipe."""
PRESENT = ("sum", "match", "mix 0", "mix 50", "mix 75")
"""Settings with information in the interaction."""
IN_TABLE = ("sum", "match", "mix 50", "memorizer", "lookalike")
"""Settings in the table of methods."""
FUSIONS = ("late", "film", "mlp")
METHODS: dict[str, dict[str, Any]] = {
    "joint": {"method": "joint", "stack": 1},
    "G²D": {"method": "g2d", "controls": True},
    "UMT": {"method": "umt"},
}
"""Runs by name: the stack is that of the joint student and its teachers."""
ENSEMBLE, STACK = "teacher ensemble, calibrated", "stack"
PARTNERS_OF = {"joint": "joint training", "G²D": "G²D", "UMT": "UMT", STACK: "teachers + joint"}
TABLE_SEEDS, SHARE_SEEDS = (10, 11, 12), (20, 21, 22, 23, 24)


def recipe_of(problem: str, seed: int, **changes: Any) -> Recipe:
    """Return the recipe of a problem on data of its own.

    Args:
        problem: A key of :data:`PROBLEMS`.
        seed: Seed of the data, the student and the teachers.
        changes: Further values.
    """
    name, own = PROBLEMS[problem]
    fresh = {"seed": seed, "data.protocol": "random-v1", "data.data_seed": seed}
    return Recipe.load(name).changed({**own, **fresh, **changes})


def share_of(model: MultimodalModel, method: Method, recipe: Recipe) -> analysis.Interaction:
    """Return the interaction share of a trained model on the validation rows."""
    source = recipe.build_source()
    size = recipe.train.eval_batch_size
    pool = analysis.feature_pool(
        model,
        iter(Loader(source, "valid", size).epoch(0)),
        analysis.feature_means(model, iter(Loader(source, "train", size).epoch(0))),
        predict=lambda batch: method.predict(model, batch.inputs, batch.present),
        group=source.groups("valid"),
    )
    return analysis.interaction_share(pool)


def student_score(opened: Run) -> float:
    """Return the test accuracy of the student of a stack, without its teachers."""
    assert isinstance(opened.method, Stack)
    size = opened.recipe.train.eval_batch_size
    student = opened.method.method
    return evaluate(student, opened.model, opened.source, "test", batch_size=size).score


def accuracies(problem: str, fusion: str, seed: int, out: Path) -> Iterator[tuple[str, float]]:
    """Train the methods with a fusion, or open their runs; yield the test accuracy of each row."""
    for name, method in METHODS.items():
        folder = out / "runs" / problem.replace(" ", "-") / fusion / name / f"seed-{seed}"
        choice = dict(method)
        recipe = recipe_of(problem, seed, method=choice.pop("method"), fusion=fusion)
        recipe = recipe.changed({**choice, "teachers.folder": str(out / "teachers")})
        print(folder, flush=True)
        result = run(recipe, folder, progress=False, say=lambda _: None)
        if "stack" in method:
            yield STACK, result.test.fused["accuracy"]
            yield name, student_score(load(folder))
        else:
            yield name, result.test.fused["accuracy"]
        if "ensemble_calibrated" in result.controls:
            yield ENSEMBLE, result.controls["ensemble_calibrated"].test["accuracy"]


def method_table(
    out: Path,
    problems: Sequence[str] = IN_TABLE,
    fusions: Sequence[str] = FUSIONS,
    seeds: Sequence[int] = TABLE_SEEDS,
) -> list[str]:
    """Return the rows of the table of methods, in Markdown.

    Args:
        out: Folder of all runs.
        problems: Settings in columns.
        fusions: Fusions in rows.
        seeds: Seeds of data and runs.
    """
    rows: dict[str, dict[str, list[float]]] = {}
    for problem, seed, fusion in product(problems, seeds, fusions):
        for name, score in accuracies(problem, fusion, seed, out):
            row = name if name == ENSEMBLE else f"{fusion}: {PARTNERS_OF[name]}"
            scores = rows.setdefault(row, {}).setdefault(problem, [])
            if name != ENSEMBLE or fusion == fusions[0]:
                scores.append(100 * score)
    listed = ", ".join(map(str, seeds))
    first = f"accuracy in %, seed{'' if len(seeds) == 1 else 's'} {listed}"
    lines = [f"| {first} | " + " | ".join(problems) + " |", "| --- |" + " ---: |" * len(problems)]
    for row in sorted(rows, key=_place):
        cells = [_spread(rows[row][problem]) for problem in problems]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


def _spread(scores: Sequence[float]) -> str:
    """Return mean and, of several seeds, standard deviation."""
    mean = f"{statistics.fmean(scores):.1f}"
    return mean if len(scores) == 1 else f"{mean} ± {statistics.stdev(scores):.1f}"


def _place(row: str) -> tuple[int, int]:
    """Return the place of a row: the ensemble, then each fusion with its methods."""
    fusion, _, name = row.partition(": ")
    if fusion not in FUSIONS:
        return -1, 0
    return FUSIONS.index(fusion), [*PARTNERS_OF.values()].index(name)


def shares(out: Path) -> Mapping[str, Sequence[Mapping[str, float]]]:
    """Return the interaction share of joint training with ``film``, per problem and seed."""
    measured: dict[str, list[Mapping[str, float]]] = {}
    for problem in PROBLEMS:
        for seed in SHARE_SEEDS:
            path = out / "shares" / f"{problem.replace(' ', '-')}-{seed}.json"
            if not path.is_file():
                print(path, flush=True)
                recipe = recipe_of(problem, seed, method="joint", fusion="film")
                student = Student.build(recipe, recipe.build_source())
                student.train(None)
                kept = share_of(student.model, student.method, recipe)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json(path, {"share": kept.share.value, "z": kept.z, "alarm": kept.alarm})
            measured.setdefault(problem, []).append(read_json(path))
    return measured


def share_table(out: Path) -> list[str]:
    """Return the rows of the table of interaction shares, in Markdown."""
    lines = ["| setting | interaction | share, smallest to largest | found |"]
    lines += ["| --- | --- | ---: | ---: |"]
    for problem, seeds in shares(out).items():
        values, kind = sorted(one["share"] for one in seeds), problem in PRESENT
        lines.append(
            f"| {problem} | {'yes' if kind else 'no'} | {values[0]:.3f} to {values[-1]:.3f} | "
            f"{sum(bool(one['alarm']) for one in seeds)} of {len(seeds)} |"
        )
    return lines


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/interaction"))
    parser.add_argument("--page", type=Path, help="page that gets the tables")
    parser.add_argument("--part", choices=("all", "methods", "shares"), default="all")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=IN_TABLE)
    parser.add_argument("--fusions", nargs="+", choices=FUSIONS, default=FUSIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=TABLE_SEEDS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    methods = partial(
        method_table,
        problems=arguments.problems,
        fusions=arguments.fusions,
        seeds=arguments.seeds,
    )
    for part, measured in (("shares", share_table), ("methods", methods)):
        if arguments.part in ("all", part):
            table = "\n".join(measured(arguments.out))
            print(f"{table}\n", flush=True)
            if arguments.page is not None:
                write_text(arguments.page, _with_table(arguments.page, part, table))


def _with_table(page: Path, part: str, table: str) -> str:
    """Return a page with a table between the marks of its part."""
    before, mark, after = page.read_text(encoding="utf-8").partition(f"<!-- {part} -->\n")
    return f"{before}{mark}\n{table}\n\n<!-- end -->{after.partition('<!-- end -->')[2]}"


if __name__ == "__main__":
    main()
