"""A grid of recipes and seeds, one table per (data, protocol, modalities, task)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.errors import RecipeError, UnsupportedError
from g2d.experiment.folder import write_text
from g2d.experiment.run import Say, run
from g2d.experiment.tables import aligned, spread
from g2d.recipe import Recipe
from g2d.task import task_from_config

Results = Sequence[dict[str, Any]]


def compare(recipes: Sequence[Recipe], *, seeds: int | Sequence[int] = 3, out: str | Path, progress: bool = True, say: Say = print) -> str:
    """Train every recipe under every seed, and put the results side by side.

    Runs that are finished are not repeated, so that an interrupted comparison goes on, and a longer one reuses a shorter.
    Teachers are shared. Where a recipe says ``controls: true``, rows for the best teacher, the teachers' ensemble (raw and
    calibrated) and joint training from the teachers are added.

    Args:
        seeds: how many, from each recipe's own upwards; or which.
        out: the folder of all runs, ``NAME/seed-N`` each.

    Returns:
        the tables, which are also written to ``compare.md``.

    Raises:
        RecipeError: two recipes have the same name.
    """
    out = Path(out)
    recipes = [*recipes, *warm_started(recipes)]
    names = [recipe.name for recipe in recipes]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise RecipeError([f"name must differ between compared recipes, found {', '.join(map(repr, doubled))} twice."], "compare")
    results, skipped = run_grid(recipes, seeds, out, progress=progress, say=say)
    text = "\n\n".join([*tables(results), *skipped])
    write_text(out / "compare.md", text + "\n")
    return text


def run_grid(recipes: Iterable[Recipe], seeds: int | Sequence[int], out: Path, *, progress: bool, say: Say) -> tuple[list[dict[str, Any]], list[str]]:
    """All results, and a sentence for every recipe that is not defined where it was asked for."""
    results, skipped = [], []
    for recipe in recipes:
        first = recipe.train.seed
        for seed in range(first, first + seeds) if isinstance(seeds, int) else seeds:
            seeded = recipe if seed == first else recipe.changed(seed=seed)
            if seeded.teachers.folder is None:
                seeded = seeded.changed(teachers={**seeded.given.get("teachers", {}), "folder": str(out / "teachers")})
            say(f"{recipe.name}, seed {seed}")
            try:
                results.append(run(seeded, out / recipe.name / f"seed-{seed}", progress=progress, say=say))
            except UnsupportedError as error:
                skipped.append(f"{recipe.name} is left out: {error}")
                say(skipped[-1])
                break
    return results, skipped


def warm_started(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The control that is trained: joint training that starts from the teachers, one per problem and budget."""
    found: dict[str, Recipe] = {}
    for recipe in recipes:
        if recipe.controls:
            epochs = recipe.train.epochs or recipe.teachers.train.epochs
            control = recipe.changed(name="joint-warm", method="joint", warm_start=True, epochs=epochs, controls=False)
            found.setdefault(json.dumps({**control.resolved(), "seed": 0}, sort_keys=True), control)
    have = {json.dumps({**recipe.resolved(), "seed": 0, "name": "joint-warm", "controls": False}, sort_keys=True) for recipe in recipes}
    fresh = [control for key, control in found.items() if key not in have]
    return [control if i == 0 else control.changed(name=f"joint-warm-{i + 1}") for i, control in enumerate(fresh)]


def tables(results: Results) -> list[str]:
    """One table per (data hash, protocol, modalities, task): numbers from different data never stand side by side."""
    problems: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        data = result["data"]
        key = json.dumps([data["name"], data["content_hash"], data["protocol_hash"], result["modalities"], result["task"]], sort_keys=True)
        problems.setdefault(key, []).append(result)
    return [table(problem) for problem in problems.values()]


@dataclass(frozen=True)
class Row:
    """A line of a table: what it is called, and one value per seed in each column."""

    name: str
    fused: list[float | None]
    unimodal: dict[str, list[float | None]]
    ratio: dict[str, list[float | None]]


def table(results: Results) -> str:
    """Fused and per-modality test scores and confidence ratios, mean ± standard deviation over seeds."""
    task, modalities, data = task_from_config(results[0]["task"]), results[0]["modalities"], results[0]["data"]
    seeds = sorted({result["seed"] for result in results})
    title = f"{data['name']}, {data['protocol']}: test {task.headline}{' in %' if task.headline == 'accuracy' else ''}, " + (
        f"mean ± standard deviation over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    )
    shown = rows(results)
    ratios = any(values for row in shown for values in row.ratio.values())
    header = ["", "fused", *modalities, *(f"confidence ratio {m}" for m in modalities if ratios)]
    cells = [
        [
            row.name,
            spread(row.fused, task.headline),
            *(spread(row.unimodal.get(m, []), task.headline) for m in modalities),
            *(spread(row.ratio.get(m, []), "confidence ratio") for m in modalities if ratios),
        ]
        for row in shown
    ]
    notes = ["(*) selected on the test split"] if any(result["select_on"] == "test" for result in results) else []
    return "\n".join([title, "", aligned(header, cells), *notes])


def rows(results: Results) -> list[Row]:
    """Teachers first, then every recipe in the order given, then the controls."""
    headline = task_from_config(results[0]["task"]).headline
    modalities = results[0]["modalities"]
    found = []
    taught = _one_per_seed(results, lambda result: result.get("teachers"))
    if taught:
        unimodal = {m: [result["teachers"][m]["test"][headline] for result in taught] for m in modalities}
        found.append(Row("teachers alone", [], unimodal, {m: [1.0] for m in modalities}))
    for name in dict.fromkeys(result["name"] for result in results):
        same = [result for result in results if result["name"] == name]
        marked = name + (" (*)" if same[0]["select_on"] == "test" else "")
        unimodal = {m: [result["test"]["unimodal"].get(m, {}).get(headline) for result in same] for m in modalities}
        ratio = {m: [_ratio(result, taught, m) for result in same] for m in modalities}
        found.append(Row(marked, [result["test"]["fused"][headline] for result in same], unimodal, ratio))
    controlled = _one_per_seed(results, lambda result: result.get("controls"))
    for key, name in (("best_teacher", "best teacher"), ("ensemble", "teacher ensemble"), ("ensemble_calibrated", "teacher ensemble, calibrated")):
        if controlled:
            found.append(Row(name, [result["controls"][key]["test"][headline] for result in controlled], {}, {}))
    return found


def _ratio(result: dict[str, Any], taught: Results, modality: str) -> float | None:
    """The student's mean confidence from a modality over that of its teacher; teachers of the same seed lend theirs to runs without any."""
    teacher = next((other["teachers"][modality] for other in [result, *taught] if other["teacher_seed"] == result["teacher_seed"] and other["teachers"]), None)
    confidence = result["test"]["unimodal"].get(modality, {}).get("confidence")
    return None if teacher is None or confidence is None else confidence / teacher["confidence"]["test"]


def _one_per_seed(results: Results, has: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """The first result of every teacher seed that has something: teachers and controls are the same in all runs of a seed."""
    first: dict[int, dict[str, Any]] = {}
    for result in results:
        if has(result):
            first.setdefault(result["teacher_seed"], result)
    return list(first.values())
