"""New rows for a trained model, read from a file in the form of the data it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.data.gaps import USUAL, Invalid, OnError, fill_invalid, without_numbers
from g2d.data.labeled import targets_in
from g2d.data.rowset import as_stored, flags_in
from g2d.data.store.arrays import read_npz
from g2d.data.store.facts import MASK, PRESENT_SUFFIX
from g2d.errors import DataError
from g2d.files import one_of
from g2d.types import Batch, Input, Inputs, Sequence

if TYPE_CHECKING:
    from g2d.data.source import Source, Values

ARRAYS = ".npz"
"""Suffix of files of arrays; where rows may come from a table, all other files are tables."""


@dataclass(frozen=True)
class LeftOut:
    """A new row that cannot be predicted.

    Args:
        place: Number of the row in its file, from 0.
        id: Its name.
        reason: Why it is left out.
    """

    place: int
    id: str
    reason: str


@dataclass(frozen=True)
class StoredRows:
    """New rows as the data of the run are stored, and those that cannot be predicted.

    Args:
        ids: Names of the rows.
        inputs: Their stored values.
        present: Which rows have the modality, per modality that some lack.
        left_out: The rows that are left out, in order.
        faults: What could not be read and is absent, per number of a row.
        target: Class numbers ``(N,)``, or values or states of labels ``(N, C)`` in the original
            unit, NaN where there is none; None unless they were asked for.
    """

    ids: list[str]
    inputs: dict[str, Input]
    present: dict[str, Tensor]
    left_out: tuple[LeftOut, ...] = ()
    faults: Mapping[int, str] = field(default_factory=dict)
    target: NDArray[np.float64] | None = None


class RowReader(Protocol):
    """Reader of new rows from a table, for data that came from one."""

    def __call__(
        self, path: Path, on_error: OnError, *, labeled: bool = False, folder: Path | None = None
    ) -> StoredRows:
        """Return the rows of a table, with their targets if ``labeled``."""

    def plain(self) -> dict[str, Any]:
        """Return JSON values from which the reader can be made again without the data."""


@dataclass(frozen=True)
class NewRows:
    """New rows as a model sees them.

    Args:
        ids: Names of the rows.
        batch: The rows, with placeholders for targets.
        left_out: The rows that are left out, in order.
        faults: What could not be read and is absent, per number of a row of the batch.
    """

    ids: list[str]
    batch: Batch
    left_out: tuple[LeftOut, ...] = ()
    faults: Mapping[int, str] = field(default_factory=dict)


def may_lack(source: Source, m: str) -> bool:
    """Return whether a model that was trained on a source can do without a modality.

    That is the case if some training rows lack it.

    Args:
        source: Data of the run.
        m: Name of the modality.
    """
    flags = source.present.get(m)
    return flags is not None and not bool(flags[source.rows("train")].all())


def absent_sentence(m: str) -> str:
    """Return the sentence about a modality that no row is given."""
    return f"{m} is not given: it is absent in every row"


def read_rows(
    source: Source,
    given: Path | Mapping[str, NDArray[Any]],
    on_error: OnError = "stop",
    folder: Path | None = None,
) -> NewRows:
    """Read new rows; see :meth:`g2d.data.Source.read_rows`.

    Args:
        source: Data of the run. Its ``remarks`` become sentences about the rows.
        given: A file; or arrays by name, as an ``.npz`` file holds them.
        on_error: What a cell that cannot be read does: ``"stop"`` raises an error, ``"absent"``
            lets its row lack the modality, ``"skip"`` leaves its row out.
        folder: See :func:`read_stored`.
    """
    rows = read_stored(source, given, on_error, folder=folder)
    batch = _seen(source, rows.inputs, rows.present, len(rows.ids))
    for m, seen in batch.inputs.items():
        if _values(seen).is_floating_point() and bool(_values(seen).isnan().any()):
            advice = f"Add the step 'standardize' to the view of {m!r} to fill missing numbers."
            raise DataError(
                f"values of {m!r} in {_where(given)} must be finite, found NaN. {advice}"
            )
    return NewRows(rows.ids, batch, rows.left_out, rows.faults)


def read_stored(
    source: Source,
    given: Path | Mapping[str, NDArray[Any]],
    on_error: OnError = "stop",
    *,
    labeled: bool = False,
    folder: Path | None = None,
) -> StoredRows:
    """Read new rows as the data of the run are stored, before their views.

    Args:
        source: Data of the run. Its ``remarks`` become sentences about the rows.
        given: See :func:`read_rows`.
        on_error: See :func:`read_rows`.
        labeled: Also read the targets.
        folder: Folder of the files that a table names, if it was written from Python: then its
            numbers have a decimal point. None is the folder of the table, written by others.

    Raises:
        DataError: The file is damaged, does not fit the data of the run, or lacks targets.
    """
    one_of("on_error", on_error, get_args(OnError))
    if not isinstance(given, Path):
        rows = _from_arrays(source, dict(given), _where(given), labeled)
    elif source.read_table is not None and given.suffix.lower() != ARRAYS:
        rows = source.read_table(given, on_error, labeled=labeled, folder=folder)
    else:
        rows = _from_arrays(source, read_npz(given), _where(given), labeled)
    source.remarks.extend(_unusual(source, rows.present))
    return rows


def _where(given: Path | Mapping[str, NDArray[Any]]) -> str:
    """Return where rows come from, for messages."""
    return str(given) if isinstance(given, Path) else "the rows"


def _unusual(source: Source, present: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a sentence per modality that new rows lack although no training row does."""
    for m, flags in present.items():
        if not may_lack(source, m) and not bool(flags.all()):
            count = int((~flags).sum())
            yield f"{m} is absent in {count} of {len(flags)} rows, but in no training row"


