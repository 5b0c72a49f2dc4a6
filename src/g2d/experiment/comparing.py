"""A comparison: recipes under several seeds, a table per problem, and one page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from g2d.errors import ArgumentError, RecipeError, UnsupportedError
from g2d.experiment.console import Say
from g2d.experiment.owning import owning
from g2d.experiment.run import run
from g2d.experiment.training import RecipeLike, as_recipe, check_names, method_choices
from g2d.files import choice_fault, write_text
from g2d.paper import build
from g2d.recipe import Recipe
from g2d.report import FORMATS, Table, groups_of, write_page
from g2d.runs import PAGE, TEACHERS, RunRecord

SUFFIXES = {"markdown": "md", "csv": "csv", "latex": "tex", "json": "json"}
"""Forms of the tables, and the suffix of the file ``compare`` in each of them."""
WARM = "joint-warm"
"""The variant that is a trained control: joint training that starts from the teachers."""


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare`; prints as its tables.

    Args:
        tables: One table per data set, protocol, modalities and task.
        runs: The finished runs.
        skipped: A message for every recipe whose method does not support its task.
        page: The HTML page; None if no run finished.
    """

    tables: Sequence[Table]
    runs: Sequence[RunRecord]
    skipped: Sequence[str]
    page: Path | None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of all tables as plain values, as in ``compare.json``."""
        tables: list[dict[str, Any]] = json.loads(FORMATS["json"](self.tables))["tables"]
        return [row for table in tables for row in table["rows"]]

    def __str__(self) -> str:
        page = [] if self.page is None else [f"Page: {self.page}"]
        return "\n\n".join([*(table.text() for table in self.tables), *self.skipped, *page])

    def __repr__(self) -> str:
        seeds = len({run.seed for run in self.runs})
        names = list(dict.fromkeys(run.name for run in self.runs))
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        return f"Comparison of {', '.join(names[:10])}{more} under {seeds} seeds; print() shows it"


def compare(
    recipes: RecipeLike | Sequence[RecipeLike],
    *,
    methods: str | Iterable[str] = (),
    seeds: int | Sequence[int] = 3,
    out: str | Path = "runs/compare",
    baseline: str | None = None,
    controls: bool = True,
    progress: bool = True,
    say: Say = print,
    **overrides: Any,
) -> Comparison:
    """Train every recipe under every seed and put the results next to each other.

    Finished runs are not repeated: an interrupted comparison continues, and a longer one uses the
    runs of a shorter one. All recipes share their teachers. Every problem gets controls: the best
    teacher, the ensemble of the teachers (raw and calibrated), and joint training that starts from
    the teachers. They are cheap; a method that does not beat them has gained nothing.

    Args:
        recipes: A recipe or several, each in one of the forms that :func:`g2d.train` takes.
        methods: Methods or variants to run on every recipe, instead of its own method; one name,
            several names, or a text of names separated by commas.
        seeds: Their number, counted from the seed of each recipe; or the seeds themselves.
        out: Folder of all runs, ``NAME/seed-N`` each. It also gets the tables as Markdown, CSV,
            LaTeX and JSON, and ``report.html``.
        baseline: Name of the recipe that the others are compared with; None is plain joint
            training, if it is among them.
        controls: False leaves the controls to the recipes with ``controls: true``.
        progress: Show a progress line per training.
        say: Receives messages for the user.
        overrides: Values for all recipes, as in :func:`g2d.train`.

    Raises:
        ArgumentError: There is no recipe or no seed.
        RecipeError: A recipe has faults, two have the same name, or the baseline is none of them.
        RunError: Another command writes to the folder.

    Example:
        >>> result = g2d.compare("digits", methods=["joint", "g2d"], seeds=5)  # doctest: +SKIP
        >>> print(result)  # doctest: +SKIP
    """
    out = Path(out)
    single = isinstance(recipes, Recipe | str | Path | Mapping)
    several = cast("Sequence[RecipeLike]", [recipes] if single else recipes)
    if not several or seeds in (0, []):
        raise ArgumentError(
            f"a comparison must have recipes and seeds, found {len(several)} recipes and {seeds} "
            "seeds."
        )
    names = methods.replace(" ", "").split(",") if isinstance(methods, str) else methods
    choices = method_choices(names, len(several))
    chosen = [as_recipe(one, {**choice, **overrides}) for one in several for choice in choices]
    grid = controlled(chosen) if controls else chosen
    grid = [*grid, *warm_started(grid)]
    check_names(grid, "compare")
    compared = [recipe.name for recipe in grid]
    if baseline is not None and baseline not in compared:
        raise RecipeError([choice_fault("baseline", baseline, compared)], "compare")
    with owning(out, say):
        runs, skipped = run_grid(grid, seeds, out, progress=progress, say=say)
        if not runs:
            return Comparison([], [], skipped, None)
        groups = groups_of(runs)
        tables = build(groups, baseline=baseline)
        for form, suffix in SUFFIXES.items():
            write_text(out / f"compare.{suffix}", FORMATS[form](tables))
        write_page(out / PAGE, groups, baseline=baseline, tables=tables)
    return Comparison(tables, runs, skipped, out / PAGE)


def run_grid(
    recipes: Iterable[Recipe], seeds: int | Sequence[int], out: Path, *, progress: bool, say: Say
) -> tuple[list[RunRecord], list[str]]:
    """Train every recipe under every seed.

    Args:
        recipes: Their names differ.
        seeds: Their number, counted from the seed of each recipe; or the seeds themselves.
        out: Folder of all runs and their teachers.
        progress: Show a progress line per training.
        say: Receives messages for the user.

    Returns:
        The finished runs, and a message for every recipe whose method does not support its task.
    """
    runs, skipped = [], []
    for recipe in recipes:
        try:
            for seeded in _seeded(recipe, seeds, out):
                seed = seeded.train.seed
                say(f"{recipe.name}, seed {seed}")
                folder = out / recipe.name / f"seed-{seed}"
                runs.append(
                    RunRecord(folder, run(seeded, folder, progress=progress, say=say, wait=True))
                )
        except UnsupportedError as error:
            skipped.append(f"{recipe.name} is left out: {error}")
            say(skipped[-1])
    return runs, skipped


def _seeded(recipe: Recipe, seeds: int | Sequence[int], out: Path) -> Iterator[Recipe]:
    first = recipe.train.seed
    for seed in range(first, first + seeds) if isinstance(seeds, int) else seeds:
        changes: dict[str, Any] = {} if seed == first else {"seed": seed}
        if recipe.teachers.folder is None:
            changes["teachers.folder"] = str(out / TEACHERS)
        yield recipe.changed(changes)


def controlled(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Return the recipes, with controls for one of them per problem.

    It is the first one with teachers, or else the first one; problems with controls keep theirs.
    """
    problems: dict[str, list[int]] = {}
    for i, recipe in enumerate(recipes):
        problems.setdefault(json.dumps(recipe.data.plain(), sort_keys=True), []).append(i)
    changed = list(recipes)
    for places in problems.values():
        if not any(recipes[i].controls for i in places):
            chosen = next((i for i in places if recipes[i].needs_teachers), places[0])
            changed[chosen] = recipes[chosen].changed(controls=True)
    return changed


def warm_started(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Return joint training from the teachers, one per problem and budget that has controls.

    A control that is among the recipes already is left out.
    """
    existing = {_essence(recipe) for recipe in recipes}
    added: dict[str, Recipe] = {}
    for recipe in recipes:
        if recipe.controls:
            epochs = recipe.train.epochs or recipe.teachers.train.epochs
            control = recipe.changed(name=WARM, method=WARM, epochs=epochs, controls=False)
            added.setdefault(_essence(control), control)
    new = [control for essence, control in added.items() if essence not in existing]
    return new[:1] + [control.changed(name=f"{WARM}-{i}") for i, control in enumerate(new[1:], 2)]


def _essence(recipe: Recipe) -> str:
    """Return a recipe without its name, seed and controls, to recognize equal ones."""
    resolved = recipe.resolved() | {"name": WARM, "seed": 0, "controls": False}
    return json.dumps(resolved, sort_keys=True)
