"""Sources in memory: from arrays, and from sequences of mappings such as Hugging Face data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.label_sets import states_of
from g2d.data.rowset import RowSet, TaskKind, collect
from g2d.data.source import Source
from g2d.data.splits import TRAIN
from g2d.data.store.facts import MASK, PRESENT_SUFFIX, Kind
from g2d.data.store.fitting import complete_steps, fit_chain
from g2d.data.store.scaling import fit_target, open_target
from g2d.data.views import View, read_chain
from g2d.errors import DataError

Columns = Rows[str] | Mapping[str, str | Rows[str]]
"""Columns of a data set, each of which is a modality; or per modality its column or columns."""
ViewOf = View | Iterable[Mapping[str, Any]]
"""A view, or the steps of one as a recipe has them."""


def source_of(
    arrays: Mapping[str, Any],
    *,
    name: str,
    task: TaskKind | None,
    classes: Rows[str] | None,
    kinds: Mapping[str, Kind],
    views: Mapping[str, ViewOf],
    rate: int | None,
) -> Source:
    """Build a source; see :meth:`g2d.data.Source.from_arrays`.

    Args:
        arrays: Modalities and ``target``, ``split``, ``group`` and ``id`` in one mapping.
        name: Name of the data set.
        task: Kind of task; None to infer it.
        classes: Names of the classes; None to infer them.
        kinds: Kind per modality where it is not inferred as wanted.
        views: View per modality where it is not the default.
        rate: Samples per second of sound.
    """
    rows = collect(arrays, "the arrays", task=task, classes=classes, kinds=kinds, rate=rate)
    for row, (_, detail) in rows.unusable.items():
        raise DataError(f"row {rows.ids[row]!r} of the arrays cannot be used: {detail}.")
    for m in views:
        if m not in rows.signals:
            raise DataError(f"views must be of {', '.join(rows.signals)}, found {m!r}.")
    train = np.flatnonzero(rows.place == TRAIN)
    if not len(train):
        raise DataError("the arrays must have training rows, found none among their splits.")
    fitted = fit_target(rows.task, rows.target[train])
    made, target = open_target(rows.task, fitted, rows.target, None)
    source = Source(
        name=name,
        task=made,
        arrays=rows.values,
        target=target,
        group=np.unique(rows.group, return_inverse=True)[1],
        split=rows.place,
        protocol=f"{name}/{rows.rule}",
        views={},
        facts={"kinds": {m: signal.kind for m, signal in rows.signals.items()}},
        masks=rows.masks,
        present={m: flags for m, flags in rows.present.items() if not flags.all()},
    )
    source.views = {m: _view(source, rows, m, views.get(m), train) for m in rows.signals}
    return source


def _view(
    source: Source, rows: RowSet, m: str, given: ViewOf | None, train: NDArray[np.int64]
) -> View:
    """Return the view of a modality, fitted on the training rows."""
    if given is not None and callable(given):
        return given
    signal, stored = rows.signals[m], partial(source.stored, m)
    steps = list(signal.view if given is None else given)
    read_chain(m, steps).check(stored(train[:2]))
    chain = read_chain(m, complete_steps(steps, signal, train, stored))
    return fit_chain(chain, signal, train, stored, source.present.get(m))


@dataclass(frozen=True)
class ReadColumns:
    """Columns of a data set as arrays.

    Args:
        arrays: Modalities, and ``target``, ``split``, ``group`` and ``id``.
        classes: Names of the classes, if the data set has them.
        rate: Samples per second of sound, if the data set records it.
        task: Kind of task, if the cells of the target show one.
    """

    arrays: dict[str, Any]
    classes: Rows[str] | None
    rate: int | None
    task: TaskKind | None = None


def columns_of(
    dataset: Any,
    modalities: Columns,
    target: str,
    *,
    split: str | None,
    group: str | None,
    ids: str | None,
    classes: Rows[str] | None,
) -> ReadColumns:
    """Read columns of a data set; see :meth:`g2d.data.Source.from_dataset`.

    Args:
        dataset: Sequence of mappings, or a mapping from the name of a split to one.
        modalities: Columns, or per modality its column or columns.
        target: Column of the target.
        split: Column of the split.
        group: Column of the group.
        ids: Column of names.
        classes: Names of the classes or labels; None for those that the data set records.
    """
    parts = dataset if isinstance(dataset, Mapping) else {"": dataset}
    named = modalities if isinstance(modalities, Mapping) else {m: m for m in modalities}
    roles = {"target": target, "split": split, "group": group, "id": ids}
    used = {name for names in (*named.values(), *roles.values()) for name in _listed(names)}
    rows = [row for part in parts.values() for row in _select(part, used)]
    if not rows:
        raise DataError("the data set must have rows, found none.")
    classes = classes or class_names(next(iter(parts.values())), target)
    sets = [_cell(row, target) for row in rows]
    arrays: dict[str, Any] = {}
    if _are_label_sets(sets, classes):
        roles["target"] = None
        classes, states = states_of(sets, classes or ())
        arrays["target"] = states
    arrays |= {
        role: np.array([_cell(row, column) for row in rows])
        for role, column in roles.items()
        if column is not None
    }
    if isinstance(dataset, Mapping):
        arrays["split"] = [name for name, part in parts.items() for _ in range(len(part))]
    rates: set[int] = set()
    for m, columns in named.items():
        if isinstance(columns, str):
            cells = [_cell(row, columns) for row in rows]
            rates |= {cell["sampling_rate"] for cell in cells if _is_audio(cell)}
            arrays |= _modality(m, cells)
        else:
            arrays[m] = np.array([[_cell(row, c) for c in columns] for row in rows], np.float64)
    if len(rates) > 1:
        raise DataError(f"sound must have one sampling rate, found {sorted(rates)}. Resample it.")
    several = roles["target"] is None
    task: TaskKind | None = "multilabel" if several else None
    return ReadColumns(arrays, classes, next(iter(rates), None), task)


def cells_of(rows: Iterable[Mapping[str, Any]], modalities: Rows[str]) -> dict[str, NDArray[Any]]:
    """Return the modalities of rows as arrays, with masks and flags where they are needed.

    Args:
        rows: The rows. A cell that is None, or not given, lacks its modality.
        modalities: Their columns; a column without any cell is left out.

    Example:
        >>> cells_of([{"a": 1.5, "b": None}, {"a": 2.5}], ["a", "b"])
        {'a': array([1.5, 2.5])}
    """
    arrays: dict[str, NDArray[Any]] = {}
    for m in modalities:
        cells = [row.get(m) for row in rows]
        if any(cell is not None for cell in cells):
            arrays |= _modality(m, cells)
    return arrays


def _listed(names: str | Rows[str] | None) -> Rows[str]:
    return [names] if isinstance(names, str) else names or ()


def _select(part: Any, columns: set[str]) -> Iterable[Mapping[str, Any]]:
    """Return rows with some of their columns, so that Hugging Face decodes only those."""
    named = columns <= set(getattr(part, "column_names", ()))
    rows: Iterable[Mapping[str, Any]] = part.select_columns(sorted(columns)) if named else part
    return rows


def _cell(row: Mapping[str, Any], column: str) -> Any:
    try:
        return row[column]
    except KeyError:
        rule = f"the data set must have a column {column!r}"
        raise DataError(f"{rule}, found {', '.join(row)}.") from None


def class_names(part: Any, column: str) -> list[str] | None:
    """Return the names of the classes or labels that a Hugging Face data set records, or None.

    Args:
        part: Rows; only a data set of Hugging Face records names.
        column: A column.
    """
    feature = (getattr(part, "features", None) or {}).get(column)
    names = getattr(feature, "names", None) or getattr(
        getattr(feature, "feature", None), "names", None
    )
    return None if names is None else list(names)


def _are_label_sets(cells: list[Any], classes: Rows[str] | None) -> bool:
    """Return whether cells are lists of labels, and not of numbers of a fixed count."""
    lists = [cell for cell in cells if isinstance(cell, list | tuple | set)]
    if not lists or len(lists) + sum(cell is None for cell in cells) < len(cells):
        return False
    words = any(isinstance(label, str) for cell in lists for label in cell)
    return words or classes is not None or len({len(cell) for cell in lists}) > 1


def _is_audio(cell: Any) -> bool:
    return isinstance(cell, Mapping) and {"array", "sampling_rate"} <= cell.keys()


def _modality(m: str, cells: list[Any]) -> dict[str, NDArray[Any]]:
    """Return the array of a modality, and where needed its mask and which rows have it."""
    flags = np.array([cell is not None for cell in cells])
    present = {} if flags.all() else {m + PRESENT_SUFFIX: flags}
    if not flags.any():
        raise DataError(f"the column of {m!r} must hold values, found none.")
    if any(isinstance(cell, str) for cell in cells):
        return {m: np.array(["" if cell is None else str(cell) for cell in cells]), **present}
    audio = any(map(_is_audio, cells))
    known = [np.asarray(cell["array"] if audio else cell) for cell in cells if cell is not None]
    shapes = {values.shape for values in known}
    longest = max((shape[0] for shape in shapes if shape), default=0)
    if len(shapes) > 1 and (len({shape[1:] for shape in shapes}) > 1 or () in shapes):
        examples = ", ".join(map(str, sorted(shapes)[:3]))
        raise DataError(
            f"values of {m!r} must have one shape, found {examples}. Resize or pad them."
        )
    shape = next(iter(shapes)) if len(shapes) == 1 else (longest, *known[0].shape[1:])
    stacked = np.zeros((len(cells), *shape), np.result_type(*known))
    mask = np.zeros((len(cells), *shape[:1]), np.bool_)
    for row, values in zip(np.flatnonzero(flags), known, strict=True):
        if values.ndim:
            stacked[row, : len(values)], mask[row, : len(values)] = values, True
        else:
            stacked[row] = values
    if audio:
        sound = (stacked * 32767).clip(-32768, 32767).astype(np.int16)
        return {m: sound, **({m + MASK: mask} if len(shapes) > 1 else {}), **present}
    if len(shapes) == 1:
        return {m: stacked, **present}
    steps = stacked[:, :, None] if stacked.ndim == 2 else stacked
    return {m: steps, m + MASK: mask, **present}