def _from_arrays(
    source: Source, arrays: dict[str, NDArray[Any]], path: str, labeled: bool
) -> StoredRows:
    """Return the rows of arrays, of which those of a modality may be missing."""
    for m, origin in source.origin.items():
        if m in arrays and arrays[m].dtype.kind in "fiu":
            arrays[m] = arrays[m] - origin
    absent = [m for m in source.modalities if m not in arrays and may_lack(source, m)]
    absent = absent if len(absent) < len(source.modalities) else []
    source.remarks[:] = map(absent_sentence, absent)
    inputs = {m: _input(source, m, arrays, path) for m in source.modalities if m not in absent}
    rows = _count(inputs, arrays, path)
    present = {
        m: torch.from_numpy(flags_in(arrays, m + PRESENT_SUFFIX, (rows,), path).copy())
        for m in source.modalities
        if m + PRESENT_SUFFIX in arrays and m in inputs
    }
    for m, values in inputs.items():
        lacking = _lacking(source, values)
        if bool(lacking.any()):
            present[m] = present.get(m, torch.ones(rows, dtype=torch.bool)) & ~lacking
    for m in absent:
        inputs[m] = zero_rows(source.stored(m, np.arange(1)), rows)
        present[m] = torch.zeros(rows, dtype=torch.bool)
    inputs = {m: inputs[m] for m in source.modalities}
    for m, flags in present.items():
        _values(inputs[m])[~flags] = 0  # Rows that lack a modality are stored as zeros.
    names = arrays["id"].flat if "id" in arrays else range(rows)
    target = targets_in(arrays.get("target"), source.task, path, rows) if labeled else None
    return StoredRows([str(name) for name in names], inputs, present, target=target)


def _in_stored_form(
    source: Source, m: str, arrays: Mapping[str, NDArray[Any]], path: str
) -> dict[str, NDArray[Any]]:
    """Return the array of a modality, and its mask, in the form in which a store holds it.

    Arrays can have the form in which they were given for preparation: one number per row, channels
    before the pixels, fewer steps than the longest sequence.
    """
    values, known = arrays[m], source.arrays[m]
    is_other = values.ndim > 0 and values.shape[1:] != known.shape[1:]
    if is_other and values.size and values.dtype.kind in "fiub":
        if _fits(values, known.dtype):
            values = values.astype(known.dtype)
        values = as_stored(values, m, m + MASK in arrays, path)
    is_shorter = values.ndim == known.ndim > 1 and values.shape[1] < known.shape[1]
    if m not in source.masks or not is_shorter or values.shape[2:] != known.shape[2:]:
        return {m: values}
    steps = values.shape[:2]
    mask = flags_in(arrays, m + MASK, steps, path)
    missing = (0, known.shape[1] - steps[1])
    others = [(0, 0)] * (values.ndim - 2)
    return {
        m: np.pad(values, [(0, 0), missing, *others]),
        m + MASK: np.pad(mask, [(0, 0), missing]),
    }


