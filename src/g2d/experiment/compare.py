"""A grid of recipes and seeds, one table per (data, protocol, modalities, task), and one page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from g2d.errors import RecipeError, UnsupportedError
from g2d.experiment.run import Say, run
from g2d.files import write_text
from g2d.recipe.recipe import Recipe, check_names
from g2d.report.page import write_page
from g2d.report.paper import build
from g2d.report.tables import FORMATS
from g2d.runs import PAGE, RunRecord

WIDTH = 150
"""Characters: wider tables are broken between groups of columns where they are printed."""
WARM = "joint-warm"
"""The variant that is added as a control, and the name of its row."""
FILES = {
    "markdown": "compare.md",
    "csv": "compare.csv",
    "latex": "compare.tex",
    "json": "compare.json",
}


def compare(
    recipes: Sequence[Recipe],
    *,
    seeds: int | Sequence[int] = 3,
    out: str | Path,
    baseline: str | None = None,
    controls: bool = True,
    progress: bool = True,
    say: Say = print,
) -> str:
    """Train every recipe under every seed, and put the results side by side.

    Runs that are finished are not repeated, so that an interrupted comparison goes on, and a longer one reuses a shorter.
    Teachers are shared. Rows for the best teacher, the teachers' ensemble (raw and calibrated) and joint training from the teachers
    are added for every problem: they cost little, and a gain that they reach too is none.

    Args:
        seeds: how many, from each recipe's own upwards; or which.
        out: the folder of all runs, ``NAME/seed-N`` each.
        controls: False leaves the controls to the recipes that ask for them (``controls: true``).
        baseline: the name of the recipe that others are compared with; by default plain joint training, where it is among them.

    Returns:
        the tables as text. ``out`` also gets them as Markdown, CSV, LaTeX and JSON, and ``report.html``.

    Raises:
        RecipeError: two recipes have the same name, or the baseline is none of them.
    """
    out = Path(out)
    recipes = controlled(recipes) if controls else list(recipes)
    recipes = [*recipes, *warm_started(recipes)]
    names = [recipe.name for recipe in recipes]
    check_names(recipes, "compare")
    if baseline is not None and baseline not in names:
        raise RecipeError(
            [
                f"--baseline must be the name of a compared recipe ({', '.join(names)}), found {baseline!r}."
            ],
            "compare",
        )
    runs, skipped = run_grid(recipes, seeds, out, progress=progress, say=say)
    if not runs:
        return "\n".join(skipped)
    tables = build(runs, baseline=baseline)
    for form, name in FILES.items():
        write_text(out / name, FORMATS[form](tables))
    write_page(out / PAGE, runs, baseline=baseline)
    return "\n\n".join([*(table.text(WIDTH) for table in tables), *skipped, f"Page: {out / PAGE}"])


def run_grid(
    recipes: Iterable[Recipe], seeds: int | Sequence[int], out: Path, *, progress: bool, say: Say
) -> tuple[list[RunRecord], list[str]]:
    """All finished runs, and a sentence for every recipe that is not defined where it was asked for."""
    runs, skipped = [], []
    for recipe in recipes:
        first = recipe.train.seed
        for seed in range(first, first + seeds) if isinstance(seeds, int) else seeds:
            seeded = recipe if seed == first else recipe.changed(seed=seed)
            if seeded.teachers.folder is None:
                seeded = seeded.changed({"teachers.folder": str(out / "teachers")})
            say(f"{recipe.name}, seed {seed}")
            try:
                folder = out / recipe.name / f"seed-{seed}"
                runs.append(RunRecord(folder, run(seeded, folder, progress=progress, say=say)))
            except UnsupportedError as error:
                skipped.append(f"{recipe.name} is left out: {error}")
                say(skipped[-1])
                break
    return runs, skipped


def controlled(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The same recipes, of which one per problem asks for the controls: one that has teachers anyway, or else the first."""
    problems: dict[str, list[int]] = {}
    for i, recipe in enumerate(recipes):
        problems.setdefault(json.dumps(recipe.data.plain(), sort_keys=True), []).append(i)
    found = list(recipes)
    for places in problems.values():
        if not any(recipes[i].controls for i in places):
            chosen = next((i for i in places if recipes[i].needs_teachers), places[0])
            found[chosen] = recipes[chosen].changed(controls=True)
    return found


def warm_started(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The control that is trained: joint training that starts from the teachers, one per problem and budget."""
    found: dict[str, Recipe] = {}
    for recipe in recipes:
        if recipe.controls:
            epochs = recipe.train.epochs or recipe.teachers.train.epochs
            control = recipe.changed(name=WARM, method=WARM, epochs=epochs, controls=False)
            found.setdefault(json.dumps({**control.resolved(), "seed": 0}, sort_keys=True), control)
    have = {
        json.dumps(
            {**recipe.resolved(), "seed": 0, "name": WARM, "controls": False},
            sort_keys=True,
        )
        for recipe in recipes
    }
    fresh = [control for key, control in found.items() if key not in have]
    return [
        control if i == 0 else control.changed(name=f"{WARM}-{i + 1}")
        for i, control in enumerate(fresh)
    ]
