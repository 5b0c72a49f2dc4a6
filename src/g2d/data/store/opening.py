"""From a store on disk to a :class:`~g2d.data.source.Source`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from g2d.data.roots import data_root
from g2d.data.source import MASK, Source
from g2d.data.splits import TRAIN
from g2d.data.store.arrays import StoredArray
from g2d.data.store.facts import DATASET, PRESENT, Signal, protocol_file, read_facts, signals
from g2d.data.store.fitting import fit_chain
from g2d.data.store.scaling import open_target
from g2d.data.views import Chain, read_chain
from g2d.errors import DataError


class StoreOptions(BaseModel):
    """What a recipe may say about a prepared store.

    Args:
        store: name of its folder under the data root, or a path.
        protocol: who is in which split; by default the store's first.
        modalities: which, in which order; by default all, in the store's order.
        views: per modality the steps from stored values to the model's input, in place of the store's own.
        output: of a regression, ``"sigmoid"`` (Eq. 1) or ``"identity"``.
        root: the folder that holds the store; by default the environment's ``G2D_DATA``, else ``data``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field(min_length=1)
    protocol: str | None = None
    modalities: tuple[str, ...] | None = Field(None, min_length=1)
    views: dict[str, tuple[dict[str, Any], ...]] = Field(default_factory=dict)
    output: Literal["sigmoid", "identity"] | None = None
    root: str | None = None

    @property
    def folder(self) -> Path:
        return data_root(self.root) / self.store


def open_store(options: StoreOptions) -> Source:
    """The rows of a store, split by a protocol.

    Raises:
        DataError: there is no store, it is damaged, or it has no such protocol or modality.
    """
    folder = options.folder
    if not (folder / DATASET).is_file() and not (folder / ".preparing").is_dir():
        raise DataError(
            f"a prepared store must lie in {folder}, found none. Write it with g2d data prepare NAME --source DIR --out {folder} "
            f"(g2d data list tells what each data set needs), or set {'data.root' if options.root else 'data.root or G2D_DATA'} to the folder that holds it."
        )
    facts = read_facts(folder)
    known = signals(facts)
    chosen = tuple(known) if options.modalities is None else options.modalities
    if wrong := [m for m in (*chosen, *options.views) if m not in known]:
        raise DataError(
            f"modalities of {folder} must be among {', '.join(known)}, found {wrong[0]!r}."
        )
    name = options.protocol or next(iter(facts["protocols"]))
    if name not in facts["protocols"]:
        raise DataError(
            f"data.protocol must be one of {', '.join(facts['protocols'])}, found {name!r}."
        )
    protocol = facts["protocols"][name]
    split, target, group = (
        _stored(folder, file, facts["rows"])
        for file in (protocol["file"], "target.npy", "group.npy")
    )
    if not (split == TRAIN).any():
        raise DataError(
            f"{name} of {folder} must have training rows, found none among {len(split)}. Choose another data.protocol, or prepare more."
        )
    task, target = open_target(facts["task"], protocol["target"], target, options.output)
    source = Source(
        name=facts["name"],
        task=task,
        arrays={
            m: _mapped(folder, f"{m}.npy", known[m].dtype, (facts["rows"], *known[m].shape))
            for m in chosen
        },
        target=target,
        group=group,
        split=split,
        protocol=name,
        views={},
        facts=_said(facts, options),
        masks={
            m: _mapped(folder, f"{m}{MASK}.npy", "bool", (facts["rows"], known[m].shape[0]))
            for m in chosen
            if known[m].masked
        },
        present=_present(folder, facts, chosen),
        content_hash=facts["content_hash"],
    )
    source.origin = {
        m: np.array(known[m].facts["origin"], np.float64)
        for m in chosen
        if "origin" in known[m].facts
    }
    source.views = dict(_views(folder, source, known, options, name))
    return source


def load_array(folder: Path, name: str) -> NDArray[Any]:
    """A small array of a store, as a whole."""
    return StoredArray(folder / name)[:]


def _stored(folder: Path, name: str, rows: int) -> NDArray[Any]:
    """A small array with as many rows as the store has."""
    values = load_array(folder, name)
    if len(values) != rows:
        raise DataError(
            f"{folder / name} must have {rows} rows, found {len(values)}. Prepare the store again."
        )
    return values


def _mapped(folder: Path, name: str, dtype: str, shape: tuple[int, ...]) -> StoredArray:
    """A large array, of the type and shape that the store says."""
    values = StoredArray(folder / name)
    if values.shape != shape or values.dtype != np.dtype(dtype):
        raise DataError(
            f"{folder / name} must be {dtype} {shape}, found {values.dtype} {values.shape}. Prepare the store again."
        )
    return values


def _views(
    folder: Path, source: Source, known: Mapping[str, Signal], options: StoreOptions, protocol: str
) -> Iterator[tuple[str, Chain]]:
    """What was fitted when the store was written; what a recipe changes is fitted now."""
    path = folder / "splits" / f"{protocol_file(protocol)}.json"
    try:
        fitted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        own = {m: read_chain(m, fitted[m]) for m in source.modalities}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} must hold the fitted views of the store, found damage: {error}. Prepare it again."
        ) from error
    for m in source.modalities:
        given = options.views.get(m)
        if given is None:
            yield m, own[m]
        else:
            chain, train = read_chain(m, given), source.rows("train")
            chain.check(source.stored(m, train[:2]))  # before anything is learnt on all rows
            yield (
                m,
                fit_chain(chain, known[m], train, partial(source.stored, m), source.present.get(m)),
            )


def _present(
    folder: Path, facts: Mapping[str, Any], chosen: tuple[str, ...]
) -> dict[str, NDArray[np.bool_]]:
    if f"{PRESENT}.npy" not in facts["files"]:
        return {}
    there = load_array(folder, f"{PRESENT}.npy")
    places = list(facts["modalities"])
    columns = {m: np.ascontiguousarray(there[:, places.index(m)]) for m in chosen}
    return {m: column for m, column in columns.items() if not column.all()}


def _said(facts: Mapping[str, Any], options: StoreOptions) -> dict[str, Any]:
    """What every result says about the store."""
    said = {key: facts[key] for key in ("parameters", "expected", "partial", "cautions")} | {
        "kept": facts["rows"]
    }
    return said | (
        {"views": {m: list(steps) for m, steps in options.views.items()}} if options.views else {}
    )
