"""One run: teachers -> student -> evaluation -> folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from g2d.data import Source
from g2d.data.store.opening import store_hash
from g2d.engine.callbacks import ProgressLine
from g2d.engine.processes import once, process, start
from g2d.engine.processes import wait as barrier
from g2d.experiment.console import Console, Line, Say
from g2d.experiment.evaluation import evaluated
from g2d.experiment.guards import before_training
from g2d.experiment.owning import owning
from g2d.experiment.student import Student
from g2d.experiment.students import (
    TrainedStudent,
    open_student,
    student_folder,
    student_recipes,
)
from g2d.experiment.teachers import teacher_sets
from g2d.files import write_text
from g2d.locks import tidy
from g2d.manifest import hashes, write_signed
from g2d.plainyaml import read_mapping
from g2d.recipe import Recipe
from g2d.runs import DATA, RECIPE, Result, claim, hashes_of, is_reported, read_result, same_data

NOTHING_LEFT = "{} is finished with this recipe; there is nothing left to do."
"""Message about a run that is complete."""


def run(
    recipe: Recipe,
    out: str | Path,
    *,
    progress: bool = True,
    watch: Sequence[str] = (),
    say: Say = print,
    wait: bool = False,
    line: Line = ProgressLine,
    test: bool = True,
) -> Result:
    """Train the student of a recipe, with its teachers, in a folder.

    An unfinished run of the same recipe continues. A finished one is not trained again.

    Args:
        recipe: What to train.
        out: The run folder.
        progress: Show a progress line.
        watch: Names of :data:`~g2d.experiment.console.WATCHERS`.
        say: Receives messages for the user.
        wait: Wait for another process that writes to the folder, and say so, instead of refusing
            the folder.
        line: See :class:`~g2d.experiment.console.Console`.
        test: False leaves the test split closed: the result has no test scores, and there is no
            page.

    Returns:
        The content of ``result.json``.

    Raises:
        MissingDependencyError: The library of a logger is not installed.
        RunError: The folder belongs to another recipe, to other data, or to another process that
            writes to it at the moment.
        UnsupportedError: The method is not defined for this task, number of modalities or fusion.
            Nothing has been created.
    """
    start()
    out, console = Path(out), Console(say, progress, watch, line).on_rank_0()
    recipe = _as_begun(recipe, out, console)
    if (finished := _finished(recipe, out)) is not None:
        if test and not once(lambda: is_reported(out)):
            with owning(out, say, wait=wait, deep=True):
                _report(out)
        once(lambda: tidy(out))
        console.say(NOTHING_LEFT.format(out))
        return finished
    if recipe.train.threads is not None:
        torch.set_num_threads(recipe.train.threads)
    source = recipe.build_source()
    same_data(out, hashes_of(source))
    student = Student.build(recipe, source)  # refuses before anything is created or trained
    others = student_recipes(recipe, out)
    for m, taken in student.encoders_taken().items():
        console.say(f"Encoder of {m}: {taken}.")
    for notice in student.method.notices.values():
        console.say(f"Notice: {notice}")
    watchers = console.watchers(recipe.name, out)
    with owning(out, say, wait=wait, deep=True):
        # Another process may have finished it. A logger may have made files in a new folder.
        begun = once((out / RECIPE).is_file)  # rank 0 looks for all, before it writes the recipe
        if begun and (finished := _finished(recipe, out)) is not None:
            _report(out, test)
            console.say(NOTHING_LEFT.format(out))
            return finished
        begin(out, recipe, source)
        sets = teacher_sets(student, out, console, test=test)
        notices = before_training(student, sets, out)
        for notice in notices:
            console.say(f"Notice: {notice}")
        # They come first: the training of this run's own student ends with its evaluation.
        trained = {
            name: trained_student(one, source, student_folder(out, name), console)
            for name, one in others.items()
        }
        callbacks = [*watchers, *console.lines(recipe.name, source.task.headline)]
        fitted = student.train(sets[0].teachers if sets else None, out, callbacks)
        result = evaluated(student, fitted, sets, out, notices, others=trained, test=test)
        if process() == 0:
            result.write(out)
        _report(out, test)
    return result


def trained_student(
    recipe: Recipe, source: Source, folder: Path, console: Console
) -> TrainedStudent:
    """Train a student of a stack in its folder, or continue; a finished one is opened.

    The test split stays closed.

    Args:
        recipe: What to train.
        source: Its data.
        folder: Its run folder.
        console: Where to report to.

    Raises:
        UnsupportedError: The method is not defined for the task or the fusion.
    """
    result = once(lambda: read_result(folder))
    if result is None:
        result = run(
            recipe,
            folder,
            progress=console.progress,
            say=console.say,
            line=console.line,
            test=False,
        )
    return open_student(recipe, source, folder, result)


def _finished(recipe: Recipe, out: Path) -> Result | None:
    """Return the result of a run that is finished, or None; refuse one of another recipe."""
    finished = once(lambda: claim(out, recipe.resolved(), Recipe.upgraded))
    if finished is not None:
        same_data(out, store_hash(recipe.data_options))
    return finished


def _as_begun(recipe: Recipe, out: Path, console: Console) -> Recipe:
    """Return the recipe, with the earlier defaults of a run that an earlier version began."""
    if not (out / RECIPE).is_file():
        return recipe
    continued = recipe.continuing(read_mapping(out / RECIPE))
    for option, value in continued.method.options.items():
        if value != recipe.method.options[option]:
            console.say(f"{out} keeps method.{option} = {value}, the default when it was begun.")
    if continued.modulation != recipe.modulation:
        console.say(f"{out} keeps method.modulation = {continued.modulation}, as it was begun.")
    for m, encoder in continued.encoders.items():
        if encoder != recipe.encoders[m]:
            console.say(f"{out} keeps the pooling of the version that began it for {m}.")
    return continued


def begin(out: Path, recipe: Recipe, source: Source) -> None:
    """Write what identifies a run, unless an earlier session has."""
    if process() == 0:
        if not (out / RECIPE).is_file():
            write_text(out / RECIPE, recipe.to_yaml())
        if not (out / DATA).is_file():
            facts = {"name": source.name, "protocol": source.protocol, **hashes_of(source)}
            write_signed(out / DATA, {**facts, "files": hashes(out, [RECIPE])})
    barrier()


def _report(out: Path, page: bool = True) -> None:
    """Write the page and the figures of a finished run, unless they exist or are not wanted."""
    if page and process() == 0 and not is_reported(out):
        from g2d.report import write_report

        write_report(out)
    barrier()
