"""ICT-MMMO: film reviews as word-level sequences of sound and face.

The features are those of Zadeh et al., Memory Fusion Network, AAAI 2018.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.splits import SPLITS
from g2d.data.store.facts import Signal
from g2d.datasets.base import ReaderOptions
from g2d.errors import DataError
from g2d.files import import_extra
from g2d.prepare import Decoded, Plan, Sample, Skip, places

STEPS = 20
FILLER = -255.0
"""Value that marks a step without features."""
WIDTHS = {"audio": 74, "video": 36, "text": 300}
"""Features of a step."""
SHAPES = {m: (STEPS, width) for m, width in WIDTHS.items()} | {"target": ()}
"""Shape of a row of each array."""
FILES = {
    "audio": "audio_{}.h5",
    "video": "video_{}.h5",
    "text": "text_{}_emb.h5",
    "target": "y_{}.h5",
}
"""Name of the file of each array, given the split."""
OPTIONAL = frozenset({"text"})
"""Arrays that are published for some splits only; an array ``has_M`` marks the rows that have M."""
ROWS = {"train": 220, "valid": 40, "test": 80}
POSITIVE = 3.5
"""A review is positive if its score, from 1 to 5, is above this."""
CLASSES = ("not positive", "positive")


class MMMOOptions(ReaderOptions):
    """Options of ``g2d data prepare mmmo``."""

    text: bool = Field(
        False, description="add the word vectors, which only validation and test rows have"
    )
    regression: bool = Field(
        False, description="predict the score from 1 to 5 instead of positive (> 3.5) or not"
    )


def plan_mmmo(source: Path, options: MMMOOptions) -> Plan:
    """Plan a store from the HDF5 files of the Memory Fusion Network's repository.

    Raises:
        DataError: A file is missing or damaged.
        MissingDependencyError: h5py is not installed.
    """
    table = load(source)
    modalities = ("audio", "video", *(("text",) if options.text else ()))
    if absent := [m for m in modalities if m not in table]:
        raise DataError(f"text=true needs the files {FILES[absent[0]].format('*')}, found none.")
    samples, skipped = [], []
    for row, (score, place) in enumerate(zip(table["target"], table["split"], strict=True)):
        name = f"mmmo_{row:04d}"
        if not np.isfinite(score):
            skipped.append(Skip(name, "no-agreed-label", f"its target is {score}"))
            continue
        target = float(score) if options.regression else int(score > POSITIVE)
        samples.append(Sample(name, target, name, (), {"row": row}, {"official": int(place)}))
    view = ({"name": "standardize", "clip": 5.0},)
    return Plan(
        name="mmmo",
        task={"kind": "regression", "outputs": 1, "scale": "train", "output": "identity"}
        if options.regression
        else {"kind": "classification", "classes": list(CLASSES)},
        signals={
            m: Signal("sequence", "float16", SHAPES[m], view, masked=True) for m in modalities
        },
        samples=samples,
        decode=ReviewDecode(modalities),
        protocols={"mmmo/official": places(samples, lambda s: int(s.notes["official"]))},
        skipped=skipped,
        parameters=options.model_dump(),
        warnings=tuple(_warnings(table, modalities)),
        official=sum(ROWS.values()),
        chunk=128,
    )


def _warnings(table: Mapping[str, NDArray[Any]], modalities: Collection[str]) -> Iterator[str]:
    """Yield warnings about missing text and rows without any signal."""
    if OPTIONAL.intersection(modalities):
        yield "the text of the training rows was never published: only other rows have text"
    signal = np.any([_real(table[m]).any(1) for m in ("audio", "video")], axis=0)
    if empty := int((~signal).sum()):
        yield f"{empty} of {len(signal)} rows have neither sound nor face to predict from"


def _real(steps: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which steps ``(..., T)`` of ``(..., T, D)`` are neither padding nor filler."""
    real: NDArray[np.bool_] = (steps != 0).any(-1) & (steps != FILLER).all(-1)
    return real


@dataclass(frozen=True)
class ReviewDecode:
    """Decoder of a row's sequences.

    Steps of padding, and those that contain the filler -255, are set to 0 and masked.

    Args:
        modalities: Modalities to decode.
    """

    modalities: tuple[str, ...]

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        """Return the sequences of a sample."""
        table, row = load(source), sample.facts["row"]
        values: dict[str, NDArray[Any] | None] = dict.fromkeys(self.modalities)
        masks = {}
        for m in self.modalities:
            has = table.get(f"has_{m}")
            if has is not None and not has[row]:
                continue
            steps = table[m][row if has is None else int(has[:row].sum())]
            masks[m] = _real(steps)
            values[m] = np.where(masks[m][:, None], steps, 0).astype(np.float16)
        # A modality without real steps is missing, unless no modality has any: such a row is kept.
        if any(mask.any() for mask in masks.values()):
            values = {m: v if m in masks and masks[m].any() else None for m, v in values.items()}
        return Decoded(values, masks)


@lru_cache(maxsize=2)
def load(source: Path) -> dict[str, NDArray[Any]]:
    """Load the arrays of all splits, training, validation and test rows one after the other.

    Args:
        source: The folder ``mmmo`` of the HDF5 files, or the folder that contains it.

    Returns:
        The arrays of :data:`SHAPES`, the split (0, 1, 2) of each row, and for an array that some
        splits lack, which rows have it.
    """
    folder = source / "mmmo" if (source / "mmmo").is_dir() else source
    parts = [_split(folder, split) for split in SPLITS]
    counts = [len(part["target"]) for part in parts]
    whole: dict[str, NDArray[Any]] = {"split": np.repeat(np.arange(3, dtype=np.uint8), counts)}
    for m in SHAPES:
        published = [part[m] for part in parts if m in part]
        if not published:
            continue
        dtype = np.float16 if m in WIDTHS else np.float32
        with np.errstate(over="ignore"):  # an overflow is infinite, and its row is skipped
            whole[m] = np.concatenate(published).astype(dtype)
        if len(published) < len(parts):
            whole[f"has_{m}"] = np.repeat([m in part for part in parts], counts)
    return whole


def _split(folder: Path, split: str) -> dict[str, NDArray[Any]]:
    """Load the arrays of a split; every file must exist except those of :data:`OPTIONAL`."""
    paths = {m: folder / FILES[m].format(split) for m in SHAPES}
    absent = [path.name for m, path in paths.items() if m not in OPTIONAL and not path.is_file()]
    if absent:
        raise DataError(
            f"{folder} must hold audio_, video_ and y_ files for train, valid and test (.h5), "
            f"found no {' and no '.join(absent)}."
        )
    arrays = {m: _read(path, SHAPES[m]) for m, path in paths.items() if path.is_file()}
    if len({len(values) for values in arrays.values()}) > 1:
        counts = ", ".join(f"{len(values)} of {m}" for m, values in arrays.items())
        raise DataError(f"{split} files of {folder} must have the same rows, found {counts}.")
    return arrays


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Read the data set ``d1`` of an HDF5 file, whose rows must have a shape."""
    h5py = import_extra("h5py", "hdf5", "reading HDF5 files")
    try:
        with h5py.File(path, "r") as file:
            values: NDArray[Any] = file["d1"][:]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} must hold HDF5 data d1, found: {error}.") from error
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path} must hold numbers, found {values.dtype}. Download it again.")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values.squeeze(-1)
    if values.shape[1:] != shape:
        raise DataError(f"{path} must have rows of shape {shape}, found {values.shape[1:]}.")
    return values