def _fits(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Return whether whole numbers are within the limits of a type of whole numbers."""
    if values.dtype.kind not in "iu" or dtype.kind not in "iu" or not values.size:
        return False
    limits = np.iinfo(dtype)
    return bool(limits.min <= values.min() and values.max() <= limits.max)


def zero_rows(example: Input, rows: int) -> Input:
    """Return rows of zeros, as rows are stored that lack a modality.

    Args:
        example: Values of some rows.
        rows: Number of rows to return.
    """
    if isinstance(example, Sequence):
        mask = torch.zeros((rows, *example.mask.shape[1:]), dtype=torch.bool)
        return Sequence(example.values.new_zeros((rows, *example.values.shape[1:])), mask)
    return example.new_zeros((rows, *example.shape[1:]))


def _lacking(source: Source, values: Input) -> Tensor:
    """Return which rows have no valid number, and so lack the modality."""
    numbers = _values(values)
    if not numbers.is_floating_point() or _rule(source) != "mean" or not len(numbers):
        return torch.zeros(len(numbers), dtype=torch.bool)
    mask = values.mask if isinstance(values, Sequence) else None
    bad = ~numbers.isfinite()
    if mask is not None:
        bad &= mask.reshape(*mask.shape, *(1,) * (bad.ndim - 2))
    return torch.from_numpy(without_numbers(bad.numpy(), None if mask is None else mask.numpy()))


def _rule(source: Source) -> Invalid:
    rule: Invalid = source.facts.get("parameters", {}).get("invalid", USUAL.invalid)
    return rule


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


def _input(source: Source, m: str, arrays: Mapping[str, NDArray[Any]], path: str) -> Input:
    known, given = source.arrays[m], arrays.get(m)
    if given is not None and given.dtype.kind in "USO" and _holds_text(known):
        return torch.from_numpy(as_stored(given, m, False, path))  # The view cuts long texts.
    if given is not None:
        arrays = {**arrays, **_in_stored_form(source, m, arrays, path)}
    zero = -source.origin.get(m, np.zeros(1))
    stored = _stored(m, arrays.get(m), known, path, _rule(source), zero)
    values = torch.from_numpy(stored)
    if m not in source.masks:
        return values
    shape = (len(values), *source.masks[m].shape[1:])
    return Sequence(values, torch.from_numpy(flags_in(arrays, m + MASK, shape, path)))


def _holds_text(known: Values) -> bool:
    """Return whether stored values can be text, the bytes of which are padded with zeros."""
    return known.dtype == np.uint8 and known.ndim == 2


def _count(inputs: Mapping[str, Input], arrays: Mapping[str, NDArray[Any]], path: str) -> int:
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


def _stored(
    m: str,
    given: NDArray[Any] | None,
    known: Values,
    path: str,
    invalid: Invalid,
    zero: NDArray[np.float64],
) -> NDArray[Any]:
    """Return new values of a modality in the type and shape in which known ones are stored."""
    if given is None:
        raise DataError(
            f"{path} must hold an array for every modality, found none for {m!r}. "
            "Only a modality that some training rows lack can be left out."
        )
    if given.shape[1:] != known.shape[1:] or given.ndim != known.ndim:
        shape = given.shape[1:] if given.ndim else "a single number"
        rule = f"rows of {m!r} in {path} must have the shape {known.shape[1:]}"
        raise DataError(f"{rule}, found {shape}.")
    subject = f"values of {m!r} in {path}"
    if given.dtype.kind not in "fiub":
        raise DataError(f"{subject} must be numbers, found the type {given.dtype}.")
    if known.dtype.kind == "f":
        stored, bad = fill_invalid(given, invalid, known.dtype, zero)
        if invalid == "skip" and bad.any():
            raise DataError(f"{subject} must be finite, found {_called(given[bad][0])}.")
        return stored
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        first = given[~np.isfinite(given)][0]
        raise DataError(f"{subject} must be finite, found {_called(first)}.")
    # A cast that wraps around or drops decimals would go unnoticed.
    limits = np.iinfo(known.dtype)
    whole = given.dtype.kind != "f" or bool((given == np.rint(given)).all())
    low, high = (given.min(), given.max()) if given.size else (0, 0)
    if not whole or low < limits.min or high > limits.max:
        rule = f"whole numbers between {limits.min} and {limits.max} ({known.dtype})"
        raise DataError(f"{subject} must be {rule}, found {given.dtype} from {low} to {high}.")
    return given.astype(known.dtype)


def _called(value: float) -> str:
    """Return the name of a number that is not finite."""
    return "NaN" if value != value else "infinity"
