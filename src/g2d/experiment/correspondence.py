"""Which recipe repeats a run of the paper, on its own data or on any other problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from g2d.errors import ArgumentError, DataError
from g2d.files import did_you_mean
from g2d.paper import grid
from g2d.paper.grid import Cell
from g2d.paper.reproduced import METRICS, row_label
from g2d.recipe import Recipe
from g2d.recipe.packaged import is_path, recipe_names
from g2d.report.formatting import counted

PAPER, LEAK_FREE = "paper", "leak-free"
PROTOCOLS = (PAPER, LEAK_FREE)
"""The paper's split, frames and selection; or the default split of the data, with selection on
validation rows."""


@dataclass(frozen=True)
class Planned:
    """A run of the paper and the recipe that repeats it.

    Args:
        cell: The run of the paper.
        problem: Name of the problem that it is repeated on.
        recipe: The recipe; its name is that of its folder.
    """

    cell: Cell
    problem: str
    recipe: Recipe


def plan(
    table: str,
    cells: Sequence[Cell],
    data: str | None,
    protocol: str,
    overrides: Mapping[str, Any],
) -> tuple[list[Planned], list[str]]:
    """Return the recipes of some runs of a table, and sentences on how they correspond.

    Args:
        table: Number of the table.
        cells: The runs.
        data: See :func:`~g2d.experiment.reproducing.reproduce`.
        protocol: One of :data:`PROTOCOLS`.
        overrides: Values for all recipes, by dotted key.

    Raises:
        ArgumentError: There is no such problem, or it does not have the paper's protocol.
        RecipeError: An override has faults.
    """
    load = cache(Recipe.load)

    def planned(cell: Cell, problem: str) -> Planned:
        recipe = _recipe(cell, problem, load(problem), protocol, overrides)
        return Planned(cell, problem, recipe)

    if data is None or data in grid.DATASETS[table]:
        return [planned(cell, cell.dataset) for cell in cells if data in (None, cell.dataset)], []
    if protocol == PAPER and data not in grid.PROTOCOLS:
        raise ArgumentError(
            f"protocol must be {LEAK_FREE} for {data}, found {PAPER}: the paper does not use "
            f"these data. Its protocols are those of {', '.join(grid.PROTOCOLS)}."
        )
    problem_for = _chooser(table, _problems(table, data), load)
    distinct: dict[str, Planned] = {}
    without: list[Cell] = []
    for cell in cells:
        if problem := problem_for(cell):
            one = planned(cell, problem)
            distinct.setdefault(one.recipe.name, one)
        else:
            without.append(cell)
    remarks = [
        f"{counted(len(cells), 'run')} of Table {table} in the paper correspond to "
        f"{counted(len(distinct), 'distinct run')} on {data}."
    ]
    if without:
        remarks.append(f"Without a counterpart on {data}: {_listed(without)}.")
    return list(distinct.values()), remarks


def _listed(cells: Sequence[Cell]) -> str:
    """Return runs of the paper by data set and modalities."""
    rows: dict[str, list[str]] = {}
    for cell in cells:
        place = f"{' + '.join(cell.modalities)} of {cell.dataset}"
        rows.setdefault(place, []).append(row_label(cell, cell.modalities))
    return "; ".join(f"{place}: {', '.join(labels)}" for place, labels in rows.items())


def _recipe(
    cell: Cell, name: str, problem: Recipe, protocol: str, overrides: Mapping[str, Any]
) -> Recipe:
    """Return the recipe of a run of the paper on a problem."""
    epochs = {key: overrides[key] for key in ("epochs",) if key in overrides}
    settings = cell.settings(problem.changed({"method": cell.method, **epochs}))
    settings["name"] = f"{_label(name)}-{settings['name']}"
    if protocol == PAPER:
        settings |= {**grid.PROTOCOLS[name], **grid.ON_TEST}
    if "method.tau" in settings:  # their sum is the number of epochs
        overrides = {key: value for key, value in overrides.items() if key != "epochs"}
    return problem.changed({**settings, **overrides})


def _label(problem: str) -> str:
    """Return the beginning of the names of runs on a problem."""
    return Path(problem).stem if is_path(problem) else problem.replace("/", "-")


def _problems(table: str, data: str) -> list[str]:
    """Return the recipes of a problem on which runs of a table may be repeated, best first.

    The name of a data set that the paper does not use means all its recipes.
    """
    if is_path(data) or data in grid.PROTOCOLS:
        return [data]
    names = recipe_names()
    if data not in names:
        raise ArgumentError(
            f"--data must be a data set of table {table} ({', '.join(grid.DATASETS[table])}), a "
            f"packaged recipe (g2d list recipes) or the path of a recipe, found {data!r}."
            + did_you_mean(data, names)
        )
    return [data, *(name for name in names if name.startswith(f"{data}/"))]


def _chooser(
    table: str, problems: Sequence[str], load: Callable[[str], Recipe]
) -> Callable[[Cell], str | None]:
    """Return a function from a run of a table to the first problem that can repeat it, or None.

    A combination of modalities prefers a problem with as many modalities as the paper's.
    """
    sizes = {problem: len(load(problem).modalities) for problem in problems}

    @cache
    def scored_alike(problem: str) -> bool:
        """Return whether a problem has the metrics of the table; true if its data are missing."""
        if table not in METRICS:
            return True
        try:
            return load(problem).build_source().task.headline in METRICS[table]
        except DataError:
            return True

    def choose(cell: Cell) -> str | None:
        size_in_paper = len(grid.modalities_of(cell.dataset)) if cell.parts else None
        fitting = [problem for problem, size in sizes.items() if cell.fits(size)]
        fitting.sort(key=lambda problem: size_in_paper not in (None, sizes[problem]))
        return next((problem for problem in fitting if scored_alike(problem)), None)

    return choose
