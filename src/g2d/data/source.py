"""A source: stored values of all rows, the split of a protocol, and the views a model sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Sequence as Rows
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.data import new_rows
from g2d.data.splits import SPLITS, TRAIN, VALID, Split
from g2d.data.views import View
from g2d.files import one_of
from g2d.task import Task
from g2d.types import Batch, Input, Inputs, Sequence

if TYPE_CHECKING:
    from g2d.data.memory import Columns, ViewOf
    from g2d.data.rowset import TaskKind
    from g2d.data.store.facts import Kind


class Values(Protocol):
    """Stored values of a modality: a NumPy array, or an array on disk whose rows are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, rows first."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Return some rows as an array in memory."""


class Source:
    """Rows of a data set by sample id, with everything a run must know about them.

    :meth:`from_arrays` and :meth:`from_dataset` build one from data in memory.

    Args:
        name: Name of the data set.
        task: Kind of target, with what was fitted on the training rows.
        arrays: Stored values per modality, one row per sample id.
        target: Targets, shape ``(N,)`` int64 or ``(N, C)`` float32.
        group: Group of every row, shape ``(N,)``. Rows of a group are in the same split, and
            intervals are computed over groups.
        split: Split of every row, shape ``(N,)`` int8: 0 train, 1 valid, 2 test, -1 unused.
        protocol: Name of the protocol that made the split.
        views: View per modality.
        facts: Parameters that enter the content hash and every result.
        masks: Which steps are real, shape ``(N, steps)`` bool, of the modalities whose rows are
            padded sequences.
        present: Which rows have the modality, shape ``(N,)`` bool, of the modalities that some
            rows lack.
        content_hash: Hash of a store that was signed; None computes it from the values.
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
        self.arrays, self.views = dict(arrays), dict(views)
        self.target, self.group, self.split = target, group, split
        self.masks, self.present = dict(masks or {}), dict(present or {})
        self.origin: dict[str, NDArray[np.float64]] = {}
        """Per modality the offsets that were subtracted from its columns before storing."""
        self.read_table: new_rows.RowReader | None = None
        """Function that reads new rows from a table; only for data that came from a table."""
        self.remarks: list[str] = []
        """Sentences about the rows that were read last from a table."""
        self.validates_on_test = False
        """Whether the test rows are also the validation rows; see :meth:`validated_on_test`."""
        self.signed, self._content_hash = content_hash is not None, content_hash
        self._parts: dict[tuple[str, ...], Source] = {}

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, Any],
        target: Any,
        *,
        split: Any = None,
        group: Any = None,
        ids: Any = None,
        task: TaskKind | None = None,
        classes: Rows[str] | None = None,
        kinds: Mapping[str, Kind] | None = None,
        views: Mapping[str, ViewOf] | None = None,
        rate: int | None = None,
        name: str = "arrays",
    ) -> Source:
        """Build a source from arrays in memory.

        Args:
            arrays: Per modality an array with one row per sample: numbers, uint8 pixels, int16
                sound, or text. ``NAME.mask`` marks the real steps of padded sequences or sound and
                ``NAME.present`` the rows that have the modality; without them, all. NaN and
                infinity become the mean of the training rows (of sound, zero), and a row without
                any finite number lacks the modality.
            target: One target per row: text and whole numbers are classes, floats (also of shape
                ``(N, C)``) are values of a regression, bools and whole numbers 0 and 1 of shape
                ``(N, C)`` are the states of several labels.
            split: ``train``, ``valid``, ``test`` or ``unused`` per row. If None, rows are divided
                by group: 80 % train, 10 % validate, 10 % test (60, 20, 20 of few groups).
            group: Value per row, such as a person; rows with the same value get the same split.
            ids: Unique name per row; by default its number.
            task: ``"classification"``, ``"regression"`` or ``"multilabel"``, if the type of the
                target misleads.
            classes: Names of the classes, in order, if whole numbers are classes; or of the labels.
            kinds: Kind per modality, where the type and shape of its array mislead: ``audio``,
                ``image``, ``video``, ``sequence``, ``table`` or ``text``.
            views: Per modality a view, or steps as a recipe has them, in place of the default.
            rate: Samples per second of sound, for a mel spectrogram.
            name: Name of the data set.

        Raises:
            DataError: The arrays do not fit together, or a value cannot be used.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> photo = rng.integers(0, 256, (100, 8, 8, 3), np.uint8)
            >>> source = Source.from_arrays(
            ...     {"photo": photo, "weather": rng.normal(size=(100, 4))}, rng.integers(0, 2, 100)
            ... )
            >>> [len(source.rows(split)) for split in ("train", "valid", "test")]
            [80, 10, 10]
        """
        from g2d.data.memory import source_of

        roles = {"target": target, "split": split, "group": group, "id": ids}
        given = {role: values for role, values in roles.items() if values is not None}
        return source_of(
            {**arrays, **given},
            name=name,
            task=task,
            classes=classes,
            kinds=kinds or {},
            views=views or {},
            rate=rate,
        )

    @classmethod
    def from_dataset(
        cls,
        dataset: Any,
        modalities: Columns,
        target: str,
        *,
        split: str | None = None,
        group: str | None = None,
        ids: str | None = None,
        task: TaskKind | None = None,
        classes: Rows[str] | None = None,
        kinds: Mapping[str, Kind] | None = None,
        views: Mapping[str, ViewOf] | None = None,
        rate: int | None = None,
        name: str = "dataset",
    ) -> Source:
        """Build a source from a Hugging Face data set, or from any sequence of mappings.

        Values may be text, numbers, lists, arrays, PIL images of one size, or Hugging Face audio.
        Lists of different lengths become padded sequences; None means that the row lacks the
        modality. All rows are read into memory.

        Args:
            dataset: The rows; or a mapping from the name of a split to its rows, such as a
                ``DatasetDict``.
            modalities: Columns, each of which is a modality; or a mapping from a modality to its
                column, or to several columns of single numbers.
            target: Column of the target; lists of names or of class numbers are several labels.
            split: Column of the split; None to divide the rows by group.
            group: Column whose values must stay in one split.
            ids: Column of unique names.
            task: See :meth:`from_arrays`.
            classes: See :meth:`from_arrays`; by default those that a Hugging Face data set names.
            kinds: See :meth:`from_arrays`.
            views: See :meth:`from_arrays`.
            rate: See :meth:`from_arrays`; by default that of Hugging Face audio.
            name: Name of the data set.

        Raises:
            DataError: A column is missing, or its values do not fit together.

        Example:
            >>> rows = [{"text": f"word {i % 3}", "size": float(i), "y": i % 2} for i in range(60)]
            >>> Source.from_dataset(rows, ["text", "size"], "y").modalities
            ('text', 'size')
        """
        from g2d.data.memory import columns_of, source_of

        columns = columns_of(
            dataset, modalities, target, split=split, group=group, ids=ids, classes=classes
        )
        return source_of(
            columns.arrays,
            name=name,
            task=task or columns.task,
            classes=columns.classes,
            kinds=kinds or {},
            views=views or {},
            rate=rate or columns.rate,
        )

    def __repr__(self) -> str:
        """Return the name, the modalities and the number of rows."""
        return f"Source({self.name!r}, modalities={self.modalities}, rows={self.size})"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return tuple(self.arrays)

    @property
    def size(self) -> int:
        """Number of rows, unused ones included."""
        return len(self.target)

    @property
    def deterministic(self) -> bool:
        """Whether a training row has the same inputs in every epoch."""
        return all(view.deterministic for view in self.views.values())

    @property
    def content_hash(self) -> str:
        """Hash of the parameters and of every byte of the stored values, computed once."""
        if self._content_hash is None:
            stored = (*self.arrays.values(), *self.masks.values(), *self.present.values())
            self._content_hash = _digest(
                {"name": self.name, "facts": self.facts},
                *(values[slice(None)] for values in stored),
                self.target,
            )
        return self._content_hash

    @property
    def protocol_hash(self) -> str:
        """Hash of the split of every row and of the views."""
        views = {m: view.config() for m, view in self.views.items()}
        facts: dict[str, Any] = {"protocol": self.protocol, "views": views}
        if self.validates_on_test:
            facts["validation"] = "test"
        return _digest(facts, self.split)

    def rows(self, split: Split) -> NDArray[np.int64]:
        """Return the sample ids of a split, in order.

        Args:
            split: ``"train"``, ``"valid"`` or ``"test"``.
        """
        one_of("split", split, SPLITS)
        if self.validates_on_test and SPLITS.index(split) == VALID:
            split = "test"
        return np.flatnonzero(self.split == SPLITS.index(split))

    def groups(self, split: Split) -> NDArray[Any]:
        """Return the group of every row of a split."""
        groups: NDArray[Any] = self.group[self.rows(split)]
        return groups

    def gather(self, indices: NDArray[np.int64] | Tensor) -> Batch:
        """Return the stored values of some rows as a batch.

        Args:
            indices: Sample ids, shape ``(B,)``.
        """
        index = np.asarray(indices)
        present = {m: torch.from_numpy(flags[index]) for m, flags in self.present.items()}
        return Batch(
            {m: self.stored(m, index) for m in self.arrays},
            torch.from_numpy(self.target[index]),
            torch.from_numpy(index.astype(np.int64)),
            present or None,
        )

    def stored(self, modality: str, index: NDArray[np.int64]) -> Input:
        """Return stored values of a modality: a tensor, or a padded sequence with its mask.

        Args:
            modality: Name of the modality.
            index: Sample ids, shape ``(B,)``.
        """
        values = torch.from_numpy(np.ascontiguousarray(self.arrays[modality][index]))
        mask = self.masks.get(modality)
        if mask is None:
            return values
        return Sequence(values, torch.from_numpy(np.ascontiguousarray(mask[index])))

    def view(self, batch: Batch, *, seed: int, epoch: int, train: bool) -> Batch:
        """Return what the model sees of a gathered batch, computed on the batch's device.

        Args:
            batch: Stored values, as :meth:`gather` returns them.
            seed: Seed of the run.
            epoch: Epoch.
            train: Whether the rows are used for training.
        """
        assert batch.index is not None
        inputs: Inputs = {
            m: self.views[m](values, seed=seed, epoch=epoch, index=batch.index, train=train)
            for m, values in batch.inputs.items()
        }
        return Batch(inputs, batch.target, batch.index, batch.present)

    def only(self, modalities: tuple[str, ...]) -> Source:
        """Return the same rows with some of the modalities, as a teacher is trained on them.

        The result is kept, so that its content hash is computed once.

        Args:
            modalities: Names of the modalities.
        """
        if modalities not in self._parts:
            part = self._parts[modalities] = self.seen({m: self.views[m] for m in modalities})
            part.arrays = {m: self.arrays[m] for m in modalities}
            part.masks = {m: mask for m, mask in self.masks.items() if m in modalities}
            part.present = {m: flags for m, flags in self.present.items() if m in modalities}
            part.facts, part.origin, part.read_table = dict(self.facts), {}, None
            signed = (
                {"of": self.content_hash, "modalities": list(modalities)} if self.signed else None
            )
            part._content_hash = None if signed is None else _digest(signed)
        return self._parts[modalities]

    def seen(self, views: Mapping[str, View]) -> Source:
        """Return the same rows with other views.

        Args:
            views: View per modality.
        """
        other = copy(self)
        other.views, other._parts = dict(views), {}
        return other

    def validated_on_test(self) -> Source:
        """Return the source of released code that has no validation rows.

        Validation rows are used for training, and the test rows validate.
        """
        other = self.seen(self.views)
        other.split = np.where(self.split == VALID, TRAIN, self.split).astype(np.int8)
        other.validates_on_test = True
        return other

    def describe(self) -> dict[str, Any]:
        """Return what every result records about its data."""
        return {
            "name": self.name,
            "protocol": self.protocol,
            "content_hash": self.content_hash,
            "protocol_hash": self.protocol_hash,
            "modalities": list(self.modalities),
            "rows": {split: len(self.rows(split)) for split in SPLITS},
            **self.facts,
        }

    def read_rows(self, path: str | Path) -> tuple[list[str], Batch]:
        """Read new rows from an ``.npz`` file with one array per modality.

        The arrays have the shapes that :meth:`write_rows` writes. ``NAME.mask`` marks the real
        steps of padded sequences and ``NAME.present`` the rows that have the modality; without
        them, all. A number may be missing (NaN) if the view fills it. If the data came from a
        table, another such table can be read too.

        Args:
            path: The file.

        Returns:
            Names of the rows, and the batch as the model sees it; its targets are placeholders.

        Raises:
            DataError: The file is missing or damaged, or its arrays do not fit the data of the run.
        """
        rows = new_rows.read_rows(self, Path(path))
        return rows.ids, rows.batch

    def write_rows(self, path: str | Path, indices: Rows[int] | NDArray[np.int64]) -> None:
        """Write stored values of some rows to a file that :meth:`read_rows` reads.

        Args:
            path: File to write, ending in ``.npz``.
            indices: Sample ids.
        """
        new_rows.write_rows(self, Path(path), np.asarray(indices, np.int64))


def _digest(facts: Mapping[str, Any], *arrays: NDArray[Any]) -> str:
    """Return the SHA-256 of plain values and arrays."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
