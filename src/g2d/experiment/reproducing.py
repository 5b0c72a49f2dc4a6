"""Tables of the paper, run again: :func:`reproduce`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from g2d.data.store.facts import DATASET
from g2d.data.store.opening import StoreOptions
from g2d.datasets import DATASETS
from g2d.errors import ArgumentError, DataError
from g2d.experiment.comparing import SUFFIXES, run_grid
from g2d.experiment.console import Say
from g2d.experiment.training import dotted
from g2d.files import did_you_mean, one_of, write_text
from g2d.paper import build_compared, grid
from g2d.paper.grid import Cell
from g2d.paper.reproduced import METRICS, Repetition, reproduced_tables, row_label
from g2d.recipe import Recipe
from g2d.recipe.packaged import is_path, recipe_names
from g2d.report import FORMATS, Table, groups_of, write_page
from g2d.report.formatting import counted
from g2d.report.tables import Cell as TableCell
from g2d.report.tables import Column, Row
from g2d.runs import RunRecord, claim

PAPER, LEAK_FREE = "paper", "leak-free"
PROTOCOLS = (PAPER, LEAK_FREE)
"""The paper's split, frames and selection; or the default split of the data, with selection on
validation rows."""
FIXED = {"name", "method"}
"""Keys of a recipe that an override cannot set."""
TABLE = "table"
"""Beginning of the name of a table."""


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


@dataclass(frozen=True)
class Reproduction:
    """Result of :func:`reproduce`; prints as its tables.

    Args:
        tables: Published and measured values, or the list of runs for a dry run.
        runs: The finished runs.
        remarks: Sentences on what was not run, and why.
        page: The HTML page; None if no run finished.
    """

    tables: Sequence[Table]
    runs: Sequence[RunRecord]
    remarks: Sequence[str]
    page: Path | None = None

    def __str__(self) -> str:
        page = [] if self.page is None else [f"Page: {self.page}"]
        return "\n\n".join([*(table.text() for table in self.tables), *self.remarks, *page])

    def __repr__(self) -> str:
        titles = "; ".join(table.title.partition(":")[0] for table in self.tables)
        return f"Reproduction of {titles} from {counted(len(self.runs), 'run')}; print() shows it"


def reproduce(
    table: str | int,
    *,
    data: str | None = None,
    methods: str | Iterable[str] = (),
    protocol: str | None = None,
    seeds: int = 1,
    out: str | Path = "runs/reproduce",
    dry_run: bool = False,
    progress: bool = True,
    say: Say = print,
    **overrides: Any,
) -> Reproduction:
    """Run what is missing of a table of the paper; show published and measured values.

    Finished runs are not repeated, also if another table needs them too.

    Args:
        table: ``"table1"`` to ``"table7"``, or the number.
        data: One of the table's data sets. Or any other problem, as the name of a data set, of a
            packaged recipe or the path of a recipe: each distinct run of the table is then
            repeated on it once. None runs all data sets of the table.
        methods: Methods or variants of the table to run; all by default. One name, several names,
            or a text of names separated by commas.
        protocol: ``"paper"`` has the split, frames and selection of the paper; every result is
            marked, because its epoch is selected on the test split. ``"leak-free"`` has the
            default protocol of the data, with selection on validation rows. None is the paper's
            for its data sets and leak-free for other problems.
        seeds: Number of seeds.
        out: Folder of the runs, ``PROTOCOL/NAME/seed-N``. It also gets the tables as Markdown,
            CSV, LaTeX and JSON, and a page.
        dry_run: List the runs, which of them are finished, and what is missing; run nothing.
        progress: Show a progress line per training.
        say: Receives messages for the user.
        overrides: Values for all recipes, as in :func:`g2d.train`.

    Raises:
        ArgumentError: There is no such table, problem, method or protocol.
        DataError: None of the data is prepared.
        RecipeError: An override has faults.

    Example:
        >>> print(g2d.reproduce("table4", data="digits", seeds=2))  # doctest: +SKIP
    """
    for key in FIXED & overrides.keys():
        raise ArgumentError(
            f"{key} must be left out, found {overrides[key]!r}: a run of the paper defines it."
            " Choose runs with methods."
        )
    number = str(table).removeprefix(TABLE)
    one_of(TABLE, f"{TABLE}{number}", [f"{TABLE}{each}" for each in grid.TABLES])
    if seeds < 1:
        raise ArgumentError(f"seeds must be 1 or more, found {seeds}.")
    names = methods.replace(" ", "").split(",") if isinstance(methods, str) else [*methods]
    for name in filter(None, names):
        one_of(f"a method of table {number}", name, grid.METHODS[number])
    selected = [cell for cell in grid.cells(number) if not any(names) or cell.method in names]
    if protocol is not None:
        one_of("protocol", protocol, PROTOCOLS)
    elif data is None or data in grid.PROTOCOLS:
        protocol = PAPER
    else:
        protocol = LEAK_FREE
    planned, remarks = plan(number, selected, data, protocol, dict(dotted(overrides)))
    out = Path(out)
    runs_folder, distinct = out / protocol, {one.recipe.name: one.recipe for one in planned}
    missing = _unprepared(distinct.values())
    remarks += dict.fromkeys(missing.values())
    if dry_run:
        return Reproduction([_listing(number, distinct, seeds, runs_folder)], [], remarks)
    present = [recipe for name, recipe in distinct.items() if name not in missing]
    if missing and not present:
        raise DataError("\n".join(dict.fromkeys(missing.values())))
    runs, skipped = run_grid(present, seeds, runs_folder, progress=progress, say=say)
    repeated = [
        Repetition(
            one.cell,
            one.problem,
            one.recipe.modalities,
            [run for run in runs if run.name == one.recipe.name],
        )
        for one in planned
    ]
    tables = reproduced_tables(repeated, protocol == PAPER)
    for form, suffix in SUFFIXES.items():
        write_text(out / f"{TABLE}{number}.{suffix}", FORMATS[form](tables))
    page = out / f"{TABLE}{number}.html" if runs else None
    if page is not None:
        groups = groups_of(runs)
        compared = build_compared(groups)
        title = f"Table {number} of the paper"
        write_page(page, groups, title=title, tables=compared, first=tables)
    return Reproduction(tables, runs, [*remarks, *skipped], page)


def plan(
    table: str,
    cells: Sequence[Cell],
    data: str | None,
    protocol: str,
    overrides: Mapping[str, Any],
) -> tuple[list[Planned], list[str]]:
    """Return the recipes of some runs of a table, and sentences on runs without a counterpart.

    Args:
        table: Number of the table.
        cells: The runs.
        data: See :func:`reproduce`.
        protocol: One of :data:`PROTOCOLS`.
        overrides: Values for all recipes, by dotted key.

    Raises:
        ArgumentError: There is no such problem, or it does not have the paper's protocol.
        RecipeError: An override has faults.
    """
    own = data is None or data in grid.DATASETS[table]
    pairs: list[tuple[Cell, str | None]]
    if data is None or own:
        pairs = [(cell, cell.dataset) for cell in cells if data in (None, cell.dataset)]
    else:
        if protocol == PAPER and data not in grid.PROTOCOLS:
            raise ArgumentError(
                f"protocol must be {LEAK_FREE} for {data}, found {PAPER}: the paper does not use "
                f"these data. Its protocols are those of {', '.join(grid.PROTOCOLS)}."
            )
        problem_for = _chooser(table, _problems(table, data))
        pairs = [(cell, problem_for(cell)) for cell in cells]
    planned: dict[Any, Planned] = {}
    loaded: dict[str, Recipe] = {}
    for cell, problem in pairs:
        if problem:
            recipe = loaded.setdefault(problem, loaded.get(problem) or Recipe.load(problem))
            changed = _recipe(cell, problem, recipe, protocol, overrides)
            planned.setdefault((changed.name, cell if own else ""), Planned(cell, problem, changed))
    without = [cell for cell, problem in pairs if not problem]
    remarks = []
    if not own:
        remarks.append(
            f"Table {table} of the paper has {counted(len(cells), 'run')}; {len(planned)} of them "
            f"differ on {data}."
        )
    if without:
        named: dict[str, list[str]] = {}
        for cell in without:
            place = f"{' + '.join(cell.modalities)} of {cell.dataset}"
            named.setdefault(place, []).append(row_label(cell, cell.modalities))
        lists = (f"{place}: {', '.join(labels)}" for place, labels in named.items())
        remarks.append(f"Without a counterpart on {data}: {'; '.join(lists)}.")
    return list(planned.values()), remarks


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

    The name of a data set means all its recipes.
    """
    if is_path(data):
        return [data]
    names = recipe_names()
    if data not in names:
        raise ArgumentError(
            f"--data must be a data set of table {table} ({', '.join(grid.DATASETS[table])}), a "
            f"packaged recipe (g2d list recipes) or the path of a recipe, found {data!r}."
            + did_you_mean(data, names)
        )
    return [data, *(name for name in names if name.startswith(f"{data}/"))]


