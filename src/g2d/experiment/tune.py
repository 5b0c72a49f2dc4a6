"""Hyperparameter search: the same number of trials per recipe, scored on the validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from g2d.errors import RecipeError, RunError
from g2d.experiment.cells import failures_in_words
from g2d.experiment.console import Say
from g2d.experiment.execution import execute
from g2d.experiment.launching import Launch
from g2d.experiment.owning import owning
from g2d.experiment.searching import Search, Tuned, in_short, with_values
from g2d.experiment.training import check_names
from g2d.files import import_extra, write_json, write_text
from g2d.method import Choice, Log, Space, Whole
from g2d.methods import METHODS
from g2d.plainyaml import parse
from g2d.recipe import Recipe
from g2d.report.formatting import spread
from g2d.report.tables import Cell, Column, Row, Table

RATE = "train.lr"
REACH = 5.0
"""Learning rates are searched from the recipe's divided by REACH to the recipe's times REACH."""
SEARCH = "search"
"""What a cell that searches a recipe is called."""


def tune(
    recipes: Sequence[Recipe],
    *,
    trials: int = 20,
    seeds: int = 1,
    searched: Mapping[str, Space] | None = None,
    out: str | Path,
    storage: str | None = None,
    jobs: int = 1,
    shard: str | None = None,
    ray: str | None = None,
    oversubscribe: bool = False,
    progress: bool = False,
    say: Say = print,
) -> str:
    """Search every recipe's learning rate and its method's strengths, with equal trials.

    The first trial uses the recipe unchanged; the others are drawn by Optuna's TPE sampler from the
    recipe's seed. The test split is never read. Finished trials are kept, so that an interrupted
    search continues. A method without anything to search (UME) has one trial.

    Args:
        recipes: The recipes; their names differ.
        trials: Number of trials per recipe.
        seeds: Number of seeds averaged into a trial's score, counted from the recipe's own.
        searched: Spaces by dotted key, instead of the defaults.
        out: Folder for ``NAME.yaml`` with the best values, ``tune.json`` and ``tune.md``.
        storage: Where trials are kept that several commands share: the path of a journal file, or
            the URL of a database (``"sqlite:///trials.db"``). None keeps those of each recipe in
            ``NAME.trials.log`` in ``out``.
        jobs: Recipes that are searched at the same time. The result is the same: the trials of
            one recipe depend on each other and stay in their order. With ``storage``, several jobs
            share the trials of each recipe, and the result depends on which trial ends first.
        shard: ``"i/n"`` searches the i-th of n shares of the recipes, and writes no table.
        ray, oversubscribe: See :func:`g2d.compare`.
        progress: Show which recipes are searched.
        say: Receives messages for the user.

    Returns:
        A table of the scores before and after, and the values; an empty text for a share.

    Raises:
        ArgumentError: The storage cannot be opened, or the machine has too few cores.
        MissingDependencyError: Optuna is not installed.
        RecipeError: A recipe selects on the test split, two have the same name, or a space does
            not fit a recipe.
        RunError: Another command writes to the folder, or a search failed; the others are finished.
    """
    out, launch = Path(out), Launch(jobs, shard, ray, oversubscribe)
    import_extra("optuna", "tune", "a search")
    check_names(recipes, "tune")
    if on_test := [recipe.name for recipe in recipes if recipe.train.select_on == "test"]:
        raise RecipeError(
            [
                "train.select_on must be validation for a search, found test in "
                f"{', '.join(on_test)}: the search would be tuned on the test split."
            ],
            "tune",
        )
    spaces = [dict(search_space(recipe) if searched is None else searched) for recipe in recipes]
    for recipe, space in zip(recipes, spaces, strict=True):  # refuse before the first trial
        with_values(recipe, {key: _valid_value(each, recipe) for key, each in space.items()})
    launch.check_cores(recipes)
    searches = [
        Search(recipe, space, seeds, out, trials, storage)
        for recipe, space in zip(recipes, spaces, strict=True)
    ]
    own = launch.share(searches)
    processes = max(1, launch.jobs // len(own)) if storage and own else 1
    for one in searches if storage else ():
        replace(one).begin()  # created here, so that two processes do not both create it
    cells = [cell for one in own for cell in one.cells(processes)]
    text = ""
    # Commands that share their trials have one folder in common.
    with nullcontext() if shard or storage else owning(out, say):
        outcomes = execute(cells, recipes, launch, progress=progress, say=say)
        if launch.shard is None and outcomes.results:
            finished = [one for one in searches if one.name in outcomes.results]
            tuned = [one.result() if storage else outcomes.results[one.name] for one in finished]
            write_json(out / "tune.json", [one.plain(seeds) for one in tuned])
            text = table(tuned)
            write_text(out / "tune.md", text + "\n")
    if outcomes.failures:
        raise RunError(failures_in_words(outcomes.failures, SEARCH))
    return text


def search_space(recipe: Recipe) -> dict[str, Space]:
    """Return the spaces that are searched by default, by dotted key.

    They are the learning rate and the strengths that the method's class names.

    Args:
        recipe: Its method and learning rate determine the spaces.
    """
    kind = METHODS[recipe.method.name]
    if not kind.trains:
        return {}
    return {
        RATE: Log(recipe.train.lr / REACH, recipe.train.lr * REACH),
        **{f"method.{key}": space for key, space in kind.search.items()},
    }


def read_space(text: str) -> tuple[str, Space]:
    """Read a space as it is written on the command line.

    Args:
        text: ``KEY=LOW..HIGH``, ``KEY=LOW..HIGH:whole`` or ``KEY=A|B|C``.

    Raises:
        RecipeError: The text has another form.

    Example:
        >>> read_space("method.alpha=0.1..10")
        ('method.alpha', Log(low=0.1, high=10.0, per_modality=False))
        >>> read_space("train.batch_size=16|32"), read_space("method.patience=2..9:whole")[1]
        (('train.batch_size', Choice(values=(16, 32))), Whole(low=2, high=9))
    """
    key, sign, values = text.partition("=")
    low, dots, high = values.partition("..")
    high, _, kind = high.partition(":")
    try:
        if sign and dots and kind in ("", "whole"):
            if kind:
                return key, Whole(int(low), int(high))
            if 0 < float(low) < float(high):
                return key, Log(float(low), float(high))
        elif sign and not dots and "|" in values:
            return key, Choice(tuple(parse(value, text) for value in values.split("|")))
    except (ValueError, RecipeError):
        pass
    raise RecipeError(
        [
            "--search must be KEY=LOW..HIGH (positive, by logarithm), KEY=LOW..HIGH:whole or "
            f"KEY=A|B|C, found {text!r}."
        ],
        "the command line",
    )


def table(tuned: Sequence[Tuned]) -> str:
    """Return the scores before and after, and the chosen values.

    Args:
        tuned: At least one result.
    """
    columns = ("trials", f"validation {tuned[0].metric} as given", "tuned")
    rows = []
    for one in tuned:
        scores = [spread([score], one.metric) for score in (one.start, one.best)]
        rows.append(Row(one.recipe.name, tuple(map(Cell, [str(one.trials), *scores]))))
    notes = tuple(f"{one.recipe.name}: {in_short(one.values)}" for one in tuned)
    return Table("", tuple(map(Column, columns)), tuple(rows), notes).text()


def _valid_value(space: Space, recipe: Recipe) -> Any:
    """Return some value of the space, to check that the recipe accepts it."""
    if isinstance(space, Choice):
        return space.values[0]
    if isinstance(space, Whole):
        return space.low
    return dict.fromkeys(recipe.modalities, space.low) if space.per_modality else space.low
