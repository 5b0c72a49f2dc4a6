"""Data sets that a reader prepares: opened from their store, or, where they are small packs of arrays, straight from those."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pydantic import Field, ValidationError, create_model
from torch import Tensor

from g2d.data.roots import data_root
from g2d.data.source import Source
from g2d.data.store.facts import DATASET, read_facts, signals
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets import Reader
from g2d.datasets.base import ReaderOptions
from g2d.datasets.table.values import Layout, read_new_rows
from g2d.errors import DataError
from g2d.prepare.preparing import prepare
from g2d.types import Input, Sequence


def open_any(options: StoreOptions) -> Source:
    """Any store; one that was made from a user's table also reads new rows from a table."""
    source = open_store(options)
    if "kinds" in source.facts["parameters"]:
        source.read_table = partial(_new_rows, options.folder, source.modalities)
    return source


def _new_rows(
    folder: Path, modalities: tuple[str, ...], path: Path
) -> tuple[list[str], dict[str, Input], dict[str, Tensor]]:
    facts = read_facts(folder)
    parameters, known = facts["parameters"], signals(facts)
    columns = {m: tuple(parameters["columns"][m]) for m in modalities}
    layout = Layout({m: known[m] for m in modalities}, columns, parameters["kinds"], parameters)
    ids, values, masks, present = read_new_rows(layout, parameters["id"], path)
    inputs: dict[str, Input] = {m: torch.from_numpy(stored) for m, stored in values.items()}
    inputs |= {
        m: Sequence(torch.from_numpy(values[m]), torch.from_numpy(mask))
        for m, mask in masks.items()
    }
    return (
        ids,
        inputs,
        {m: torch.from_numpy(there) for m, there in present.items() if not there.all()},
    )


class PreparedOptions(StoreOptions):
    """As for any store, and what its preparation was told.

    Args:
        prepare: options of the reader, where the data lie as a pack of arrays; those of a store must agree with them.
    """

    prepare: dict[str, Any] = Field(default_factory=dict)


def options_of(name: str) -> type[PreparedOptions]:
    """The options of a data set whose store is called like it unless a recipe says otherwise."""
    return create_model(
        f"{name}Options",
        __base__=PreparedOptions,
        __doc__=PreparedOptions.__doc__,
        store=(str, Field(name, min_length=1)),
    )


def opener(reader: Reader) -> Callable[[PreparedOptions], Source]:
    """What opens a reader's data set."""

    def open_prepared(options: PreparedOptions) -> Source:
        pack = None if reader.pack is None else data_root(options.root) / reader.pack
        if pack is None or not pack.is_dir() or (options.folder / DATASET).is_file():
            source = open_store(options)
            _agree(options.prepare, source.facts["parameters"], options.folder)
            return source
        return _from_pack(reader, pack, options)

    return open_prepared


def read_options(reader: Reader, given: Mapping[str, Any]) -> ReaderOptions:
    """The options of a reader.

    Raises:
        DataError: options that it does not have, or values that it does not take.
    """
    try:
        return reader.options.model_validate(dict(given))
    except ValidationError as error:
        known = reader.options.model_fields
        faults = "; ".join(
            _fault(".".join(map(str, fault["loc"])), fault["msg"], known)
            for fault in error.errors()
        )
        raise DataError(
            f"options of the preparation must be valid ({', '.join(known) or 'none'}), found {faults}."
        ) from error


def _fault(name: str, said: str, known: Collection[str]) -> str:
    near = [] if name.partition(".")[0] in known else get_close_matches(name, known, n=1)
    return f"{name}: {said}" + (f" (did you mean {near[0]!r}?)" if near else "")


def _from_pack(reader: Reader, pack: Path, options: PreparedOptions) -> Source:
    """Prepared in passing; the arrays, which are small, stay in memory."""
    with TemporaryDirectory(prefix="g2d-") as folder:
        store = Path(folder) / "store"
        prepare(reader.plan(pack, read_options(reader, options.prepare)), pack, store)
        source = open_store(options.model_copy(update={"store": str(store)}))
        source.arrays = {m: values[:] for m, values in source.arrays.items()}
        source.masks = {m: values[:] for m, values in source.masks.items()}
    return source


def _agree(wanted: Mapping[str, Any], stored: Mapping[str, Any], folder: Path) -> None:
    if other := [name for name, value in wanted.items() if stored.get(name) != value]:
        asked, found = (
            ", ".join(f"{name}={values.get(name)}" for name in other) for values in (wanted, stored)
        )
        raise DataError(
            f"the store {folder} must be prepared with {asked}, found {found}. Prepare another one and name it in data.store."
        )