def _chooser(table: str, problems: Sequence[str]) -> Callable[[Cell], str | None]:
    """Return a function from a run of a table to the first problem that can repeat it, or None.

    A combination of modalities prefers a problem with as many modalities as the paper's.
    """

    @cache
    def loaded(problem: str) -> Recipe:
        return Recipe.load(problem)

    @cache
    def scored_alike(problem: str) -> bool:
        """Return whether a problem has the metrics of the table; true if its data are missing."""
        if table not in METRICS:
            return True
        try:
            return loaded(problem).build_source().task.headline in METRICS[table]
        except DataError:
            return True

    def choose(cell: Cell) -> str | None:
        sizes = {problem: len(loaded(problem).modalities) for problem in problems}
        size_in_paper = len(grid.modalities_of(cell.dataset)) if cell.parts else None
        fitting = [problem for problem, size in sizes.items() if cell.fits(size)]
        fitting.sort(key=lambda problem: size_in_paper not in (None, sizes[problem]))
        return next((problem for problem in fitting if scored_alike(problem)), None)

    return choose


def _unprepared(recipes: Iterable[Recipe]) -> dict[str, str]:
    """Return a sentence with the way out for every recipe whose data cannot be opened."""
    sentences: dict[str, str] = {}
    opened: dict[str, str | None] = {}
    for recipe in recipes:
        key = str(sorted((k, v) for k, v in recipe.data.options.items() if k != "modalities"))
        key = f"{recipe.data.name} {key}"
        if key not in opened:
            opened[key] = _fault(recipe)
        if (fault := opened[key]) is not None:
            sentences[recipe.name] = fault
    return sentences


