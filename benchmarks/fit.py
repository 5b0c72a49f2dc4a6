"""Measure ``g2d fit`` on ten problems and on houses, against every model that it could choose.

``g2d fit`` reads the test rows once, for its choice and the controls. This measurement opens them
for every option afterwards, and counts how often the choice is at most one standard error below the
best option: of a problem, the option with the best mean of all seeds; of a single fit, the best one
with its seed. The standard error is the bootstrap one of the best option's score, or the smaller
one of the difference of the two scores on the same rows. The rules of the choice were decided on
other seeds. A seed draws other data of digits (digits/random-v1). Problems with files of their own
are made from development arrays, as the tests do; without ``--packs`` they are left out. An
interrupted measurement continues.

    python benchmarks/fit.py OUT [--packs DIR] [--seeds 10 11 12] [--problems NAME ...] [--table]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rankings import DONE, IN_PACKS, finished, problem

import g2d
from g2d.experiment.console import Console
from g2d.experiment.fitting import members as training
from g2d.experiment.fitting.choice import MeasuredRows, standard_error
from g2d.files import read_json, write_json
from g2d.functional.calibration import fit_head_weights
from g2d.recipe import Recipe
from g2d.runs import read_plan

BUILT_IN: dict[str, tuple[str, dict[str, Any]]] = {
    "memorizer": ("digits", {}),
    "mild": ("digits/mild", {}),
    "trio": ("digits/trio", {}),
    "lookalike": ("digits/lookalike", {}),
    "match": ("digits/match", {}),
    "mix 50": ("digits/mix", {}),
}
"""Per problem that needs no files, a packaged recipe and changes."""
PROBLEMS = (*BUILT_IN, "avdigits", "grid_av", "mmmo", "mosi", "houses")
"""All problems; the last one is a regression and is not counted."""
COUNTED = PROBLEMS[:-1]
ERRORS = ("of its score", "of the difference")
"""Standard errors that a choice may be below the best option."""
Results = Mapping[str, Any]
"""Scores of a problem and seed."""
LARGE = 3.0
"""Points that a choice must never be below a control."""


def recipe_of(name: str, seed: int, out: Path, packs: Path | None) -> Recipe | None:
    """Return the recipe of a problem and seed; None if its files are missing.

    Args:
        name: The problem.
        seed: Seed of the training and, for digits, of the data.
        out: Folder of the measurement.
        packs: Folder of the packs.
    """
    if name in IN_PACKS:
        packed = problem(name, out, packs)
        return packed and packed.changed({"seed": seed, "teachers.folder": None})
    source, changes = BUILT_IN[name]
    fresh = {"data.protocol": "random-v1", "data.data_seed": seed}
    return Recipe.load(source).changed({**changes, **fresh, "seed": seed})


def measure(recipe: Recipe, folder: Path, budget: str) -> None:
    """Fit a problem, then score every option on the test rows.

    Args:
        recipe: The problem.
        folder: Folder of the fit.
        budget: Budget of the fit.
    """
    if (folder / DONE).is_file():
        return
    run = g2d.fit(recipe, out=folder, budget=budget, progress=False, say=lambda line: None)
    assert run.result is not None
    facts = run.result.fit
    assert facts is not None
    plan, source = read_plan(folder / "plan.json"), run.source
    base = Recipe.from_mapping(plan.recipe)
    names, silent = {one.name for one in facts.members}, Console(lambda line: None, False)
    members = [
        training.train(one, base, source, folder, silent)
        for one in plan.members
        if one.name in names
    ]
    outputs = {
        split: {one.name: training.outputs(one, source, split) for one in members}
        for split in ("valid", "test")
    }
    valid = torch.from_numpy(source.target[source.rows("valid")])
    group = np.unique(source.groups("test"), return_inverse=True)[1]
    target = torch.from_numpy(source.target[source.rows("test")])
    rows = MeasuredRows(target, group, source.task, facts.metric)
    scores, drawn = [], []
    for option in facts.options:
        logits = {
            split: [head.logits for name in option.members for head in own[name].heads]
            for split, own in outputs.items()
        }
        nll = source.task.negative_log_likelihood
        weights = fit_head_weights(logits["valid"], valid, nll)
        fused = sum(a * head for a, head in zip(weights, logits["test"], strict=True))
        assert isinstance(fused, torch.Tensor)
        scores.append(rows.score(fused))
        drawn.append(rows.scores_drawn(fused))
    plain = next(one for one in members if one.name == "joint")
    names_of = [one.name for one in facts.options]
    chosen = facts.chosen
    write_json(
        folder / DONE,
        {
            "chosen": names_of[chosen],
            "score": scores[chosen],
            "ensemble": scores[facts.ensemble],
            "joint": rows.score(outputs["test"][plain.name].plain),
            "options": dict(zip(names_of, scores, strict=True)),
            "errors": {
                "of its score": {
                    name: float(np.nanstd(one)) for name, one in zip(names_of, drawn, strict=True)
                },
                "of the difference": {
                    name: standard_error(one, drawn[chosen])
                    for name, one in zip(names_of, drawn, strict=True)
                },
            },
            "validation": {one.name: one.score for one in facts.options},
            "passes": facts.passes,
            "per_prediction": facts.options[chosen].passes,
            "seconds": facts.seconds,
            "interaction": facts.interaction and facts.interaction.state,
            "unstable": facts.unstable is not None,
        },
    )


def table(out: Path) -> str:
    """Return the table of all finished seeds, and the counts, in Markdown.

    Args:
        out: Folder of the measurement.
    """
    head = ("seeds", "teachers, calibrated", "joint", "`fit`", "best option", "", "single fits")
    lines = [f"| problem | {' | '.join((*head, 'per prediction', 'passes', 'seconds'))} |"]
    lines.append("| --- |" + " ---: |" * (len(head) + 3))
    done = {name: results for name in PROBLEMS if (results := finished(out, name))}
    lines += [_line(name, results) for name, results in done.items()]
    return "\n".join([*lines, "", *_counts({m: done[m] for m in COUNTED if m in done})])


def _line(name: str, results: Sequence[Results]) -> str:
    def mean(key: str, factor: float = 100.0) -> str:
        return f"{factor * _mean(one[key] for one in results):.1f}"

    best = _best(results)
    good = sum(_is_good([one], ERRORS[0]) for one in results)
    cells = [len(results), mean("ensemble"), mean("joint"), mean("score")]
    cells += [f"{100 * _mean(one['options'][best] for one in results):.1f}", best]
    cells += [f"{good} of {len(results)}", mean("per_prediction", 1), mean("passes", 1)]
    seconds = statistics.median(float(one["seconds"]) for one in results)
    return f"| {name} | {' | '.join(map(str, [*cells, round(seconds)]))} |"


def _mean(values: Iterable[Any]) -> float:
    return statistics.fmean(map(float, values))


def _best(results: Sequence[Results]) -> str:
    """Return the option with the best mean score of some seeds."""
    common: list[str] = [
        name for name in results[0]["options"] if all(name in one["options"] for one in results)
    ]
    return max(common, key=lambda name: _mean(one["options"][name] for one in results))


def _is_good(results: Sequence[Results], error: str, *, fixed: bool = True) -> bool:
    """Return whether the choices are on average at most one standard error below the best option.

    Args:
        results: Scores of some seeds.
        error: Which standard error.
        fixed: Compare with one option, the best on average, or else with the best of every seed.
    """
    best = [_best(results if fixed else [one]) for one in results]
    pairs = list(zip(results, best, strict=True))
    below = _mean(one["options"][name] - one["score"] for one, name in pairs)
    return below <= _mean(one["errors"][error][name] for one, name in pairs)


def _counts(done: Mapping[str, Sequence[Results]]) -> Iterator[str]:
    """Yield sentences about all problems together."""
    seeds = [one for results in done.values() for one in results]
    for error in ERRORS:
        problems = sum(_is_good(results, error) for results in done.values())
        varying = sum(_is_good(results, error, fixed=False) for results in done.values())
        single = sum(_is_good([one], error) for one in seeds)
        yield (
            f"At most one standard error ({error}) below the best option: {problems} of "
            f"{len(done)} problems ({varying} if another option may be the best with every seed), "
            f"{single} of {len(seeds)} single fits."
        )
    worst = max((max(one["ensemble"], one["joint"]) - one["score"] for one in seeds), default=0.0)
    yield (
        f"Largest distance below the calibrated teachers or joint training: {100 * worst:.1f} "
        f"points (allowed: {LARGE:.0f})."
    )


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--packs", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--budget", default="normal")
    parser.add_argument("--table", action="store_true", help="only print the table")
    given = parser.parse_args()
    for seed in () if given.table else given.seeds:
        for name in given.problems:
            recipe = recipe_of(name, seed, given.out, given.packs)
            if recipe is None:
                print(f"{name} is left out: its files are missing")
                continue
            folder = given.out / "runs" / f"seed-{seed}" / name
            measure(recipe, folder, given.budget)
            print(name, seed, read_json(folder / DONE), flush=True)
    print(table(given.out))


if __name__ == "__main__":
    main()
