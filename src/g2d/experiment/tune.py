"""An equal search for all: every recipe gets the same number of trials, and is judged by the validation rows alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from g2d.engine.evaluate import evaluate
from g2d.engine.fit import fit
from g2d.engine.setup import check
from g2d.errors import MissingDependencyError, RecipeError, RunError
from g2d.experiment.run import Say
from g2d.experiment.taught import Taught, obtain
from g2d.files import write_json, write_text
from g2d.method import Choice, Log, Space, Whole
from g2d.methods import METHODS
from g2d.model import warm_start
from g2d.recipe.recipe import Recipe, check_names
from g2d.report.formatting import aligned, spread
from g2d.task import task_from_config

if TYPE_CHECKING:
    import optuna

RATE = "train.lr"
REACH = 5.0
"""The learning rate of every student is searched from a fifth of the recipe's to five times it; teachers keep theirs."""


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Args:
        recipe: the recipe as it was given.
        values: the best trial's values, by dotted key.
        score: its headline metric on validation, the mean over seeds.
        start: that of the recipe's own values, which is the first trial.
        trials: how many were finished.
        metric: the headline metric.
    """

    recipe: Recipe
    values: dict[str, Any]
    score: float
    start: float
    trials: int
    metric: str

    @property
    def best(self) -> Recipe:
        """The recipe with the best values."""
        return laid(self.recipe, self.values)


def tune(
    recipes: Sequence[Recipe],
    *,
    trials: int = 20,
    seeds: int = 1,
    searched: Mapping[str, Space] | None = None,
    out: str | Path,
    say: Say = print,
) -> str:
    """Search every recipe's learning rate and its method's strengths, with the same number of trials each.

    The first trial is the recipe as it stands; the others are drawn by Optuna's TPE sampler from the recipe's seed. The test split
    is never looked at. Finished trials are kept, so that an interrupted search goes on. A method without anything to search (UME) has one trial.

    Args:
        trials: per recipe.
        seeds: a trial's score is the mean over so many, from the recipe's own upwards.
        searched: dotted keys and spaces instead of the defaults.
        out: ``NAME.yaml`` with the best values, ``tune.json`` and ``tune.md``.

    Returns:
        a table: the score before and after, and the values.

    Raises:
        MissingDependencyError: Optuna is not installed.
        RecipeError: a recipe selects on the test split, or two have the same name.
    """
    out = Path(out)
    check_names(recipes, "tune")
    if peeking := [recipe.name for recipe in recipes if recipe.train.select_on == "test"]:
        raise RecipeError(
            [
                f"train.select_on must be validation for a search, found test in {', '.join(peeking)}: the test split would be tuned on."
            ],
            "tune",
        )
    library = _optuna()
    spaces = [dict(search_space(recipe) if searched is None else searched) for recipe in recipes]
    for recipe, space in zip(
        recipes, spaces, strict=True
    ):  # whatever can be refused is refused before the first trial
        laid(recipe, {key: _middle(each, recipe) for key, each in space.items()})
    found = []
    for recipe, space in zip(recipes, spaces, strict=True):
        found.append(_search(library, recipe, space, trials, seeds, out, say))
        write_text(
            out / f"{recipe.name}.yaml",
            yaml.safe_dump(
                found[-1].best.resolved(), sort_keys=False, allow_unicode=True, width=160
            ),
        )
    content = [
        {
            "name": t.recipe.name,
            "trials": t.trials,
            "seeds": seeds,
            "metric": t.metric,
            "start": t.start,
            "best": t.score,
            "values": t.values,
        }
        for t in found
    ]
    write_json(out / "tune.json", content)
    text = table(found)
    write_text(out / "tune.md", text + "\n")
    return text


def search_space(recipe: Recipe) -> dict[str, Space]:
    """The dotted keys that are searched by default: the learning rate, and the strengths that the method's class names."""
    kind = METHODS[recipe.method.name]
    if not kind.trains:
        return {}
    return {
        RATE: Log(recipe.train.lr / REACH, recipe.train.lr * REACH),
        **{f"method.{key}": space for key, space in kind.search.items()},
    }


def read_space(text: str) -> tuple[str, Space]:
    """A search as it is written on the command line.

    Raises:
        RecipeError: it is not written so.

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
            return key, Choice(tuple(yaml.safe_load(value) for value in values.split("|")))
    except (ValueError, yaml.YAMLError):
        pass
    raise RecipeError(
        [
            f"--search must be KEY=LOW..HIGH (positive, by logarithm), KEY=LOW..HIGH:whole or KEY=A|B|C, found {text!r}."
        ],
        "the command line",
    )


def laid(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with other values at dotted keys. Teachers stay as they were: a student's rate is not theirs.

    Raises:
        RecipeError: a key or a value is not valid.
    """
    own = recipe.teachers.train
    pinned = {"teachers.train.lr": own.lr, "teachers.train.batch_size": own.batch_size}
    return recipe.changed({**pinned, **values})


