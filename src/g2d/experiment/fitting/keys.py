"""Check and divide what a user gives by name: keys, the metric, modalities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from g2d.datasets import find_dataset
from g2d.datasets.base import Reader
from g2d.errors import ArgumentError, RecipeError
from g2d.experiment.fitting.raw import ARRAYS, TABLE
from g2d.experiment.training import as_recipe, dotted
from g2d.files import did_you_mean, nearest, one_of
from g2d.recipe import Recipe
from g2d.recipe.reading import set_value
from g2d.recipe.schema import Keys
from g2d.task import Classification, MultiLabel, Regression, Task

ANY_TASK = (Classification(6), Regression(log=True), MultiLabel(1))
"""A task of every kind, with all metrics that the kind can have."""
OF_THE_DATA = ("data", "encoders", "methods")
"""Sections of a recipe that cannot be checked before the modalities are known."""


def reader_of(name: str) -> Reader:
    """Return the reader of a user's own data.

    Args:
        name: ``"table"`` or ``"arrays"``.
    """
    reader = find_dataset(name).reader
    assert reader is not None
    return reader


def divided(
    overrides: Mapping[str, Any], reader: str, name: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the preparation, and the keys of the recipe.

    Keys of the recipe are checked as far as this is possible without the data.

    Args:
        overrides: Values by key, which may be dotted.
        reader: Name of the reader of the data.
        name: Name of the recipe, for messages.

    Raises:
        ArgumentError: A key is neither.
        RecipeError: A key of the recipe, or its value, has faults.

    Example:
        >>> divided({"kinds.note": "text", "epochs": 2}, "table", "mine")
        ({'kinds': {'note': 'text'}}, {'epochs': 2})
    """
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    faults: list[str] = []
    prepared = reader_of(reader).options.model_fields
    for key, value in overrides.items():
        section = key.partition(".")[0]
        if section in prepared:
            set_value(options, key, value, faults)
        elif section in Keys.model_fields:
            settings[key] = value
        else:
            with suppress(RecipeError):  # an option of a section gets its own sentence
                as_recipe(_any_recipe(name), {key: value})
            near = nearest(section, [*Keys.model_fields, *prepared])
            raise ArgumentError(
                f"{key} must be a key of the recipe ({', '.join(Keys.model_fields)}) or an option "
                f"of the preparation ({', '.join(prepared)}), found neither."
                + ("" if near is None else f" Did you mean {near + key.removeprefix(section)!r}?")
            )
    if faults:
        raise RecipeError(faults, "the options of the preparation")
    as_recipe(_any_recipe(name), dict(_checkable(settings)))
    return options, settings


def refuse_options(overrides: Iterable[str]) -> None:
    """Refuse options of a preparation for data that need none.

    Args:
        overrides: Keys of the recipe.

    Raises:
        ArgumentError: A key is such an option.
    """
    for key in overrides:
        section = key.partition(".")[0]
        readers = [n for n in (TABLE, ARRAYS) if section in reader_of(n).options.model_fields]
        if readers and section not in Keys.model_fields:
            raise ArgumentError(
                f"{key} must be given with raw data, found DATA that are prepared already or need "
                "no preparation. Give the table or the file of arrays as DATA, or prepare it "
                f"again: g2d data prepare {readers[0]} --source FILE --out STORE {key}=VALUE"
            )


def check_metric(metric: str | None, kind: str | None = None) -> None:
    """Refuse a metric that no task has.

    Args:
        metric: Its name; None passes.
        kind: Kind of the task, if it is known.

    Raises:
        ArgumentError: There is no such metric; the message suggests the nearest one.

    Example:
        >>> check_metric("macro_f1")
        >>> check_metric("mae", "classification")
        Traceback (most recent call last):
            ...
        g2d.errors.ArgumentError: metric must be one of accuracy, macro_f1, top5, ...
    """
    tasks = [task for task in ANY_TASK if kind in (None, task.kind)]
    if metric is not None:
        one_of("metric", metric, dict.fromkeys(m for task in tasks for m in metrics_of(task)))


def metrics_of(task: Task) -> list[str]:
    """Return the names of the metrics that can choose.

    Args:
        task: The task.

    Example:
        >>> metrics_of(Regression())
        ['mae', 'mape', 'r2']
    """
    known, logits = task.metrics(), torch.zeros(0, task.outputs)
    known.update(logits, task.predict(logits))
    return [name for name in known.compute() if name != "zero_targets"]


def check_modalities(
    chosen: Sequence[str],
    modalities: Sequence[str],
    columns: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Refuse a choice of modalities that the data do not have.

    Args:
        chosen: The choice.
        modalities: Names of all modalities.
        columns: Columns of the table by modality.

    Raises:
        ArgumentError: One does not exist.
    """
    for name in chosen:
        if name not in modalities:
            part_of = [m for m, own in (columns or {}).items() if name in own]
            raise ArgumentError(
                f"modalities must be some of {', '.join(modalities)}, found {name}."
                + (f" It is a column of the modality {part_of[0]}." if part_of else "")
                + ("" if part_of else did_you_mean(name, modalities))
            )


def _any_recipe(name: str) -> Recipe:
    """Return a recipe of two modalities that need not exist."""
    data = {"name": "store", "store": name}
    encoders = {"first": "mlp", "second": "mlp"}
    content = {"data": data, "encoders": encoders, "method": "joint", "epochs": 1}
    return Recipe.from_mapping({"name": name, **content})


def _checkable(settings: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield dotted keys and values that mean the same whatever the modalities are."""
    pairs = [(key, key.split("."), value) for key, value in dotted(settings)]
    # A list or mapping of a method may have a value per modality; its other options depend on it.
    left_out = {
        section
        for _, (section, *_), value in pairs
        if section in OF_THE_DATA
        or (section == "method" and isinstance(value, list | tuple | Mapping))
    }
    for key, (section, *inner), value in pairs:
        if section not in left_out and "group_lr" not in inner:
            yield key, value
