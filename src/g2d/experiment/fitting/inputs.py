"""The data of a fit in any form, as a recipe that all members share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import ceil
from pathlib import Path
from typing import Any

import torch

from g2d.data.store.facts import DATASET, read_facts
from g2d.datasets.base import read_options
from g2d.errors import ArgumentError, RunError
from g2d.experiment.console import Say
from g2d.experiment.fitting.keys import (
    check_metric,
    check_modalities,
    divided,
    reader_of,
    refuse_options,
)
from g2d.experiment.fitting.planning import ADDITIVE, FUSION
from g2d.experiment.fitting.raw import (
    FILES,
    FORMS,
    TABLE,
    Raw,
    Target,
    raw_data,
    refuse_folder_of_g2d,
)
from g2d.experiment.owning import owning
from g2d.experiment.training import as_recipe, dotted
from g2d.files import read_json, remove, sha256, temporary_path, write_json
from g2d.prepare import Plan, Watch, default_workers, prepare
from g2d.prepare.journal import plan_hash
from g2d.prepare.starter import starter_recipe
from g2d.recipe import Recipe
from g2d.recipe.packaged import is_path, recipe_names
from g2d.runs import PLAN, STORE, differences

Preparing = Callable[[], AbstractContextManager[Watch | None]]
"""Function that returns the context of a preparation, with a function for its progress."""
SIDE = 64
"""Side of pictures at most where there is no accelerator."""
UPDATES, EPOCHS = 1000, (20, 40)
"""Updates that a member aims at, and the least and most epochs for them."""
RECORD = "source.json"
"""File that keeps the options of a preparation, and the hash of what was prepared."""
OWN = frozenset({STORE, RECORD, *FILES.values()})
"""Names in the folder of a fit that is not planned yet."""


def base_recipe(
    data: Any,
    target: Target,
    modalities: Sequence[str],
    out: Path,
    overrides: Mapping[str, Any],
    *,
    metric: str | None = None,
    allow_partial: bool = False,
    say: Say = print,
    preparing: Preparing = nullcontext,
) -> Recipe:
    """Return the recipe that all members of a fit share, after preparing raw data.

    What can be wrong without reading all data is refused before.

    Args:
        data: See :func:`g2d.fit`.
        target: Name of the target in a table or in arrays.
        modalities: Modalities to use; all if empty.
        out: Folder of the fit, which gets the store of raw data.
        overrides: Values by key, as in :func:`g2d.train`, and options of the preparation.
        metric: Metric that chooses, if it is given.
        allow_partial: Whether to accept a store that lacks more than a tenth of the samples.
        say: Receives messages for the user.
        preparing: Returns the context in which raw data are prepared, which yields a function for
            the progress of it.

    Raises:
        ArgumentError: The data have none of the forms, the target is missing, there is no such
            metric, modality or key, or an override stacks within a member.
        DataError: The data cannot be prepared.
        RecipeError: The recipe or an override has faults.
        RunError: ``out`` belongs to a fit of other data, or with other options of the preparation.
    """
    alone = {"method": "joint", "stack": 0, "students": 1}
    if taken := [key for key in alone if key in overrides]:
        raise ArgumentError(
            f"{taken[0]} must be left out of a fit, which chooses and stacks its own members, "
            f"found {overrides[taken[0]]!r}. To train one method: g2d train or g2d compare."
        )
    check_metric(metric)
    recipe = _known(data)
    if recipe is not None:
        refuse_options(overrides)
    else:

        def check(plan: Plan) -> None:
            check_metric(metric, plan.task["kind"])
            check_modalities(modalities, list(plan.signals), plan.parameters.get("columns"))

        raw = raw_data(data, target, out)
        options, overrides = divided(overrides, raw.reader, name_of(data))
        recipe = _of_store(_store(raw, options, out, check, allow_partial, say, preparing))
    check_modalities(modalities, recipe.modalities)
    fusion = FUSION if len(modalities or recipe.modalities) > 1 else ADDITIVE
    chosen: dict[str, Any] = {"data.modalities": list(modalities)} if modalities else {}
    encoders = {m: one.plain() for m, one in recipe.encoders.items() if m in modalities}
    if modalities and len(encoders) == len(modalities):
        chosen["encoders"] = encoders
    fixed = {"name": name_of(data, recipe), "controls": False}
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


def refuse_changes(folder: Path, changes: Sequence[str]) -> None:
    """Refuse to resume a fit that was planned for something else.

    Args:
        folder: Its folder.
        changes: What differs, in words.

    Raises:
        RunError: Something differs.
    """
    if changes:
        raise RunError(
            f"{folder} must have the same data and options to be resumed, found others: "
            f"{'; '.join(changes)}. Choose another --out, or delete the folder."
        )


def _known(data: Any) -> Recipe | None:
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
            f"DATA must be {FORMS}, found {str(data)!r}, which does not exist. "
            "The command g2d list recipes shows the packaged recipes."
        )
    refuse_folder_of_g2d(path)
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


def _store(
    raw: Raw,
    given: Mapping[str, Any],
    out: Path,
    check: Callable[[Plan], None],
    allow_partial: bool,
    say: Say,
    preparing: Preparing,
) -> Path:
    """Prepare raw data in the folder of the fit; a store that is complete is kept.

    Before a fit is planned, its store is replaced if the data or the options have changed.
    """
    reader = reader_of(raw.reader)
    options = read_options(reader, raw.options | dict(given))
    own = options.model_dump(mode="json", exclude_defaults=True)
    store, record, planned = out / STORE, out / RECORD, (out / PLAN).is_file()
    with owning(out, say):
        before = _recorded(record)
        if planned and before:
            changes = (dict(dotted(one)) for one in (before["options"], own))
            refuse_changes(out, differences(*changes))
        if raw.write is not None:
            _keep(raw, record, planned)
        # Paths in a table of Python's are relative to the working directory, not to its file.
        where = {"folder": raw.folder} if raw.reader == TABLE else {}
        plan = reader.plan(raw.path, options, **where)
        check(plan)
        for line in plan.inferred:
            say(line)
        digest = plan_hash(plan)
        if not planned and (before or not store.exists()):
            if before and before["plan"] != digest:
                remove(store)
            write_json(record, {"options": own, "plan": digest})
        workers = max(1, min(default_workers(), ceil(len(plan.samples) / plan.chunk)))
        with preparing() as watch:
            summary = prepare(
                plan, raw.folder, store, workers=workers, allow_partial=allow_partial, watch=watch
            )
    say(str(summary))
    return store


def _keep(raw: Raw, record: Path, planned: bool) -> None:
    """Write the file of data given from Python, unless the folder has the same one.

    Raises:
        RunError: The folder has other data: those of a planned fit, or a file that no fit wrote.
    """
    assert raw.write is not None
    temporary = temporary_path(raw.path)
    try:
        raw.write(temporary)
        same = raw.path.is_file() and sha256(raw.path) == sha256(temporary)
        if not same and planned:
            refuse_changes(record.parent, ["the rows were others"])
        if not same and raw.path.exists() and not record.is_file():
            raise RunError(
                f"--out must be a new folder or one of g2d fit, found another {raw.path.name} in "
                f"{record.parent}. Choose another --out."
            )
        if not same:
            if not record.is_file():
                write_json(record, {"options": {}, "plan": ""})
            temporary.replace(raw.path)
    finally:
        temporary.unlink(missing_ok=True)


def _recorded(record: Path) -> dict[str, Any] | None:
    """Return the options of the preparation and the hash of what was prepared, if there are any."""
    try:
        content = read_json(record)
        return {"options": dict(content["options"]), "plan": str(content["plan"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError):
        raise RunError(
            f"{record} must be what g2d fit wrote, found damage. Choose another --out, or delete "
            f"{record.parent}."
        ) from None
