"""An opened problem: stored values, the split of a protocol, and the views a model sees."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.data.splits import SPLITS
from g2d.data.views.plain import View
from g2d.errors import ArgumentError, DataError
from g2d.task import Task
from g2d.types import Batch, Input, Inputs, Sequence

MASK, PRESENT = ".mask", ".present"
"""What follows a modality's name where its mask is stored or read, and where a file of rows says which of them have the modality."""

TABLES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".json"})


class Values(Protocol):
    """Stored values of a modality: a NumPy array, or one on disk of which rows are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, rows: Any, /) -> NDArray[Any]: ...


class Source:
    """Rows by sample id, with everything a run must know about where they come from.

    Args:
        name: of the data set.
        task: the kind of target, with what was learnt on the training rows.
        arrays: stored values per modality, one row per sample id.
        target: ``(N,)`` int64 or ``(N, C)`` float32.
        group: ``(N,)``; rows of one group never stand on both sides of a split, and intervals are computed over groups.
        split: ``(N,)`` int8: 0 train, 1 valid, 2 test, -1 unused.
        protocol: its name.
        views: per modality, what the model sees.
        facts: parameters that belong to the content hash, and to every result.
        masks: of the modalities whose rows are padded sequences, ``(N, steps)`` bool: which steps are real.
        present: ``(N,)`` bool of the modalities that some rows lack.
        content_hash: of values that are already signed; None computes it.
    """

    def __init__(
        self,
        *,
        name: str,
        task: Task,
        arrays: Mapping[str, Values],
        target: NDArray[Any],
        group: NDArray[Any],
        split: NDArray[np.int8],
        protocol: str,
        views: Mapping[str, View],
        facts: Mapping[str, Any],
        masks: Mapping[str, Values] | None = None,
        present: Mapping[str, NDArray[np.bool_]] | None = None,
        content_hash: str | None = None,
    ) -> None:
        self.name, self.task, self.protocol, self.facts = name, task, protocol, dict(facts)
        self.arrays, self.target, self.group, self.split, self.views = (
            dict(arrays),
            target,
            group,
            split,
            dict(views),
        )
        self.masks, self.present = dict(masks or {}), dict(present or {})
        self.origin: dict[str, NDArray[np.float64]] = {}
        """By modality, what its columns are stored relative to; files of rows hold them as they are."""
        self.read_table: (
            Callable[[Path], tuple[list[str], dict[str, Input], dict[str, Tensor]]] | None
        ) = None
        self.signed, self._content_hash = content_hash is not None, content_hash

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    @property
    def size(self) -> int:
        return len(self.target)

    @property
    def deterministic(self) -> bool:
        """A training row's inputs are the same in every epoch."""
        return all(view.deterministic for view in self.views.values())

    @property
    def content_hash(self) -> str:
        """Covers the parameters and every byte of the stored values."""
        if self._content_hash is None:
            rows = slice(None)
            stored = [
                values[rows]
                for values in (*self.arrays.values(), *self.masks.values(), *self.present.values())
            ]
            self._content_hash = _digest(
                {"name": self.name, "facts": self.facts}, *stored, self.target
            )
        return self._content_hash

    @property
    def protocol_hash(self) -> str:
        """Covers who is in which split, and the views."""
        return _digest(
            {
                "protocol": self.protocol,
                "views": {m: view.config() for m, view in self.views.items()},
            },
            self.split,
        )

    def rows(self, split: str) -> NDArray[np.int64]:
        """Sample ids of a split, in order."""
        if split not in SPLITS:
            raise ArgumentError(f"split must be one of {', '.join(SPLITS)}, found {split!r}.")
        return np.flatnonzero(self.split == SPLITS.index(split))

    def groups(self, split: str) -> NDArray[Any]:
        """The group of every row of a split."""
        groups: NDArray[Any] = self.group[self.rows(split)]
        return groups

    def gather(self, indices: NDArray[np.int64] | Tensor) -> Batch:
        """Stored values of some rows, as they are."""
        index = np.asarray(indices)
        inputs = {m: self.stored(m, index) for m in self.arrays}
        present = {m: torch.from_numpy(there[index]) for m, there in self.present.items()}
        return Batch(
            inputs,
            torch.from_numpy(self.target[index]),
            torch.from_numpy(index.astype(np.int64)),
            present or None,
        )

    def stored(self, modality: str, index: NDArray[np.int64]) -> Input:
        """Stored values of a modality: a tensor, or a padded sequence with its mask."""
        values = torch.from_numpy(np.ascontiguousarray(self.arrays[modality][index]))
        mask = self.masks.get(modality)
        return (
            values
            if mask is None
            else Sequence(values, torch.from_numpy(np.ascontiguousarray(mask[index])))
        )

    def view(self, batch: Batch, *, seed: int, epoch: int, train: bool) -> Batch:
        """What the model sees of a gathered batch, on the batch's device."""
        assert batch.index is not None
        inputs: Inputs = {
            m: self.views[m](values, seed=seed, epoch=epoch, index=batch.index, train=train)
            for m, values in batch.inputs.items()
        }
        return Batch(inputs, batch.target, batch.index, batch.present)

    def only(self, modalities: tuple[str, ...]) -> Source:
        """The same rows with some of the modalities: what a teacher is trained on."""
        return Source(
            name=self.name,
            task=self.task,
            arrays={m: self.arrays[m] for m in modalities},
            target=self.target,
            group=self.group,
            split=self.split,
            protocol=self.protocol,
            views={m: self.views[m] for m in modalities},
            facts=self.facts,
            masks={m: mask for m, mask in self.masks.items() if m in modalities},
            present={m: there for m, there in self.present.items() if m in modalities},
            content_hash=self._only_hash(modalities),
        )

    def seen(self, views: Mapping[str, View]) -> Source:
        """The same rows through other views."""
        other = copy(self)
        other.views = dict(views)
        return other

    def _only_hash(self, modalities: tuple[str, ...]) -> str | None:
        """A part of signed values needs no second look at them."""
        return (
            _digest({"of": self.content_hash, "modalities": list(modalities)})
            if self.signed
            else None
        )

    def describe(self) -> dict[str, Any]:
        """What every result says about its data."""
        counts = {split: len(self.rows(split)) for split in SPLITS}
        return {
            "name": self.name,
            "protocol": self.protocol,
            "content_hash": self.content_hash,
            "protocol_hash": self.protocol_hash,
            "modalities": list(self.modalities),
            "rows": counts,
            **self.facts,
        }

    def read_rows(self, path: str | Path) -> tuple[list[str], Batch]:
        """New rows from an ``.npz`` file with one array per modality, shaped as :meth:`write_rows` writes them.

        ``NAME.mask`` says which steps of padded sequences are real, ``NAME.present`` which rows have the modality; without them, all. A number may
        be missing (NaN) where the view stands something for it. Of data that came from a user's table, another such table will do.

        Returns:
            Their names, and the batch as the model sees it; its targets are placeholders.

        Raises:
            DataError: the file is not there, is damaged, or its arrays are not like those the run was trained on.
        """
        path = Path(path)
        if self.read_table is not None and path.suffix.lower() in TABLES:
            ids, told, present = self.read_table(path)
            target = torch.from_numpy(np.repeat(self.target[:1], len(ids), axis=0))
            return ids, self.view(
                Batch(told, target, torch.arange(len(ids)), present or None),
                seed=0,
                epoch=0,
                train=False,
            )
        given = _read_arrays(path, self.modalities)
        given |= {
            m: given[m] - origin
            for m, origin in self.origin.items()
            if m in given and given[m].dtype.kind in "fiu"
        }
        inputs: dict[str, Input] = {
            m: torch.from_numpy(_stored(m, given.get(m), self.arrays[m], path))
            for m in self.modalities
        }
        for m, known in self.masks.items():
            values = inputs[m]
            assert isinstance(values, Tensor)
            inputs[m] = Sequence(
                values,
                torch.from_numpy(_flags(m + MASK, given, (len(values), *known.shape[1:]), path)),
            )
        counts = {m: len(values) for m, values in inputs.items()} | (
            {"id": given["id"].size} if "id" in given else {}
        )
        if len(set(counts.values())) > 1:
            raise DataError(
                f"arrays in {path} must have the same number of rows, found {', '.join(f'{n} of {name}' for name, n in counts.items())}."
            )
        rows = counts[self.modalities[0]]
        if rows == 0:
            raise DataError(f"{path} must hold one row or more, found none.")
        ids = (
            [str(value) for value in given["id"].flat]
            if "id" in given
            else [str(i) for i in range(rows)]
        )
        present = {
            m: torch.from_numpy(_flags(m + PRESENT, given, (rows,), path))
            for m in self.modalities
            if m + PRESENT in given
        }
        for m, there in present.items():
            _values(inputs[m])[~there] = 0  # as rows that lack it are stored
        target = torch.from_numpy(np.repeat(self.target[:1], rows, axis=0))
        batch = self.view(
            Batch(inputs, target, torch.arange(rows), present or None), seed=0, epoch=0, train=False
        )
        for m, seen in batch.inputs.items():
            if _values(seen).is_floating_point() and bool(_values(seen).isnan().any()):
                raise DataError(
                    f"values of {m!r} in {path} must be finite, found NaN, for which the view of {m!r} stands nothing, as the step standardize would."
                )
        return ids, batch

    def write_rows(self, path: str | Path, indices: NDArray[np.int64]) -> None:
        """Stored values of some rows as a file that :meth:`read_rows` reads."""
        arrays: dict[str, Any] = {m: values[indices] for m, values in self.arrays.items()}
        arrays |= {m: arrays[m] + origin for m, origin in self.origin.items()}
        arrays |= {m + MASK: mask[indices] for m, mask in self.masks.items()}
        arrays |= {m + PRESENT: there[indices] for m, there in self.present.items()}
        np.savez(path, id=indices.astype(str), **arrays)


