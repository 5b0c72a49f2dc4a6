"""A source without rows: what new rows need of the data that a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.data.labeled import with_target
from g2d.data.new_rows import StoredRows, may_lack, read_stored
from g2d.data.source import Source
from g2d.data.splits import SPLITS
from g2d.data.store.scaling import open_target
from g2d.data.views import STEPS, Chain, read_chain
from g2d.errors import DataError, UnsupportedError
from g2d.task import task_from_config
from g2d.types import Sequence

if TYPE_CHECKING:
    from g2d.data.gaps import OnError

PLACEHOLDERS = 2
"""Number of rows of zeros in place of the training rows."""


def facts_of(source: Source, tokenizers: Mapping[str, str]) -> dict[str, Any]:
    """Return JSON values from which :func:`source_from` makes a source without rows.

    Args:
        source: The data of a run.
        tokenizers: New name of every Hugging Face tokenizer of a view.

    Raises:
        UnsupportedError: A view is not a chain of steps, or one of its steps cannot be written.
    """
    return {
        "name": source.name,
        "protocol": source.protocol,
        "content_hash": source.content_hash,
        "task": source.task.config(),
        "facts": json.loads(json.dumps(source.facts, default=list)),
        "modalities": {m: _modality(source, m, tokenizers) for m in source.modalities},
        "table": None if source.read_table is None else source.read_table.plain(),
    }


def _modality(source: Source, m: str, tokenizers: Mapping[str, str]) -> dict[str, Any]:
    values = source.arrays[m]
    mask, origin = source.masks.get(m), source.origin.get(m)
    return {
        "dtype": np.dtype(values.dtype).str,
        "shape": list(values.shape[1:]),
        "mask": None if mask is None else list(mask.shape[1:]),
        "origin": None if origin is None else origin.tolist(),
        "may_be_absent": may_lack(source, m),
        "view": _moved(_steps(source, m), tokenizers),
    }


def _steps(source: Source, m: str) -> list[dict[str, Any]]:
    """Return the fitted steps of a view, as new rows need them."""
    view = source.views[m]
    if not isinstance(view, Chain):
        raise UnsupportedError(
            f"the view of {m!r} must be a chain of steps to be written, found {view!r:.100}."
        )
    steps = [used for step in view.steps if (used := step.predicting()) is not None]
    if unknown := [step.name for step in steps if step.name not in STEPS]:
        raise UnsupportedError(
            f"steps of the view of {m!r} must be among {', '.join(STEPS)} to be written, found "
            f"{unknown[0]!r}."
        )
    return [step.model_dump(mode="json") for step in steps]


def source_from(facts: Mapping[str, Any], tokenizers: Mapping[str, str]) -> Source:
    """Return a source that reads new rows as the original one does, and has no rows itself.

    Models are built from the shapes of rows, so it has rows of zeros in place of the training
    rows. It has no validation and test rows.

    Args:
        facts: Result of :func:`facts_of`.
        tokenizers: Path of every Hugging Face tokenizer of a view by its name.
    """
    modalities, rows = facts["modalities"], PLACEHOLDERS
    task = task_from_config(facts["task"])
    shape = () if facts["task"]["kind"] == "classification" else (task.outputs,)
    source = Source(
        name=facts["name"],
        task=task,
        arrays={m: np.zeros((rows, *one["shape"]), one["dtype"]) for m, one in modalities.items()},
        target=np.zeros((rows, *shape), np.float32 if shape else np.int64),
        group=np.arange(rows),
        split=np.zeros(rows, np.int8),
        protocol=facts["protocol"],
        views={m: read_chain(m, _moved(one["view"], tokenizers)) for m, one in modalities.items()},
        facts=facts["facts"],
        masks={
            m: np.ones((rows, *one["mask"]), np.bool_)
            for m, one in modalities.items()
            if one["mask"] is not None
        },
        present={
            m: np.arange(rows) < rows - 1 for m, one in modalities.items() if one["may_be_absent"]
        },
        content_hash=facts["content_hash"],
    )
    source.origin = {
        m: np.array(one["origin"], np.float64)
        for m, one in modalities.items()
        if one["origin"] is not None
    }
    return source


def _moved(
    steps: Iterable[Mapping[str, Any]], tokenizers: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the steps of a view whose tokenizers are in other places."""
    moved = [dict(step) for step in steps]
    for step in moved:
        if step.get("tokenizer") is not None:
            step["tokenizer"] = tokenizers[step["tokenizer"]]
    return moved


def labeled_source(source: Source, path: Path, on_error: OnError = "stop") -> Source:
    """Return new rows with their targets as a source, in whose test split all of them are.

    Args:
        source: Data of the run, or :func:`source_from`. Its ``remarks`` become sentences about the
            file; rows without a target are left out.
        path: A table or a file of arrays.
        on_error: See :func:`~g2d.data.new_rows.read_rows`.

    Raises:
        DataError: The file is damaged, does not fit the data of the run, or lacks targets.
    """
    rows = read_stored(source, path, on_error, labeled=True)
    assert rows.target is not None
    keep = with_target(rows.target)
    if not len(keep):
        raise DataError(f"{path} must have rows with a target to be evaluated, found none.")
    if missing := len(rows.target) - len(keep):
        source.remarks.append(f"rows left out: {missing} without a target")
    if rows.left_out:
        source.remarks.append(f"rows left out: {len(rows.left_out)} that cannot be read")
    arrays, masks = _stored(rows, keep)
    return Source(
        name=source.name,
        task=source.task,
        arrays=arrays,
        target=_scaled(source, rows.target[keep]),
        group=np.arange(len(keep)),
        split=np.full(len(keep), SPLITS.index("test"), np.int8),
        protocol=path.name,
        views=source.views,
        facts=source.facts,
        masks=masks,
        present={m: flags.numpy()[keep] for m, flags in rows.present.items()},
    )


def _stored(
    rows: StoredRows, keep: NDArray[np.int64]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the values of some rows, and the masks of sequences."""
    arrays: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[Any]] = {}
    index = torch.from_numpy(keep)
    for m, values in rows.inputs.items():
        if isinstance(values, Sequence):
            arrays[m], masks[m] = values.values[index].numpy(), values.mask[index].numpy()
        else:
            arrays[m] = values[index].numpy()
    return arrays, masks


def _scaled(source: Source, target: NDArray[np.float64]) -> NDArray[Any]:
    """Return targets in the form and the unit of the task."""
    config = source.task.config()
    fitted: dict[str, Any] = {
        name: config[name] for name in ("low", "high", "variance") if name in config
    }
    return open_target(config, fitted, target, config.get("output"))[1]
