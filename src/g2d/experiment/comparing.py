"""A comparison: recipes under several seeds, a table per problem, and one page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from g2d.errors import ArgumentError, RecipeError
from g2d.experiment.cells import Failure, failures_in_words
from g2d.experiment.console import Say
from g2d.experiment.grids import RUNS, GridCell, grid_cells, run_grid
from g2d.experiment.launching import Launch
from g2d.experiment.owning import owning
from g2d.experiment.training import RecipeLike, as_recipe, check_names, method_choices
from g2d.files import choice_fault, one_of, write_text
from g2d.fusion import FUSIONS
from g2d.paper import build
from g2d.recipe import Recipe
from g2d.recipe.variants import VARIANTS
from g2d.report import FORMATS, Table, groups_of, write_page
from g2d.runs import PAGE, RunRecord

SUFFIXES = {"markdown": "md", "csv": "csv", "latex": "tex", "json": "json"}
"""Forms of the tables, and the suffix of the file ``compare`` in each of them."""
WARM = "joint-warm"
"""The variant that is a trained control: joint training that starts from the teachers."""
LONGER = "joint-2x"
"""Joint training of twice as many epochs: as many passes as a student and its teachers need."""
PAIR = "joint-pair"
"""The variant with two joint models, calibrated: as many passes, and no longer training."""
TOGETHER = "film"
"""The fusion of a control that can represent an interaction of modalities."""
Controls = Literal["none", "cheap", "full"]
"""Controls of a comparison, see :func:`compare`."""
CONTROLS: tuple[str, ...] = get_args(Controls)
_ASKED: dict[Any, str] = {True: "cheap", False: "none"}


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare`; prints as its tables.

    Args:
        tables: One table per data set, protocol, modalities and task.
        runs: The finished runs.
        skipped: A message for every recipe whose method does not support its task.
        page: The HTML page; None if no run finished, or if a share of the runs was carried out.
        failures: Why other runs are not finished.
    """

    tables: Sequence[Table]
    runs: Sequence[RunRecord]
    skipped: Sequence[str]
    page: Path | None
    failures: Sequence[Failure] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of all tables as plain values, as in ``compare.json``."""
        tables: list[dict[str, Any]] = json.loads(FORMATS["json"](self.tables))["tables"]
        return [row for table in tables for row in table["rows"]]

    def __str__(self) -> str:
        page = [] if self.page is None else [f"Page: {self.page}"]
        faults = [failures_in_words(self.failures, RUNS)] if self.failures else []
        tables = [table.text() for table in self.tables]
        return "\n\n".join([*tables, *self.skipped, *faults, *page])

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
    controls: Controls | bool = "cheap",
    jobs: int = 1,
    shard: str | None = None,
    ray: str | None = None,
    oversubscribe: bool = False,
    progress: bool = True,
    say: Say = print,
    **overrides: Any,
) -> Comparison:
    """Train every recipe under every seed and put the results next to each other.

    Finished runs are not repeated: an interrupted comparison continues, and a longer one uses the
    runs of a shorter one. A run that fails is reported, and the rest is finished. All recipes
    share their teachers. Every problem gets controls; a method that does not beat them has gained
    nothing.

    Args:
        recipes: A recipe or several, each in one of the forms that :func:`g2d.train` takes.
        methods: Methods or variants to run on every recipe, instead of its own method; one name,
            several names, or a text of names separated by commas.
        seeds: Their number, counted from the seed of each recipe; or the seeds themselves.
        out: Folder of all runs, ``NAME/seed-N`` each. It also gets the tables as Markdown, CSV,
            LaTeX and JSON, and ``report.html``.
        baseline: Name of the recipe that the others are compared with; None is plain joint
            training, if it is among them.
        controls: Rows that every method must beat.

            - ``"cheap"``, the default: a constant prediction, a linear model on pooled inputs, the
              best teacher, the ensemble of the teachers (raw and calibrated), and joint training
              that starts from the teachers. They cost seconds and one student per seed.
            - ``"full"``: also joint training of twice as many epochs, two joint models from two
              seeds with weights for their heads fitted on the validation rows, and joint training
              with the fusion ``film`` if the recipe's fusion cannot represent an interaction. They
              cost as much as five more students per seed, which is why they must be asked for.
            - ``"none"`` leaves them to the recipes with ``controls: true``.

            True is ``"cheap"`` and False is ``"none"``.
        jobs: Runs at the same time, in processes of this machine. The table is the same, apart from
            its times.
        shard: ``"i/n"`` carries out the i-th of n shares of the runs, and writes no table; a call
            without it gathers the runs of all shares.
        ray: Address of a Ray cluster that carries out the runs, ``"auto"`` or ``"local"``. All its
            machines must see ``out``.
        oversubscribe: Allow more jobs than the machine has cores for their threads.
        progress: Show a progress line per training.
        say: Receives messages for the user.
        overrides: Values for all recipes, as in :func:`g2d.train`.

    Raises:
        ArgumentError: There is no recipe or no seed, or the machine has too few cores.
        RecipeError: A recipe has faults, two have the same name, or the baseline is none of them.
        RunError: Another command writes to the folder, or every run failed.

    Example:
        >>> result = g2d.compare("digits", methods=["joint", "g2d"], seeds=5)  # doctest: +SKIP
        >>> print(result)  # doctest: +SKIP
    """
    out, launch = Path(out), Launch(jobs, shard, ray, oversubscribe)
    single = isinstance(recipes, Recipe | str | Path | Mapping)
    several = cast("Sequence[RecipeLike]", [recipes] if single else recipes)
    names = methods.replace(" ", "").split(",") if isinstance(methods, str) else methods
    choices = method_choices(names, len(several))
    chosen = [as_recipe(one, {**choice, **overrides}) for one in several for choice in choices]
    compared = planned(chosen, seeds, out, controls=controls)
    baselines = list(dict.fromkeys(one.recipe.name for one in compared))
    if baseline is not None and baseline not in baselines:
        raise RecipeError([choice_fault("baseline", baseline, baselines)], "compare")
    # Shares have one folder in common: each owns the folders of its runs alone.
    with owning(out, say) if shard is None else nullcontext():
        grid = run_grid(launch.share(compared), launch, progress=progress, say=say)
        if launch.shard is not None or not grid.runs:
            return Comparison([], grid.runs, grid.skipped, None, grid.failures)
        groups = groups_of(grid.runs)
        tables = build(groups, baseline=baseline)
        for form, suffix in SUFFIXES.items():
            write_text(out / f"compare.{suffix}", FORMATS[form](tables))
        write_page(out / PAGE, groups, baseline=baseline, tables=tables)
    return Comparison(tables, grid.runs, grid.skipped, out / PAGE, grid.failures)


def planned(
    recipes: Sequence[Recipe],
    seeds: int | Sequence[int],
    out: Path,
    *,
    controls: Controls | bool = "cheap",
) -> list[GridCell]:
    """Return the runs of a comparison.

    Args:
        recipes: The recipes.
        seeds: Their number, counted from the seed of each recipe; or the seeds themselves.
        out: Folder of all runs.
        controls: See :func:`compare`.

    Raises:
        ArgumentError: There is no recipe or no seed.
        RecipeError: Two recipes have the same name.
    """
    if not recipes or seeds in (0, []):
        raise ArgumentError(
            f"a comparison must have recipes and seeds, found {len(recipes)} recipes and {seeds} "
            "seeds."
        )
    kind = _ASKED.get(controls, controls)
    one_of("controls", kind, CONTROLS)
    grid = list(recipes) if kind == "none" else controlled(recipes)
    grid = [*grid, *trained_controls(grid, full=kind == "full")]
    check_names(grid, "compare")
    return grid_cells(grid, seeds, out)


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


def trained_controls(recipes: Sequence[Recipe], *, full: bool = False) -> list[Recipe]:
    """Return the controls that are trained, one of a kind per problem and budget with controls.

    A control that is among the recipes already is left out.

    Args:
        recipes: The recipes of a comparison.
        full: Whether to add more than joint training that starts from the teachers.
    """
    existing = {_essence(recipe) for recipe in recipes}
    added: dict[str, dict[str, Recipe]] = {}
    for recipe in recipes:
        for control in _controls_of(recipe, full) if recipe.controls else ():
            added.setdefault(control.name, {}).setdefault(_essence(control), control)
    return [
        control if i == 1 else control.changed(name=f"{name}-{i}")
        for name, of_kind in added.items()
        for i, control in enumerate((c for e, c in of_kind.items() if e not in existing), 1)
    ]


def _controls_of(recipe: Recipe, full: bool) -> Iterator[Recipe]:
    epochs = recipe.train.epochs or recipe.teachers.train.epochs
    plain = {"epochs": epochs, "controls": False, "stack": 0, "students": 1}
    yield recipe.changed(**{**plain, "name": WARM, "method": WARM})
    if full:
        joint = {**plain, "method": "joint", "warm_start": False}
        yield recipe.changed(**{**joint, "name": LONGER, "epochs": 2 * epochs})
        pair = VARIANTS[PAIR].settings
        yield recipe.changed(**{**plain, "warm_start": False, **pair, "name": PAIR, "method": PAIR})
        if FUSIONS[recipe.fusion.name].additive:
            yield recipe.changed(**{**joint, "name": f"joint-{TOGETHER}", "fusion": TOGETHER})


def _essence(recipe: Recipe) -> str:
    """Return a recipe without its name, seed and controls, to recognize equal ones."""
    resolved = recipe.resolved() | {"name": WARM, "seed": 0, "controls": False}
    return json.dumps(resolved, sort_keys=True)
