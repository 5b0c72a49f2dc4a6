"""ICT-MMMO, YouTube and POM: reviews as word-level sequences of sound and face (features of Zadeh et al., Memory Fusion Network, AAAI 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.readers.base import Reader, ReaderOptions, open_pack
from g2d.data.store.plan import Decoded, Plan, Sample, Signal, places
from g2d.errors import DataError, MissingDependencyError

STEPS, FILLER = 20, -255.0
SPLITS = ("train", "valid", "test")
FILES = {"audio": "audio_{}.h5", "video": "video_{}.h5", "text": "text_{}_emb.h5", "target": "y_{}.h5"}


class SequenceOptions(ReaderOptions):
    """What ``g2d data prepare mmmo`` (or youtube, pom) can be told."""

    text: bool = Field(False, description="add the word vectors, which only validation and test rows have")
    regression: bool = Field(False, description="mmmo: the score 1..5 itself in place of positive (> 3.5) or not")


@dataclass(frozen=True)
class Reviews:
    """One of the three sets.

    Args:
        name: of the data set and of its folder. widths: of a step, per modality. rows: of the official splits.
        classes: of the target; None for a regression. outputs: values of a regression.
    """

    name: str
    widths: dict[str, int]
    rows: tuple[int, int, int]
    classes: tuple[str, ...] | None
    outputs: int = 1


MMMO = Reviews("mmmo", {"audio": 74, "video": 36, "text": 300}, (220, 40, 80), ("not positive", "positive"))
YOUTUBE = Reviews("youtube", {"audio": 74, "video": 36, "text": 300}, (173, 36, 60), ("0", "1", "2"))
POM = Reviews("pom", {"audio": 43, "video": 41}, (600, 100, 203), None, 17)


def plan_reviews(reviews: Reviews, source: Path, options: SequenceOptions) -> Plan:
    """From the pack of arrays, or from the HDF5 files of the Memory Fusion Network's repository."""
    table = opened(source, reviews.name)
    wanted = ["audio", "video", *(["text"] if options.text else [])]
    if absent := [m for m in wanted if m not in table or m not in reviews.widths]:
        raise DataError(f"{reviews.name} must have sequences of {absent[0]} to be asked for them, found none.")
    _check(reviews, table, wanted)
    score = reviews.classes is None or (options.regression and table["target"].ndim == 1)
    split = table["split"]
    samples = [
        Sample(f"{reviews.name}_{row:04d}", _target(table["target"][row], score), f"{reviews.name}_{row:04d}", (), {"row": row}, {"official": int(split[row])})
        for row in range(len(split))
    ]
    task: dict[str, Any] = {"kind": "regression", "outputs": reviews.outputs, "scale": "train", "output": "identity"}
    if not score:
        task = {"kind": "classification", "classes": list(reviews.classes or ())}
    view = ({"name": "standardize", "clip": 5.0},)
    return Plan(
        name=reviews.name,
        task=task,
        signals={m: Signal("sequence", "float16", (STEPS, reviews.widths[m]), view, masked=True) for m in wanted},
        samples=samples,
        decode=ReviewDecode(reviews.name, tuple(wanted)),
        protocols={f"{reviews.name}/official": places(samples, lambda s: int(s.notes["official"]))},
        parameters=options.model_dump(),
        warnings=("the text files of the training rows were never published with the others: only validation and test have it",) if options.text else (),
        official=sum(reviews.rows),
        chunk=128,
    )


def _check(reviews: Reviews, table: dict[str, NDArray[Any]], wanted: list[str]) -> None:
    for m in wanted:
        if table[m].shape[1:] != (STEPS, reviews.widths[m]):
            raise DataError(f"{m} of {reviews.name} must be {STEPS} steps of {reviews.widths[m]}, found {table[m].shape[1:]}.")


def _target(value: Any, score: bool) -> int | float | tuple[float, ...]:
    """Scores as they are; one of several columns that is 1; more than 3.5 of 5."""
    if score:
        return tuple(float(v) for v in value) if np.ndim(value) else float(value)
    return int(np.argmax(value)) if np.ndim(value) else int(value > 3.5)


