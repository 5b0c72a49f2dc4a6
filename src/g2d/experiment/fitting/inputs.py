"""The data of a fit in any form, as a recipe that all members share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from g2d.data.memory import columns_of
from g2d.data.store.facts import DATASET, read_facts
from g2d.datasets import find_dataset
from g2d.datasets.arrays.files import READERS
from g2d.datasets.base import read_options
from g2d.errors import ArgumentError, DataError
from g2d.experiment.console import Say
from g2d.experiment.fitting.planning import ADDITIVE, FUSION
from g2d.experiment.given import is_frame, write_frame
from g2d.experiment.training import as_recipe
from g2d.files import replaced
from g2d.prepare import Watch, default_workers, prepare
from g2d.prepare.starter import starter_recipe
from g2d.recipe import Recipe
from g2d.recipe.packaged import is_path, recipe_names
from g2d.runs import STORE

Preparing = Callable[[], AbstractContextManager[Watch | None]]
"""Function that returns the context of a preparation, with a function for its progress."""
SIDE = 64
"""Side of pictures at most where there is no accelerator."""
UPDATES, EPOCHS = 1000, (20, 40)
"""Updates that a member aims at, and the least and most epochs for them."""
TABLE, ARRAYS = "source.csv", "source.npz"
"""Files that keep data given from Python, so that a fit can be resumed and opened again."""


def base_recipe(
    data: Any,
    target: str | None,
    modalities: Sequence[str],
    out: Path,
    overrides: Mapping[str, Any],
    *,
    say: Say = print,
    preparing: Preparing = nullcontext,
) -> Recipe:
    """Return the recipe that all members of a fit share, after preparing raw data.

    Args:
        data: See :func:`g2d.fit`.
        target: Name of the target in a table or in arrays.
        modalities: Modalities to use; all if empty.
        out: Folder of the fit, which gets the store of raw data.
        overrides: Values by key, as in :func:`g2d.train`.
        say: Receives messages for the user.
        preparing: Returns the context in which raw data are prepared, which yields a function for
            the progress of it.

    Raises:
        ArgumentError: The data have none of the forms, the target is missing, or an override
            stacks within a member.
        DataError: The data cannot be prepared.
        RecipeError: The recipe or an override has faults.
    """
    alone = {"stack": 0, "students": 1}
    if taken := [key for key in alone if key in overrides]:
        raise ArgumentError(
            f"{taken[0]} must be left out of a fit, which stacks its own members, found "
            f"{overrides[taken[0]]!r}."
        )
    recipe = _known(data, target)
    if recipe is None:
        recipe = _of_store(_store(data, target, out, say, preparing))
    fusion = FUSION if len(modalities or recipe.modalities) > 1 else ADDITIVE
    chosen: dict[str, Any] = {"data.modalities": list(modalities)} if modalities else {}
    encoders = {m: one.plain() for m, one in recipe.encoders.items() if m in modalities}
    if modalities and len(encoders) == len(modalities):
        chosen["encoders"] = encoders
    fixed = {"method": "joint", "name": name_of(data, recipe), "controls": False}
    return as_recipe(recipe.changed({**fixed, **alone, "fusion": fusion, **chosen}), overrides)


def name_of(data: Any, recipe: Recipe | None = None) -> str:
    """Return a name for a fit: that of its file or recipe.

    Args:
        data: The data.
        recipe: Its recipe, if there is one yet.
    """
    if isinstance(data, Recipe):
        return data.name
    if isinstance(data, str | Path):
        path = Path(data)
        plain = path.stem if is_path(str(data)) or path.exists() else str(data)
        return plain.replace("/", "-")
    return "data" if recipe is None else recipe.name


def _known(data: Any, target: str | None) -> Recipe | None:
    """Return the recipe of data that have one: a recipe in any form, or a store."""
    is_recipe = isinstance(data, Mapping) and {"data", "encoders"} <= data.keys()
    if isinstance(data, Recipe) or is_recipe:
        return as_recipe(data, {})
    if not isinstance(data, str | Path):
        return None
    path = Path(data)
    if (path / DATASET).is_file():
        return _of_store(path)
    if path.suffix in (".yaml", ".yml") or (not path.exists() and str(data) in recipe_names()):
        return as_recipe(data, {})
    if not path.exists():
        raise ArgumentError(
            f"DATA must be a table, a file of arrays, a store or a recipe, found {str(data)!r}, "
            "which does not exist. The command g2d list recipes shows the packaged recipes."
        )
    return None


def _of_store(store: Path) -> Recipe:
    """Return a recipe for a store: encoders and batches by kind and size of the data."""
    facts, store = read_facts(store), store.resolve()
    large: dict[str, Any] = {"accelerator": True} if torch.cuda.is_available() else {"side": SIDE}
    content = starter_recipe(facts, store.name, str(store.parent), **large)
    rows = next(iter(facts["protocols"].values()))["rows"]["train"]
    updates = max(1, rows // content["train"]["batch_size"])
    content["epochs"] = min(max(ceil(UPDATES / updates), EPOCHS[0]), EPOCHS[1])
    content["name"] = facts["name"]
    return Recipe.from_mapping(content, str(store))


def _store(data: Any, target: str | None, out: Path, say: Say, preparing: Preparing) -> Path:
    """Prepare raw data in the folder of the fit; a store that is complete is kept."""
    options: dict[str, Any] = {}
    if isinstance(data, str | Path):
        path = Path(data)
        arrays = path.is_dir() or path.suffix.lower() in READERS
        options = {} if arrays or target is None else {"target": target}
        if arrays and target not in (None, "target"):
            raise ArgumentError(
                f"the target of arrays must be named target, found --target {target}. Rename the "
                "array."
            )
        folder = path if path.is_dir() else path.parent
    elif is_frame(data):
        path, arrays, folder = out / TABLE, False, Path()
        with replaced(path) as temporary:
            write_frame(data, temporary)
        options = {} if target is None else {"target": target}
    else:
        path, arrays, folder = out / ARRAYS, True, out
        given, options = _arrays(data, target)
        with replaced(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **given)
    reader = find_dataset("arrays" if arrays else "table").reader
    assert reader is not None
    plan = reader.plan(path, read_options(reader, options))
    for line in plan.inferred:
        say(line)
    with preparing() as watch:
        workers = min(default_workers(), ceil(len(plan.samples) / plan.chunk))
        summary = prepare(plan, folder, out / STORE, workers=max(1, workers), watch=watch)
    say(str(summary))
    return out / STORE


def _arrays(data: Any, target: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arrays in memory by name, and the options with which to prepare them.

    Args:
        data: A mapping of arrays, or rows as mappings, such as a Hugging Face data set.
        target: Name of the target.
    """
    if target is None:
        raise ArgumentError("target must name the array or column to predict, found None.")
    if isinstance(data, Mapping) and not any(map(_is_rows, data.values())):
        if target not in data:
            raise ArgumentError(
                f"target must be among the arrays ({', '.join(map(str, data))}), found {target!r}."
            )
        named = {("target" if name == target else str(name)): v for name, v in data.items()}
        return {name: np.asarray(values) for name, values in named.items()}, {}
    if not isinstance(data, Mapping | Iterable) or isinstance(data, bytes):
        raise ArgumentError(
            "data must be a path, the name of a recipe, a Recipe, a mapping of arrays, a data "
            f"frame or rows as mappings, found {type(data).__name__}."
        )
    part = next(iter(data.values())) if isinstance(data, Mapping) else data
    columns = list(getattr(part, "column_names", None) or next(iter(part), {}))
    roles = {name: name for name in ("split", "group", "id") if name in columns}
    others = [name for name in columns if name not in (target, *roles)]
    if target not in columns:
        raise DataError(f"the data set must have a column {target!r}, found {', '.join(columns)}.")
    read = columns_of(
        data,
        others,
        target,
        split=roles.get("split"),
        group=roles.get("group"),
        ids=roles.get("id"),
        classes=None,
    )
    options = {
        "classes": read.classes and tuple(read.classes),
        "rate": read.rate,
        "task": read.task,
    }
    given = {name: np.asarray(values) for name, values in read.arrays.items()}
    return given, {name: value for name, value in options.items() if value is not None}


def _is_rows(value: Any) -> bool:
    """Return whether a value is a split of a data set: rows as mappings."""
    return hasattr(value, "column_names") or (
        isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)
    )
