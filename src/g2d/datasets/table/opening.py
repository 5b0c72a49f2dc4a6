"""Opening a store, and reading new rows of a user's table for a model trained on one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from g2d.data.source import Source
from g2d.data.store.facts import read_facts, signals
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.table.values import Layout, read_new_rows
from g2d.types import Input, Sequence


def open_any(options: StoreOptions) -> Source:
    """Open any store; if it was made from a table, new rows can be read from another table."""
    source = open_store(options)
    if "kinds" in source.facts["parameters"]:
        source.read_table = partial(_new_rows, options.folder, source.modalities)
    return source


def _new_rows(
    folder: Path, modalities: tuple[str, ...], path: Path
) -> tuple[list[str], dict[str, Input], dict[str, Tensor]]:
    """Read the rows of a table as the store in ``folder`` would hold them.

    Returns:
        The ids of the rows, the inputs, and which rows have each incomplete modality.
    """
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
        {m: torch.from_numpy(rows) for m, rows in present.items() if not rows.all()},
    )
