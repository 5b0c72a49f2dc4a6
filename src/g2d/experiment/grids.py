"""A grid of runs: recipes under several seeds, their teachers first, finished runs never again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from g2d.experiment.cells import (
    Cell,
    Failure,
    InProcess,
    Outcomes,
    carry_out,
    failures_in_words,
    require_some,
)
from g2d.experiment.console import Console, Say
from g2d.experiment.display import Plain
from g2d.experiment.execution import execute
from g2d.experiment.launching import Launch, threads_of, with_threads
from g2d.experiment.run import run
from g2d.experiment.slurm import Array
from g2d.experiment.teacher_cells import with_teachers
from g2d.recipe import Recipe
from g2d.report.formatting import counted
from g2d.runs import RESULT, TEACHERS, Result, RunRecord

RUNS = "run"
"""What a cell of a grid is called."""


@dataclass(frozen=True)
class GridCell:
    """A run of a grid.

    Args:
        recipe: Its recipe, with its seed.
        folder: Its run folder.
    """

    recipe: Recipe
    folder: Path

    @property
    def name(self) -> str:
        """Name for the user."""
        return f"{self.recipe.name}, seed {self.recipe.train.seed}"

    @property
    def is_finished(self) -> bool:
        """Whether its folder has a result."""
        return (self.folder / RESULT).is_file()

    def cell(self) -> Cell:
        """Return the work of this run."""
        work = partial(train_cell, self.recipe, self.folder)
        return Cell(self.name, work, threads_of(self.recipe), group=self.recipe.name)


@dataclass(frozen=True)
class Grid:
    """Finished runs of a grid, and why others are not finished.

    Args:
        runs: The finished runs, in the order of the grid.
        skipped: A message for every recipe whose method does not support its task.
        failures: Why other runs are not finished.
    """

    runs: Sequence[RunRecord]
    skipped: Sequence[str]
    failures: Sequence[Failure]

    @property
    def faults(self) -> list[str]:
        """The failures in words: an empty list or one text."""
        return [failures_in_words(self.failures, RUNS)] if self.failures else []


def grid_cells(recipes: Iterable[Recipe], seeds: int | Sequence[int], out: Path) -> list[GridCell]:
    """Return the runs of a grid in their order: recipe by recipe, seed by seed.

    Args:
        recipes: Their names differ.
        seeds: Their number, counted from the seed of each recipe; or the seeds themselves.
        out: Folder of all runs and their teachers.
    """
    return [
        GridCell(one, out / recipe.name / f"seed-{one.train.seed}")
        for recipe in recipes
        for one in _seeded(with_threads(recipe), seeds, out)
    ]


def _seeded(recipe: Recipe, seeds: int | Sequence[int], out: Path) -> Iterator[Recipe]:
    first = recipe.train.seed
    for seed in range(first, first + seeds) if isinstance(seeds, int) else seeds:
        changes: dict[str, Any] = {} if seed == first else {"seed": seed}
        if recipe.teachers.folder is None:
            changes["teachers.folder"] = str(out / TEACHERS)
        yield recipe.changed(changes)


def train_cell(recipe: Recipe, folder: Path, console: Console) -> Result:
    """Train a run, or return the result of a finished one.

    Args:
        recipe: Its recipe.
        folder: Its run folder.
        console: Receives messages and progress.
    """
    return run(
        recipe, folder, progress=console.progress, say=console.say, line=console.line, wait=True
    )


def run_grid(grid: Sequence[GridCell], launch: Launch, *, progress: bool, say: Say) -> Grid:
    """Train every run of a grid. One that fails is reported, and the rest is finished.

    Args:
        grid: The runs of this call.
        launch: How they are carried out.
        progress: Show a progress line per training.
        say: Receives messages for the user.

    Raises:
        ArgumentError: There are more jobs than the machine has cores.
        RunError: Every run failed.
    """
    recipes = [one.recipe for one in grid]
    launch.check_cores(recipes)
    if launch.parallel:
        outcomes = _in_parallel(grid, launch, progress=progress, say=say)
    else:
        outcomes = execute(
            [one.cell() for one in grid], recipes, launch, progress=progress, say=say
        )
    require_some(outcomes, RUNS)
    results, reasons = outcomes.results, dict[str, str]()
    for failure in outcomes.failures:
        if failure.unsupported:
            recipe = next(one.recipe for one in grid if one.name == failure.cell)
            reasons.setdefault(recipe.name, failure.reason)
    skipped = [f"{name} is left out: {reason}" for name, reason in reasons.items()]
    for sentence in skipped:
        say(sentence)

    if launch.shard is not None:
        say(
            f"{counted(len(results), RUNS)} of share {launch.shard} finished. "
            "The same command without --shard gathers all."
        )
    runs = [RunRecord(one.folder, results[one.name]) for one in grid if one.name in results]
    return Grid(runs, skipped, [one for one in outcomes.failures if not one.unsupported])


def array_of(
    grid: Sequence[GridCell],
    command: Sequence[str],
    launch: Launch,
    teachers: Sequence[str] = (),
) -> Array:
    """Return a grid as an array of SLURM tasks.

    Args:
        grid: All runs.
        command: Words of the command line after ``g2d``.
        launch: Its share gives the number of tasks; otherwise every run is a task.
        teachers: Words of the command that trains the teachers.
    """
    cells = [(one.name, one.is_finished) for one in grid]
    return Array(command, cells, launch, max(threads_of(one.recipe) for one in grid), teachers)


def _in_parallel(grid: Sequence[GridCell], launch: Launch, *, progress: bool, say: Say) -> Outcomes:
    """Open finished runs here, and carry out the rest elsewhere, their teachers first."""
    finished = [one for one in grid if one.is_finished]
    missing = [one for one in grid if one not in finished]
    quiet = Console(lambda text: None, progress=False)
    opened = carry_out(
        [one.cell() for one in finished], InProcess(quiet), Plain(say, len(finished), False)
    )
    if finished:
        say(f"{counted(len(opened.results), RUNS)} of {len(grid)} finished already.")
    teachers, cells = with_teachers([(one.recipe, one.cell()) for one in missing])
    recipes = [one.recipe for one in missing]
    rest = execute([*teachers, *cells], recipes, launch, progress=progress, say=say)
    return opened.extended(rest)
