"""Hyperparameter search: the same number of trials per recipe, scored on the validation rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from g2d.engine.evaluate import evaluate
from g2d.errors import RecipeError, RunError
from g2d.experiment.console import Console, Say
from g2d.experiment.owning import owning
from g2d.experiment.student import Student
from g2d.experiment.teachers import teacher_sets
from g2d.experiment.training import check_names
from g2d.files import import_extra, replaced, write_json, write_text
from g2d.locks import system_lock
from g2d.method import Choice, Log, Space, Whole
from g2d.methods import METHODS
from g2d.model import Teachers
from g2d.plainyaml import parse
from g2d.recipe import Recipe
from g2d.report.formatting import spread
from g2d.report.tables import Cell, Column, Row, Table
from g2d.task import TASKS

if TYPE_CHECKING:
    import optuna

RATE = "train.lr"
REACH = 5.0
"""Learning rates are searched from the recipe's divided by REACH to the recipe's times REACH."""
FAILED = -1e9
"""Score of a trial whose loss is no longer finite."""


@dataclass(frozen=True)
class Tuned:
    """Result of a search.

    Args:
        recipe: The recipe before the search.
        trials: Number of finished trials.
        metric: The headline metric.
        start: The score of the first trial, the unchanged recipe.
        best: The best trial's headline metric on validation, the mean over seeds.
        values: The best trial's values by dotted key.
    """

    recipe: Recipe
    trials: int
    metric: str
    start: float
    best: float
    values: dict[str, Any]

    @property
    def tuned(self) -> Recipe:
        """The recipe with the best values."""
        return with_values(self.recipe, self.values)

    def plain(self, seeds: int) -> dict[str, Any]:
        """Return the entry of ``tune.json``."""
        figures = {key: value for key, value in vars(self).items() if key != "recipe"}
        return {"name": self.recipe.name, "seeds": seeds, **figures}


def tune(
    recipes: Sequence[Recipe],
    *,
    trials: int = 20,
    seeds: int = 1,
    searched: Mapping[str, Space] | None = None,
    out: str | Path,
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
        say: Receives messages for the user.

    Returns:
        A table of the scores before and after, and the values.

    Raises:
        MissingDependencyError: Optuna is not installed.
        RecipeError: A recipe selects on the test split, two have the same name, or a space does
            not fit a recipe.
        RunError: Another command writes to the folder.
    """
    out = Path(out)
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
    tuned: list[Tuned] = []
    with owning(out, say):
        for recipe, space in zip(recipes, spaces, strict=True):
            tuned.append(_Search(recipe, space, seeds, out, say).run(trials))
            write_text(out / f"{recipe.name}.yaml", tuned[-1].tuned.to_yaml())
        write_json(out / "tune.json", [one.plain(seeds) for one in tuned])
        text = table(tuned)
        write_text(out / "tune.md", text + "\n")
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


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe with other values; its teachers stay the same.

    Args:
        recipe: The recipe.
        values: Values by dotted key.

    Raises:
        RecipeError: A key or a value is not valid.
    """
    pinned = {
        f"teachers.train.{key}": value
        for key, value in recipe.teachers.train.training().items()
        if key not in ("epochs", "seed")
    }
    return recipe.changed({**pinned, **values})


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
    notes = tuple(f"{one.recipe.name}: {_written(one.values)}" for one in tuned)
    return Table("", tuple(map(Column, columns)), tuple(rows), notes).text()


def _written(values: Mapping[str, Any]) -> str:
    def short(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key}: {short(inner)}" for key, inner in value.items()) + "}"
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    return " ".join(f"{key}={short(value)}" for key, value in values.items()) or "-"


class _Search:
    """Search of one recipe; its trials are kept in ``NAME.trials.log``."""

    def __init__(
        self, recipe: Recipe, space: Mapping[str, Space], seeds: int, out: Path, say: Say
    ) -> None:
        library = import_extra("optuna", "tune", "a search")
        library.logging.set_verbosity(library.logging.WARNING)
        self.recipe, self.space, self.say = recipe, space, say
        self.metric = TASKS[recipe.build_source().task.kind].headline
        self.score = _Scorer(recipe, seeds, out, say)
        self.sampler, self.states = library.samplers.TPESampler, library.trial.TrialState
        out.mkdir(parents=True, exist_ok=True)
        log, self.lock = out / f"{recipe.name}.trials.log", out / f".{recipe.name}.trials.lock"
        _whole_lines(log)
        # Optuna's own lock is never given up if its process is killed and the path is relative.
        journal = library.storages.journal.JournalFileBackend(
            str(log), lock_obj=system_lock(self.lock)
        )
        self.study: optuna.Study = library.create_study(
            study_name=_study_name(recipe, space, seeds),
            storage=library.storages.JournalStorage(journal),
            direction="maximize",
            load_if_exists=True,
        )

    def run(self, trials: int) -> Tuned:
        """Run the trials that are missing, and return the best one."""
        trials = trials if self.space else 1
        for killed in self.study.get_trials(deepcopy=False, states=(self.states.RUNNING,)):
            self.study.tell(killed.number, state=self.states.FAIL)
        missing = max(0, trials - len(self._done()))
        self.study.optimize(partial(self._objective, trials=trials), n_trials=missing)
        self.lock.unlink(missing_ok=True)
        done, best = self._done(), self.study.best_value
        start = next(trial.value for trial in done if not trial.user_attrs["values"])
        values = self.study.best_trial.user_attrs["values"]
        return Tuned(self.recipe, len(done), self.metric, start or 0.0, best, values)

    def _objective(self, trial: optuna.Trial, trials: int) -> float:
        # Random numbers depend on the number of the trial alone: a search that was interrupted
        # draws the same values.
        count = len(self._done())
        self.study.sampler = self.sampler(seed=self.recipe.train.seed + count)
        # The unchanged recipe comes first, so that a search never ends worse than it began.
        first = all(done.user_attrs["values"] for done in self._done())
        space = {} if first else self.space
        values = {key: _suggest(trial, key, each, self.recipe) for key, each in space.items()}
        trial.set_user_attr("values", values)
        score = self.score(values)
        written = _written(values) if values else "its own values"
        self.say(
            f"{self.recipe.name}, trial {count + 1} of {trials}: {self.metric} "
            f"{spread([score], self.metric)} with {written}"
        )
        return score

    def _done(self) -> list[optuna.trial.FrozenTrial]:
        return list(self.study.get_trials(states=(self.states.COMPLETE,)))


def _whole_lines(log: Path) -> None:
    """Cut off a line that a killed process left unfinished."""
    content = log.read_bytes() if log.is_file() else b""
    if not content.endswith(b"\n") and content:
        with replaced(log) as temporary:
            temporary.write_bytes(content[: content.rfind(b"\n") + 1])


def _study_name(recipe: Recipe, space: Mapping[str, Space], seeds: int) -> str:
    """Return a name that differs for every recipe and space, also in the same folder."""
    spaces = {key: repr(each) for key, each in space.items()}
    text = yaml.safe_dump([recipe.resolved(), spaces, seeds])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Scorer:
    """Validation score of some values, by training in memory; the test split is never read."""

    def __init__(self, recipe: Recipe, seeds: int, out: Path, say: Callable[[str], object]) -> None:
        self.recipe, self.seeds = recipe, seeds
        self.out, self.console = out / "runs", Console(say, progress=False)
        self.teachers: dict[int, Teachers | None] = {}

    def __call__(self, values: Mapping[str, Any]) -> float:
        first = self.recipe.train.seed
        try:
            scores = [
                self._score(with_values(self.recipe.changed(seed=seed), values))
                for seed in range(first, first + self.seeds)
            ]
        except RunError:  # the loss is no longer finite
            return FAILED
        return sum(scores) / len(scores)

    def _score(self, recipe: Recipe) -> float:
        if recipe.train.threads is not None:
            torch.set_num_threads(recipe.train.threads)
        source, seed = recipe.build_source(), recipe.train.seed
        student = Student.build(recipe, source)
        if seed not in self.teachers:
            sets = teacher_sets(student, self.out, self.console)
            self.teachers[seed] = sets[0].teachers if sets else None
        fitted = student.train(self.teachers[seed])
        if student.method.trains:
            return fitted.score
        size = recipe.train.eval_batch_size
        return evaluate(student.method, student.model, source, "valid", batch_size=size).score


def _suggest(trial: optuna.Trial, key: str, space: Space, recipe: Recipe) -> Any:
    if isinstance(space, Choice):
        return trial.suggest_categorical(key, list(space.values))
    if isinstance(space, Whole):
        return trial.suggest_int(key, space.low, space.high)
    if space.per_modality:
        return {
            m: trial.suggest_float(f"{key}.{m}", space.low, space.high, log=True)
            for m in recipe.modalities
        }
    return trial.suggest_float(key, space.low, space.high, log=True)


def _valid_value(space: Space, recipe: Recipe) -> Any:
    """Return some value of the space, to check that the recipe accepts it."""
    if isinstance(space, Choice):
        return space.values[0]
    if isinstance(space, Whole):
        return space.low
    return dict.fromkeys(recipe.modalities, space.low) if space.per_modality else space.low