def _fault(recipe: Recipe) -> str | None:
    """Return why the data of a recipe cannot be opened, or None."""
    name, entry = recipe.data.name, DATASETS[recipe.data.name]
    options = entry.options(**recipe.data.options)
    if entry.reader is None and not isinstance(options, StoreOptions):
        return None  # drawn when it is opened
    if isinstance(options, StoreOptions) and not (options.folder / DATASET).is_file():
        prepare = recipe.data.options.get("prepare") or {}
        words = "".join(f" {key}={str(value).lower()}" for key, value in prepare.items())
        reader = entry.reader
        layout = f" (DIR holds {reader.layout})" if reader is not None else ""
        return (
            f"{name} is not prepared: run g2d data prepare {name}{words} --source DIR --out "
            f"{options.folder}{layout}."
        )
    try:
        recipe.build_source()
    except DataError as error:
        return str(error)
    return None


def _listing(table: str, recipes: Mapping[str, Recipe], seeds: int, folder: Path) -> Table:
    """Return the list of runs of a dry run."""
    rows, done = [], 0
    for name, recipe in recipes.items():
        finished = sum(_finished(recipe, folder, seed) for seed in _seeds(recipe, seeds))
        done += finished
        modulation = recipe.modulation
        method = recipe.method.name + (f" + {modulation.name}" if modulation else "")
        texts = " + ".join(recipe.modalities), f"{method}, {recipe.fusion.name}"
        numbers = TableCell(float(recipe.train.epochs)), TableCell(f"{finished} of {seeds}")
        rows.append(Row(name, (*map(TableCell, texts), *numbers)))
    columns = (
        *map(Column, ("modalities", "method, fusion")),
        Column("epochs", digits=0),
        Column("finished"),
    )
    all_runs = len(recipes) * seeds
    title = f"Table {table}: {counted(len(recipes), 'run')}"
    title += f" under {seeds} seeds" if seeds > 1 else ""
    title += f", {folder.name} protocol; nothing is trained"
    note = f"{done} of {all_runs} are finished in {folder}. Without --dry-run the rest is trained."
    return Table(title, columns, tuple(rows), (note,), "run")


def _seeds(recipe: Recipe, seeds: int) -> Iterator[int]:
    yield from range(recipe.train.seed, recipe.train.seed + seeds)


def _finished(recipe: Recipe, folder: Path, seed: int) -> bool:
    """Return whether a run of a recipe is finished."""
    seeded = recipe.changed({"seed": seed})
    return (
        claim(folder / recipe.name / f"seed-{seed}", seeded.resolved(), Recipe.upgraded) is not None
    )
