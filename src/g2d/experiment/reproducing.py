"""Tables of the paper, run again: :func:`reproduce`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.data.store.facts import DATASET
from g2d.data.store.opening import StoreOptions
from g2d.datasets import DATASETS
from g2d.errors import ArgumentError, DataError
from g2d.experiment.cells import Failure, failures_in_words
from g2d.experiment.comparing import SUFFIXES
from g2d.experiment.console import Say
from g2d.experiment.correspondence import LEAK_FREE, PAPER, PROTOCOLS, Planned, plan
from g2d.experiment.grids import RUNS, GridCell, grid_cells, run_grid
from g2d.experiment.launching import Launch
from g2d.experiment.owning import owning
from g2d.experiment.training import dotted
from g2d.files import one_of, write_text
from g2d.paper import build_compared, grid
from g2d.paper.grid import Cell
from g2d.paper.reproduced import Repetition, reproduced_tables
from g2d.recipe import Recipe
from g2d.report import FORMATS, Table, groups_of, write_page
from g2d.report.formatting import counted
from g2d.report.tables import Cell as TableCell
from g2d.report.tables import Column, Row
from g2d.runs import RunRecord, claim

FIXED = {"name", "method"}
"""Keys of a recipe that an override cannot set."""
TABLE = "table"
"""Beginning of the name of a table."""


@dataclass(frozen=True)
class Reproduction:
    """Result of :func:`reproduce`; prints as its tables.

    Args:
        tables: Published and measured values, or the list of runs for a dry run.
        runs: The finished runs.
        remarks: Sentences on what was not run, and why.
        page: The HTML page; None if no run finished.
        failures: Why other runs are not finished.
        planned: All runs whose data are prepared, for a dry run.
    """

    tables: Sequence[Table]
    runs: Sequence[RunRecord]
    remarks: Sequence[str]
    page: Path | None = None
    failures: Sequence[Failure] = ()
    planned: Sequence[GridCell] = ()

    def __str__(self) -> str:
        page = [] if self.page is None else [f"Page: {self.page}"]
        faults = [failures_in_words(self.failures, RUNS)] if self.failures else []
        tables = [table.text() for table in self.tables]
        return "\n\n".join([*tables, *self.remarks, *faults, *page])

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
    jobs: int = 1,
    shard: str | None = None,
    ray: str | None = None,
    oversubscribe: bool = False,
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
        jobs, shard, ray, oversubscribe: Many runs at once; see :func:`g2d.compare`.
        progress: Show a progress line per training.
        say: Receives messages for the user.
        overrides: Values for all recipes, as in :func:`g2d.train`.

    Raises:
        ArgumentError: There is no such table, problem, method or protocol.
        DataError: None of the data is prepared.
        RecipeError: An override has faults.
        RunError: Another command writes to the folder, or every run failed.

    Example:
        >>> print(g2d.reproduce("table4", data="digits", seeds=2))  # doctest: +SKIP
    """
    for key in FIXED & overrides.keys():
        raise ArgumentError(
            f"{key} must be left out, found {overrides[key]!r}: a run of the paper defines it."
            " Choose runs with methods."
        )
    if seeds < 1:
        raise ArgumentError(f"seeds must be 1 or more, found {seeds}.")
    number = str(table).removeprefix(TABLE)
    cells = _selected(number, methods)
    if protocol is None:
        protocol = PAPER if data is None or data in grid.PROTOCOLS else LEAK_FREE
    one_of("protocol", protocol, PROTOCOLS)
    planned, remarks = plan(number, cells, data, protocol, dict(dotted(overrides)))
    out = Path(out)
    folder, recipes = out / protocol, {one.recipe.name: one.recipe for one in planned}
    missing = _unprepared(recipes.values())
    faults = list(dict.fromkeys(missing.values()))
    ready = [recipe for name, recipe in recipes.items() if name not in missing]
    every = grid_cells(ready, seeds, folder)
    if dry_run:
        listing = _listing(number, recipes, seeds, folder)
        return Reproduction([listing], [], [*remarks, *faults], planned=every)
    if not ready:
        raise DataError("\n".join(faults) or f"{data} has no run of table {number}. {remarks[-1]}")
    launch = Launch(jobs, shard, ray, oversubscribe)
    # Shares have one folder in common: each owns the folders of its runs alone.
    with owning(out, say) if shard is None else nullcontext():
        done = run_grid(launch.share(every), launch, progress=progress, say=say)
        remarks = [*remarks, *faults, *done.skipped]
        if shard is not None:
            return Reproduction([], done.runs, remarks, failures=done.failures)
        repetitions = [_repetition(one, done.runs) for one in planned]
        tables = reproduced_tables(repetitions, protocol == PAPER)
        page = _written(number, tables, done.runs, out)
    return Reproduction(tables, done.runs, remarks, page, done.failures)


def _selected(number: str, methods: str | Iterable[str]) -> list[Cell]:
    """Return the runs of a table, of some methods if any are given."""
    one_of(TABLE, f"{TABLE}{number}", [f"{TABLE}{each}" for each in grid.TABLES])
    names = methods.replace(" ", "").split(",") if isinstance(methods, str) else methods
    given = [name for name in names if name]
    for name in given:
        one_of(f"a method of table {number}", name, grid.METHODS[number])
    return [cell for cell in grid.cells(number) if not given or cell.method in given]


def _repetition(one: Planned, runs: Sequence[RunRecord]) -> Repetition:
    """Return a run of the paper with its finished runs."""
    own = [run for run in runs if run.name == one.recipe.name]
    return Repetition(one.cell, one.problem, one.recipe.modalities, own)


def _written(
    number: str, tables: Sequence[Table], runs: Sequence[RunRecord], out: Path
) -> Path | None:
    """Write the tables in every format, and a page if there are runs; return the page."""
    for form, suffix in SUFFIXES.items():
        write_text(out / f"{TABLE}{number}.{suffix}", FORMATS[form](tables))
    if not runs:
        return None
    page, groups = out / f"{TABLE}{number}.html", groups_of(runs)
    title, compared = f"Table {number} of the paper", build_compared(groups)
    write_page(page, groups, title=title, tables=compared, first=tables)
    return page


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
    run = folder / recipe.name / f"seed-{seed}"
    if not run.exists():
        return False
    seeded = recipe.changed({"seed": seed})
    return claim(run, seeded.resolved(), Recipe.upgraded) is not None