def _read_arrays(path: Path, modalities: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (
        OSError,
        EOFError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        TypeError,
    ) as error:
        # A lone .npy is an array without names; opening it as an archive ends in one of the last two.
        reason = (
            "a lone array"
            if isinstance(error, AttributeError | TypeError)
            else getattr(error, "strerror", None) or str(error)
        )
        raise DataError(
            f"{path} must be an .npz file of plain arrays, one per modality ({', '.join(modalities)}), found: {reason}."
        ) from error


def _flags(
    name: str, given: Mapping[str, NDArray[Any]], shape: tuple[int, ...], path: Path
) -> NDArray[np.bool_]:
    """Which steps are real, or which rows are there; where the file does not say it, all of them."""
    flags = given.get(name, np.ones(shape, np.bool_))
    if flags.shape != shape or flags.dtype != np.bool_:
        raise DataError(
            f"{name!r} in {path} must be bool {shape}, found {flags.dtype} {flags.shape}."
        )
    return flags


def _values(values: Input) -> Tensor:
    return values.values if isinstance(values, Sequence) else values


def _stored(m: str, given: NDArray[Any] | None, known: Values, path: Path) -> NDArray[Any]:
    """New values of a modality in the type and shape in which the known ones are stored."""
    if given is None:
        raise DataError(f"{path} must hold an array for every modality, found none for {m!r}.")
    if given.shape[1:] != known.shape[1:] or given.ndim != known.ndim:
        raise DataError(
            f"rows of {m!r} in {path} must have the shape {known.shape[1:]}, found {given.shape[1:] if given.ndim else 'a single number'}."
        )
    if given.dtype.kind not in "fiub":
        raise DataError(f"values of {m!r} in {path} must be numbers, found the type {given.dtype}.")
    if given.dtype.kind == "f" and (
        np.isinf(given).any() or (known.dtype.kind != "f" and np.isnan(given).any())
    ):
        raise DataError(
            f"values of {m!r} in {path} must be finite, found {'infinity' if np.isinf(given).any() else 'NaN'}."
        )
    # Wrapping around or cutting off decimals would pass silently for data.
    limits = np.finfo(known.dtype) if known.dtype.kind == "f" else np.iinfo(known.dtype)
    whole = (
        known.dtype.kind == "f" or given.dtype.kind != "f" or bool((given == np.rint(given)).all())
    )
    least, greatest = (
        (np.fmin.reduce(given, axis=None), np.fmax.reduce(given, axis=None))
        if given.size
        else (0, 0)
    )  # whatever is missing
    if not whole or least < limits.min or greatest > limits.max:
        kind = (
            f"numbers between {limits.min} and {limits.max}"
            if known.dtype.kind == "f"
            else f"whole numbers between {limits.min} and {limits.max}"
        )
        raise DataError(
            f"values of {m!r} in {path} must be {kind} ({known.dtype}), found {given.dtype} from {least} to {greatest}."
        )
    return given.astype(known.dtype)


def _digest(facts: Mapping[str, Any], *arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
