"""The search of one recipe: its trials, where they are kept, and the score of a trial."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from g2d.engine.evaluate import evaluate
from g2d.errors import ArgumentError, NonFiniteError
from g2d.experiment.cells import Cell
from g2d.experiment.console import Console
from g2d.experiment.launching import threads_of
from g2d.experiment.owning import owning
from g2d.experiment.student import Student
from g2d.experiment.teachers import teacher_sets
from g2d.files import import_extra, replaced, write_text
from g2d.locks import system_lock
from g2d.method import Choice, Space, Whole
from g2d.model import Teachers
from g2d.recipe import Recipe
from g2d.report.formatting import spread
from g2d.task import TASKS

if TYPE_CHECKING:
    import optuna

FAILED = -1e9
"""Score of a trial whose loss is no longer finite."""
VALUES = "values"
"""Attribute of a trial with its values by dotted key; empty for the unchanged recipe."""
HEARTBEAT = 60
"""Seconds between two signs of life of a trial in a database."""


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


@dataclass(frozen=True)
class Search:
    """Search of one recipe.

    Args:
        recipe: The recipe.
        space: Spaces by dotted key; a recipe without any has one trial.
        seeds: Number of seeds averaged into a trial's score.
        out: Folder of the search.
        trials: Number of trials.
        storage: Where trials are kept that several commands share: the path of a journal file or
            the URL of a database. None keeps them in ``NAME.trials.log``, for one process.
    """

    recipe: Recipe
    space: Mapping[str, Space]
    seeds: int
    out: Path
    trials: int
    storage: str | None = None

    @property
    def name(self) -> str:
        """Name for the user."""
        return self.recipe.name

    def cells(self, processes: int = 1) -> list[Cell]:
        """Return the work of this search.

        Args:
            processes: Number of processes that share its trials; more than one needs ``storage``.
        """
        names = [self.name, *(f"{self.name}, process {i + 1}" for i in range(1, processes))]
        return [
            Cell(name, partial(carry_out_search, self), threads_of(self.recipe)) for name in names
        ]

    def begin(self) -> int:
        """Open the trials, or begin a list of them, and return how many are finished."""
        return len(self._done())

    def run(self, console: Console) -> Tuned:
        """Run the trials that are missing, and return the best one.

        Args:
            console: Receives a message per trial.
        """
        with nullcontext() if self.storage else self._owned(console):
            self._complete(_Scorer(self, console))
        return self.result()

    @contextmanager
    def _owned(self, console: Console) -> Iterator[None]:
        """Own the trials of this recipe: the first command finishes, others wait for it."""
        folder = self.out / "runs" / self.name
        with owning(folder, console.say, wait=True):
            log = self.out / f"{self.name}.trials.log"
            _whole_lines(log)
            states = import_extra("optuna", "tune", "a search").trial.TrialState
            for killed in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                self.study.tell(killed.number, state=states.FAIL)
            yield
            lock_of(log).unlink(missing_ok=True)
        for empty in (folder, folder.parent):
            with suppress(OSError):
                empty.rmdir()

    def _complete(self, scorer: _Scorer) -> None:
        while missing := self._missing():
            # Others add trials to a shared study: look again after each.
            count = 1 if self.storage else missing
            self.study.optimize(partial(self._objective, scorer), n_trials=count)

    def result(self) -> Tuned:
        """Return the best of the finished trials, and write its recipe to ``NAME.yaml``."""
        done = self._done()
        own = next(filter(_is_unchanged, done))
        best = max(done, key=lambda trial: (trial.value or 0.0, -trial.number))
        values = best.user_attrs[VALUES]
        start, score = own.value or 0.0, best.value or 0.0
        tuned = Tuned(self.recipe, len(done), self._metric, start, score, values)
        write_text(self.out / f"{self.name}.yaml", tuned.tuned.to_yaml())
        return tuned

    @cached_property
    def study(self) -> optuna.Study:
        """The trials, opened or begun."""
        library = import_extra("optuna", "tune", "a search")
        library.logging.set_verbosity(library.logging.ERROR)
        self.out.mkdir(parents=True, exist_ok=True)
        try:
            storage = open_storage(self.storage or str(self.out / f"{self.name}.trials.log"))
        except ArgumentError:
            with suppress(OSError):
                self.out.rmdir()  # if it is empty
            raise
        study: optuna.Study = library.create_study(
            study_name=_study_name(self.recipe, self.space, self.seeds),
            storage=storage,
            direction="maximize",
            load_if_exists=True,
        )
        return study

    @cached_property
    def _metric(self) -> str:
        return TASKS[self.recipe.build_source().task.kind].headline

    def _missing(self) -> int:
        done = self._done()
        own = any(map(_is_unchanged, done))
        return max(0 if own else 1, (self.trials if self.space else 1) - len(done))

    def _objective(self, scorer: _Scorer, trial: optuna.Trial) -> float:
        library = import_extra("optuna", "tune", "a search")
        done, states = self._done(), library.trial.TrialState
        # The unchanged recipe comes first, so that a search never ends worse than it began. It is
        # the last one if the process that began with it was killed.
        others = self.study.get_trials(states=(states.RUNNING,)) if self.storage else []
        running = len(done) < self.trials - 1 and any(map(_is_unchanged, others))
        first = not running and not any(map(_is_unchanged, done))
        # Draws depend on the place of the trial alone: an interrupted search continues exactly, and
        # processes that share a study draw different values.
        place = trial.number if self.storage else len(done)
        seed = (self.recipe.train.seed + place) % 2**32
        self.study.sampler = library.samplers.TPESampler(seed=seed)
        space = {} if first else self.space
        values = {key: _suggest(trial, key, each, self.recipe) for key, each in space.items()}
        trial.set_user_attr(VALUES, values)
        score = scorer(values)
        written = in_short(values) if values else "its own values"
        scorer.console.say(
            f"{self.name}, trial {len(self._done()) + 1} of {self.trials if self.space else 1}: "
            f"{self._metric} {spread([score], self._metric)} with {written}"
        )
        return score

    def _done(self) -> list[optuna.trial.FrozenTrial]:
        """Return the finished trials that count, in their order.

        Processes that share a study may finish a few more than wanted: only the first ones count,
        and the unchanged recipe always does, so that all recipes have equal trials.
        """
        complete = import_extra("optuna", "tune", "a search").trial.TrialState.COMPLETE
        done = sorted(self.study.get_trials(states=(complete,)), key=lambda trial: trial.number)
        if not self.storage:
            return done
        done.sort(key=lambda trial: not _is_unchanged(trial))
        return done[: self.trials if self.space else 1]


def _is_unchanged(trial: optuna.trial.FrozenTrial) -> bool:
    """Return whether a trial has the values of the recipe itself."""
    return not trial.user_attrs.get(VALUES, True)


def carry_out_search(search: Search, console: Console) -> Tuned:
    """Run a search as a cell.

    Args:
        search: The search.
        console: Receives its messages.
    """
    return search.run(console)


def open_storage(place: str) -> Any:
    """Return the storage of trials at a place.

    Args:
        place: The path of a journal file, or the URL of a database.

    Raises:
        ArgumentError: It cannot be opened.
    """
    library = import_extra("optuna", "tune", "a search")
    storages = library.storages
    if "://" not in place:
        # Optuna's own lock is never given up if its process is killed and the path is relative.
        lock = system_lock(lock_of(Path(place)))
        return storages.JournalStorage(storages.journal.JournalFileBackend(place, lock_obj=lock))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", library.exceptions.ExperimentalWarning)
            return storages.RDBStorage(place, heartbeat_interval=HEARTBEAT)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArgumentError(
            "storage must be the path of a journal file or the URL of a database that can be "
            f"opened, found {place!r}: {reason}"
        ) from error


def lock_of(log: Path) -> Path:
    """Return the lock of a journal file."""
    return log.with_name(f".{log.stem}.lock")


def _whole_lines(log: Path) -> None:
    """Cut off a line that a killed process left unfinished."""
    content = log.read_bytes() if log.is_file() else b""
    if not content.endswith(b"\n") and content:
        with replaced(log) as temporary:
            temporary.write_bytes(content[: content.rfind(b"\n") + 1])


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


def in_short(values: Mapping[str, Any]) -> str:
    """Return values in one line, numbers with three digits."""

    def short(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key}: {short(inner)}" for key, inner in value.items()) + "}"
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    return " ".join(f"{key}={short(value)}" for key, value in values.items()) or "-"


def _study_name(recipe: Recipe, space: Mapping[str, Space], seeds: int) -> str:
    """Return a name that differs for every recipe and space, also in the same folder."""
    spaces = {key: repr(each) for key, each in space.items()}
    text = yaml.safe_dump([recipe.resolved(), spaces, seeds])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Scorer:
    """Validation score of some values, by training in memory; the test split is never read."""

    def __init__(self, search: Search, console: Console) -> None:
        self.recipe, self.seeds = search.recipe, search.seeds
        self.out, self.console = search.out / "runs", replace(console, progress=False)
        self.teachers: dict[int, Teachers | None] = {}

    def __call__(self, values: Mapping[str, Any]) -> float:
        first = self.recipe.train.seed
        try:
            scores = [
                self._score(with_values(self.recipe.changed(seed=seed), values))
                for seed in range(first, first + self.seeds)
            ]
        except NonFiniteError:  # the loss is no longer finite
            return FAILED
        return sum(scores) / len(scores)

    def _score(self, recipe: Recipe) -> float:
        torch.set_num_threads(threads_of(recipe))
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
