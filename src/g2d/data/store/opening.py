"""Open a store on disk as a :class:`~g2d.data.source.Source`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from g2d.data.roots import data_root
from g2d.data.source import Source
from g2d.data.splits import TEST, TRAIN, UNUSED, VALID
from g2d.data.store.arrays import CountedMask, StoredArray
from g2d.data.store.facts import (
    DATASET,
    PRESENT,
    SPLITS,
    UNFINISHED,
    Signal,
    protocol_file,
    read_facts,
    require_hashes,
    require_sizes,
    signals,
)
from g2d.data.store.fitting import complete_steps, fit_chain
from g2d.data.store.scaling import open_target
from g2d.data.views import Chain, read_chain
from g2d.errors import DataError
from g2d.files import choice_fault, read_json
from g2d.manifest import within

Flags = dict[str, NDArray[np.bool_]]


class StoreOptions(BaseModel):
    """Options of a prepared store in a recipe.

    Args:
        store: Name of its folder under the data root, or a path.
        protocol: Name of the protocol that splits the rows; by default the first of the store.
        modalities: Names of the modalities, in order; by default all, in the order of the store.
        views: Per modality the steps from stored values to the model's input, in place of the
            view of the store.
        validation: ``"own"`` rows of the protocol; or ``"test"``, which trains on the validation
            rows too and validates on the test rows, as some released code does. It needs
            ``train.select_on: test``, which marks every result.
        output: Output of a regression: ``"sigmoid"`` (Eq. 1) or ``"identity"``.
        root: Folder that contains the store; by default the environment's ``G2D_DATA``, else
            ``data``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field(min_length=1)
    protocol: str | None = None
    modalities: tuple[str, ...] | None = Field(None, min_length=1)
    views: dict[str, tuple[dict[str, Any], ...]] = Field(default_factory=dict)
    validation: Literal["own", "test"] = "own"
    output: Literal["sigmoid", "identity"] | None = None
    root: str | None = None

    @property
    def folder(self) -> Path:
        """Folder of the store."""
        return data_root(self.root) / self.store


def open_store(options: StoreOptions) -> Source:
    """Open the rows of a store, split by a protocol.

    Args:
        options: Which store, protocol, modalities and views.

    Raises:
        DataError: There is no store, it is damaged, or it has no such protocol or modality.
    """
    folder = options.folder
    if not (folder / DATASET).is_file() and not (folder / UNFINISHED).is_dir():
        root = "data.root" if options.root else "data.root or G2D_DATA"
        raise DataError(
            f"data not found: there is no prepared store in {folder}. Write it with g2d data "
            f"prepare NAME --source DIR --out {folder} (g2d data list shows what each data set "
            f"needs), or set {root} to the folder that contains it."
        )
    facts = read_facts(folder)
    require_sizes(folder, facts)
    known = signals(facts)
    chosen = tuple(known) if options.modalities is None else options.modalities
    for m in (*chosen, *options.views):
        if m not in known:
            rule = f"modalities of {folder} must be among {', '.join(known)}"
            raise DataError(f"{rule}, found {m!r}.")
    name = options.protocol or next(iter(facts["protocols"]))
    if name not in facts["protocols"]:
        raise DataError(choice_fault("data.protocol", name, facts["protocols"]))
    protocol, rows = facts["protocols"][name], facts["rows"]
    files = (protocol["file"], "target.npy", "group.npy")
    split, target, group = (_small(folder, file, rows) for file in files)
    require_hashes(folder, facts, (*files, protocol["views"]))
    _check_small(folder, facts["task"], split, target, group)
    if not (split == TRAIN).any():
        rule = f"{name} of {folder} must have training rows, found none among {len(split)}"
        raise DataError(f"{rule}. Choose another data.protocol, or prepare more.")
    task, target = open_target(facts["task"], protocol["target"], target, options.output)
    used = {m: known[m] for m in chosen}
    source = Source(
        name=facts["name"],
        task=task,
        arrays={m: _large(folder, m, s.dtype, (rows, *s.shape)) for m, s in used.items()},
        target=target,
        group=group,
        split=split,
        protocol=name,
        views={},
        facts=_result_facts(facts, options),
        masks={m: mask for m, s in used.items() if (mask := open_mask(folder, m, s, rows))},
        present=_present(folder, facts, chosen),
        content_hash=facts["content_hash"],
    )
    origins = {m: signal.facts["origin"] for m, signal in used.items() if "origin" in signal.facts}
    source.origin = {m: np.array(origin, np.float64) for m, origin in origins.items()}
    source.views = dict(_views(folder, source, known, options, name))
    return source.validated_on_test() if options.validation == "test" else source


def verify_store(options: BaseModel) -> None:
    """Compare every file of the store that options name with its recorded hash.

    Opening a store verifies the sizes of all files and the hashes of small ones. Data that are not
    a store have nothing to verify.

    Args:
        options: Options of a data set.

    Raises:
        DataError: A file was changed or damaged.
    """
    if isinstance(options, StoreOptions):
        facts = read_facts(options.folder)
        require_sizes(options.folder, facts)
        require_hashes(options.folder, facts, facts["files"])


def store_hash(options: BaseModel) -> dict[str, str]:
    """Return the content hash of the store that options name, without opening it.

    Args:
        options: Options of a data set.

    Returns:
        The hash by its key in the facts of a source; empty for data that are not a store.
    """
    if isinstance(options, StoreOptions) and (options.folder / DATASET).is_file():
        return {"content_hash": read_facts(options.folder)["content_hash"]}
    return {}


