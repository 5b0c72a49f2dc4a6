"""New rows for a trained model, read from a file in the form of the data it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.data.rowset import flags_in
from g2d.data.store.arrays import read_npz
from g2d.data.store.facts import MASK, PRESENT_SUFFIX
from g2d.errors import DataError
from g2d.types import Batch, Input, Inputs, Sequence

if TYPE_CHECKING:
    from g2d.data.source import Source, Values

ARRAYS = ".npz"
"""Suffix of files of arrays; where rows may come from a table, all other files are tables."""
TableRows = tuple[list[str], dict[str, Input], dict[str, Tensor]]
"""Names of new rows, their stored values, and which of them have which modality."""


def read_rows(source: Source, path: Path) -> tuple[list[str], Batch]:
    """Read new rows; see :meth:`g2d.data.Source.read_rows`.

    Args:
        source: Data of the run.
        path: The file.
    """
    if source.read_table is not None and path.suffix.lower() != ARRAYS:
        ids, inputs, present = source.read_table(path)
        return ids, _seen(source, inputs, present, len(ids))
    arrays = read_npz(path)
    for m, origin in source.origin.items():
        if m in arrays and arrays[m].dtype.kind in "fiu":
            arrays[m] = arrays[m] - origin
    inputs = {m: _input(source, m, arrays, path) for m in source.modalities}
    rows = _count(inputs, arrays, path)
    present = {
        m: torch.from_numpy(flags_in(arrays, m + PRESENT_SUFFIX, (rows,), str(path)))
        for m in source.modalities
        if m + PRESENT_SUFFIX in arrays
    }
    for m, flags in present.items():
        _values(inputs[m])[~flags] = 0  # Rows that lack a modality are stored as zeros.
    names = arrays["id"].flat if "id" in arrays else range(rows)
    batch = _seen(source, inputs, present, rows)
    for m, seen in batch.inputs.items():
        if _values(seen).is_floating_point() and bool(_values(seen).isnan().any()):
            advice = f"Add the step 'standardize' to the view of {m!r} to fill missing numbers."
            raise DataError(f"values of {m!r} in {path} must be finite, found NaN. {advice}")
    return [str(name) for name in names], batch


def write_rows(source: Source, path: Path, indices: NDArray[np.int64]) -> None:
    """Write stored values of known rows; see :meth:`g2d.data.Source.write_rows`.

    Args:
        source: Data of the run.
        path: File to write.
        indices: Sample ids.
    """
    arrays: dict[str, Any] = {m: values[indices] for m, values in source.arrays.items()}
    arrays |= {m: arrays[m] + origin for m, origin in source.origin.items()}
    arrays |= {m + MASK: mask[indices] for m, mask in source.masks.items()}
    arrays |= {m + PRESENT_SUFFIX: flags[indices] for m, flags in source.present.items()}
    np.savez(path, id=indices.astype(str), **arrays)


def _seen(source: Source, inputs: Inputs, present: Mapping[str, Tensor], rows: int) -> Batch:
    """Return new rows as the model sees them, with placeholders for targets."""
    target = torch.from_numpy(np.repeat(source.target[:1], rows, axis=0))
    batch = Batch(dict(inputs), target, torch.arange(rows), dict(present) or None)
    return source.view(batch, seed=0, epoch=0, train=False)


def _input(source: Source, m: str, arrays: Mapping[str, NDArray[Any]], path: Path) -> Input:
    values = torch.from_numpy(_stored(m, arrays.get(m), source.arrays[m], path))
    if m not in source.masks:
        return values
    shape = (len(values), *source.masks[m].shape[1:])
    return Sequence(values, torch.from_numpy(flags_in(arrays, m + MASK, shape, str(path))))


def _count(inputs: Mapping[str, Input], arrays: Mapping[str, NDArray[Any]], path: Path) -> int:
    """Return the number of rows, which must be the same everywhere."""
    counts = {m: len(values) for m, values in inputs.items()}
    if "id" in arrays:
        counts["id"] = arrays["id"].size
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise DataError(f"arrays in {path} must have the same number of rows, found {listed}.")
    rows = next(iter(counts.values()))
    if rows == 0:
        raise DataError(f"{path} must hold one row or more, found none.")
    return rows


def _values(values: Input) -> Tensor:
    return values.values if isinstance(values, Sequence) else values


def _stored(m: str, given: NDArray[Any] | None, known: Values, path: Path) -> NDArray[Any]:
    """Return new values of a modality in the type and shape in which known ones are stored."""
    if given is None:
        raise DataError(f"{path} must hold an array for every modality, found none for {m!r}.")
    if given.shape[1:] != known.shape[1:] or given.ndim != known.ndim:
        shape = given.shape[1:] if given.ndim else "a single number"
        rule = f"rows of {m!r} in {path} must have the shape {known.shape[1:]}"
        raise DataError(f"{rule}, found {shape}.")
    subject = f"values of {m!r} in {path}"
    if given.dtype.kind not in "fiub":
        raise DataError(f"{subject} must be numbers, found the type {given.dtype}.")
    floats = known.dtype.kind == "f"
    if given.dtype.kind == "f":
        if np.isinf(given).any():
            raise DataError(f"{subject} must be finite, found infinity.")
        if not floats and np.isnan(given).any():
            raise DataError(f"{subject} must be finite, found NaN.")
    # A cast that wraps around or drops decimals would go unnoticed.
    limits = np.finfo(known.dtype) if floats else np.iinfo(known.dtype)
    whole = floats or given.dtype.kind != "f" or bool((given == np.rint(given)).all())
    low, high = 0, 0
    if given.size:  # fmin and fmax ignore NaN
        low, high = np.fmin.reduce(given, axis=None), np.fmax.reduce(given, axis=None)
    if not whole or low < limits.min or high > limits.max:
        kind = "numbers" if floats else "whole numbers"
        rule = f"{kind} between {limits.min} and {limits.max} ({known.dtype})"
        raise DataError(f"{subject} must be {rule}, found {given.dtype} from {low} to {high}.")
    return given.astype(known.dtype)