@dataclass(frozen=True)
class ReviewDecode:
    """Sequences of a row; a step whose numbers are all zero is padding, and the filler -255 counts as zero."""

    name: str
    wanted: tuple[str, ...]

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        table, row = opened(source, self.name), sample.facts["row"]
        values: dict[str, NDArray[Any] | None] = {}
        masks = {}
        for m in self.wanted:
            there = table.get(f"has_{m}")
            if there is not None and not there[row]:
                values[m] = None
                continue
            place = row if there is None else int(there[:row].sum())
            rows = table[m][place].astype(np.float32)
            rows = np.where(rows == FILLER, 0, rows)
            masks[m] = (rows != 0).any(1)
            values[m] = np.where(masks[m][:, None], rows, 0).astype(np.float16)
        # A row that knows other modalities lacks those that have no step; one that knows none stays, all padding.
        if any(mask.any() for mask in masks.values()):
            values = {m: v if m in masks and masks[m].any() else None for m, v in values.items()}
        return Decoded(values, masks)


@lru_cache(maxsize=2)
def opened(source: Path, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of the pack, or the same from HDF5 files."""
    pack = source / f"{name}_sequences.npz"
    return open_pack(pack) if pack.is_file() else _from_hdf5(source / name if (source / name).is_dir() else source)


def _from_hdf5(folder: Path) -> dict[str, NDArray[Any]]:
    """Data set ``d1`` of every file, training, validation and test rows one after the other."""
    parts = {m: [_d1(folder / pattern.format(split)) for split in SPLITS] for m, pattern in FILES.items()}
    if any(part is None for m in ("audio", "video", "target") for part in parts[m]):
        raise DataError(f"{folder} must hold audio_, video_ and y_ files for train, valid and test (.h5), found some missing.")
    counts = [len(part) for part in parts["target"] if part is not None]
    whole: dict[str, NDArray[Any]] = {"split": np.repeat(np.arange(3, dtype=np.uint8), counts)}
    for m, found in parts.items():
        there = [part for part in found if part is not None]
        if not there:
            continue
        whole[m] = np.concatenate(there)
        if len(there) < len(found):
            whole[f"has_{m}"] = np.repeat([part is not None for part in found], counts)
    kinds: dict[str, Any] = dict.fromkeys(("audio", "video", "text"), np.float16) | {"target": np.float32}
    return {m: values.astype(kinds.get(m, values.dtype)) for m, values in whole.items()}


def _d1(path: Path) -> NDArray[Any] | None:
    if not path.is_file():
        return None
    try:
        import h5py
    except ImportError:
        raise MissingDependencyError("HDF5 files need the optional library h5py: pip install 'g2d[hdf5]'.") from None
    try:
        with h5py.File(path, "r") as file:
            values: NDArray[Any] = file["d1"][:]
    except (OSError, KeyError) as error:
        raise DataError(f"{path} must be an HDF5 file with a data set d1, found: {error}. Fetch it again.") from error
    return values.squeeze(-1) if values.ndim == 2 and values.shape[1] == 1 else values


def _reader(reviews: Reviews, about: str) -> Reader:
    return Reader(
        plan=partial(plan_reviews, reviews),
        options=SequenceOptions,
        about=about,
        layout=f"new_data/{reviews.name}: audio_, video_ and y_ files for train, valid and test (.h5, needs h5py); or the pack {reviews.name}_sequences.npz",
        needs="new_data of github.com/pliang279/MFN",
        licence="MIT for the files; cite Zadeh et al., Memory Fusion Network, AAAI 2018",
        pack="mfn-seq",
    )


MMMO_READER = _reader(MMMO, "ICT-MMMO: is a film review positive; word-level sequences of sound and face")
YOUTUBE_READER = _reader(YOUTUBE, "YouTube opinions: one of three sentiments; word-level sequences of sound and face")
POM_READER = _reader(POM, "POM: 17 traits and opinions of a film reviewer (regression); word-level sequences of sound and face")