def other_stores(data: Any, folder: Path) -> Iterator[str]:
    """Refuse a recipe in a copied or renamed store that would train on the original one.

    Args:
        data: Section ``data`` of the recipe, not yet checked.
        folder: Folder of the recipe.

    Yields:
        One sentence if the section names another store than the folder.
    """
    root, store = (data.get("root"), data.get("store")) if isinstance(data, Mapping) else ("", "")
    if root and store and (folder / DATASET).is_file():
        named = Path(os.path.realpath(Path(str(root), str(store))))
        if Path(os.path.realpath(str(root))) == folder.parent and named != folder:
            yield (
                f"data.store must be the store that contains the recipe, found {str(store)!r} in"
                f" {folder.name}. Write store: {folder.name}."
            )


def load_array(folder: Path, name: str) -> NDArray[Any]:
    """Read a small array of a store into memory.

    Args:
        folder: Folder of the store.
        name: File name of the array.
    """
    return _opened(folder, name)[:]


def _opened(folder: Path, name: str) -> StoredArray:
    """Open an array that must be inside the folder of its store."""
    try:
        return StoredArray(within(folder, name))
    except ValueError as error:
        raise DataError(f"{error}. Prepare the store again.") from None


def _check_small(
    folder: Path,
    task: Mapping[str, Any],
    split: NDArray[Any],
    target: NDArray[Any],
    group: NDArray[Any],
) -> None:
    """Check type, shape and range of what is read into memory, which anyone can sign."""
    rows, width = len(split), len(task.get("labels", ())) or task.get("outputs", 1)
    wide = target.shape == ((rows,) if "classes" in task else (rows, width))
    whole = all(values.dtype.kind in "iu" and values.ndim == 1 for values in (split, group))
    fault = None
    if not whole or not np.isin(split, (UNUSED, TRAIN, VALID, TEST)).all():
        fault = "whole numbers from -1 to 2 per row for the split, and a number for the group"
    elif not wide or target.dtype.kind not in "iuf" or not np.isfinite(target).all():
        fault = "a finite target per row and output"
    elif "classes" in task and not np.isin(target, np.arange(len(task["classes"]))).all():
        fault = f"class numbers below {len(task['classes'])}"
    elif "labels" in task and not np.isin(target, (0, 1)).all():
        fault = "1 or 0 per label"
    if fault is not None:
        rule = f"{folder} must hold {fault}, found something else"
        raise DataError(f"{rule}. Prepare the store again.")


def _small(folder: Path, name: str, rows: int) -> NDArray[Any]:
    """Read a small array that must have as many rows as the store."""
    values = load_array(folder, name)
    if len(values) != rows:
        rule = f"{folder / name} must have {rows} rows, found {len(values)}"
        raise DataError(f"{rule}. Prepare the store again.")
    return values


def _large(folder: Path, name: str, dtype: str, shape: tuple[int, ...]) -> StoredArray:
    """Open a large array that must have the type and shape that the store records."""
    values = _opened(folder, f"{name}.npy")
    if values.shape != shape or values.dtype != np.dtype(dtype):
        rule = f"{values.path} must be {dtype} {shape}, found {values.dtype} {values.shape}"
        raise DataError(f"{rule}. Prepare the store again.")
    return values


def open_mask(folder: Path, m: str, signal: Signal, rows: int) -> StoredArray | CountedMask | None:
    """Open the mask of a modality, ``(rows, steps)``; None if all of its steps are real.

    Args:
        folder: Folder of the store.
        m: Name of the modality.
        signal: How the modality is stored.
        rows: Number of rows of the store.
    """
    marks = signal.marks(m)
    if marks is None:
        return None
    array = _large(folder, marks.name, marks.dtype, (rows, *marks.shape))
    return CountedMask(array, signal.shape[0]) if signal.counted else array


def _views(
    folder: Path, source: Source, known: Mapping[str, Signal], options: StoreOptions, protocol: str
) -> Iterator[tuple[str, Chain]]:
    """Yield views as they were fitted with the store; those of a recipe are fitted now."""
    path = folder / SPLITS / f"{protocol_file(protocol)}.json"
    try:
        fitted = read_json(path)
        own = {m: read_chain(m, fitted[m]) for m in source.modalities}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        rule = f"{path} must hold the fitted views of the store, found damage: {error}"
        raise DataError(f"{rule}. Prepare it again.") from error
    for m in source.modalities:
        if m not in options.views:
            yield m, own[m]
            continue
        train, stored = source.rows("train"), partial(source.stored, m)
        read_chain(m, options.views[m]).check(stored(train[:2]))  # fails before all rows are read
        chain = read_chain(m, complete_steps(options.views[m], known[m], train, stored))
        yield m, fit_chain(chain, known[m], train, stored, source.present.get(m))


def _present(folder: Path, facts: Mapping[str, Any], chosen: tuple[str, ...]) -> Flags:
    """Return which rows have a modality, of the modalities that some rows lack."""
    if f"{PRESENT}.npy" not in facts["files"]:
        return {}
    flags = load_array(folder, f"{PRESENT}.npy")
    if flags.shape != (facts["rows"], len(facts["modalities"])) or flags.dtype != np.bool_:
        rule = f"{folder / PRESENT}.npy must mark every row and modality"
        raise DataError(f"{rule}, found {flags.dtype} {flags.shape}. Prepare the store again.")
    places = list(facts["modalities"])
    columns = {m: np.ascontiguousarray(flags[:, places.index(m)]) for m in chosen}
    return {m: column for m, column in columns.items() if not column.all()}


def _result_facts(facts: Mapping[str, Any], options: StoreOptions) -> dict[str, Any]:
    """Return what every result records about the store."""
    names = ("parameters", "expected", "partial", "cautions")
    recorded = {name: facts[name] for name in names} | {"kept": facts["rows"]}
    if options.views:
        recorded["views"] = {m: list(steps) for m, steps in options.views.items()}
    return recorded