def table(found: Sequence[Tuned]) -> str:
    """Score before and after, and what was chosen."""
    rows = [
        [
            t.recipe.name,
            str(t.trials),
            spread([t.start], t.metric),
            spread([t.score], t.metric),
            _written(t.values),
        ]
        for t in found
    ]
    return aligned(
        ["", "trials", f"validation {found[0].metric} as given", "tuned", "values"], rows
    )


def _written(values: Mapping[str, Any]) -> str:
    def short(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key}: {short(inner)}" for key, inner in value.items()) + "}"
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    return " ".join(f"{key}={short(value)}" for key, value in values.items()) or "-"


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingDependencyError(
            "a search must have Optuna, found none. Install it with: pip install 'g2d[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _search(
    library: Any,
    recipe: Recipe,
    space: Mapping[str, Space],
    trials: int,
    seeds: int,
    out: Path,
    say: Say,
) -> Tuned:
    metric = task_from_config(recipe.build_source().task.config()).headline
    trials = trials if space else 1
    score = _Scorer(recipe, seeds, out, say)
    out.mkdir(parents=True, exist_ok=True)
    backend = library.storages.journal.JournalFileBackend(str(out / f"{recipe.name}.trials.log"))
    study: optuna.Study = library.create_study(
        study_name=_study_name(recipe, space, seeds),
        storage=library.storages.JournalStorage(backend),
        sampler=library.samplers.TPESampler(seed=recipe.train.seed),
        direction="maximize",
        load_if_exists=True,
    )

    def complete() -> list[optuna.trial.FrozenTrial]:
        done: list[optuna.trial.FrozenTrial] = study.get_trials(
            states=(library.trial.TrialState.COMPLETE,)
        )
        return done

    def objective(trial: optuna.Trial) -> float:
        # The recipe itself comes first, so that a search never ends worse than it began.
        begun = any(not done.user_attrs["values"] for done in complete())
        values = (
            {key: _suggest(trial, key, each, recipe) for key, each in space.items()}
            if begun
            else {}
        )
        trial.set_user_attr("values", values)
        result = score(values)
        tried = _written(values) if values else "its own values"
        say(
            f"{recipe.name}, trial {len(complete()) + 1} of {trials}: {metric} {spread([result], metric)} with {tried}"
        )
        return result

    study.optimize(objective, n_trials=max(0, trials - len(complete())))
    start = next(done.value for done in complete() if not done.user_attrs["values"])
    return Tuned(
        recipe,
        study.best_trial.user_attrs["values"],
        study.best_value,
        start or 0.0,
        len(complete()),
        metric,
    )


def _study_name(recipe: Recipe, space: Mapping[str, Space], seeds: int) -> str:
    """Trials of another recipe or space are another study, even in the same folder."""
    text = yaml.safe_dump(
        [recipe.resolved(), {key: repr(each) for key, each in space.items()}, seeds]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Scorer:
    """Validation score of a set of values: trains, in memory, and never opens the test split."""

    def __init__(self, recipe: Recipe, seeds: int, out: Path, say: Callable[[str], object]) -> None:
        self.recipe, self.seeds, self.out, self.say = recipe, seeds, out, say
        self.taught: dict[int, Taught] = {}

    def __call__(self, values: Mapping[str, Any]) -> float:
        first = self.recipe.train.seed
        try:
            scores = [
                self._one(laid(self.recipe.changed(seed=seed), values))
                for seed in range(first, first + self.seeds)
            ]
        except RunError:  # a loss that is no longer finite: as bad as can be
            return -1e9
        return sum(scores) / len(scores)

    def _one(self, recipe: Recipe) -> float:
        if recipe.train.threads is not None:
            torch.set_num_threads(recipe.train.threads)
        source, seed = recipe.build_source(), recipe.train.seed
        if recipe.needs_teachers and seed not in self.taught:
            self.taught[seed] = obtain(
                recipe, source, self.out / "runs", progress=False, say=self.say
            )
        taught = self.taught.get(seed)
        model = recipe.build_model(source)
        if taught is not None and recipe.warm_start:
            warm_start(model, taught.teachers.models)
        method = recipe.build_method(None if taught is None else taught.teachers).build(
            model, source.task
        )
        options = replace(recipe.train, select_on="validation")
        check(method, model, source, options)
        fitted = fit(method, model, source, options)
        if method.trains:
            return fitted.score
        return evaluate(method, model, source, "valid", batch_size=options.eval_batch_size).score


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


def _middle(space: Space, recipe: Recipe) -> Any:
    """A value of the space, to see whether the recipe takes it."""
    if isinstance(space, Choice):
        return space.values[0]
    if isinstance(space, Whole):
        return space.low
    return dict.fromkeys(recipe.modalities, space.low) if space.per_modality else space.low
