"""ICT-MMMO, YouTube and POM: reviews as word-level sequences of sound and face (features of Zadeh et al., Memory Fusion Network, AAAI 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.store.facts import Signal
from g2d.datasets.base import Reader, ReaderOptions, check_arrays, open_pack
from g2d.errors import DataError, MissingDependencyError
from g2d.prepare.plan import Decoded, Plan, Sample, Skip, places

STEPS, FILLER = 20, -255.0
SPLITS = ("train", "valid", "test")
FILES = {
    "audio": "audio_{}.h5",
    "video": "video_{}.h5",
    "text": "text_{}_emb.h5",
    "target": "y_{}.h5",
}
PARTLY = frozenset({"text"})
"""What is published for some rows only: an array ``has_M`` says for which."""


class POMOptions(ReaderOptions):
    """What ``g2d data prepare pom`` can be told: nothing."""


class YouTubeOptions(ReaderOptions):
    """What ``g2d data prepare youtube`` can be told."""

    text: bool = Field(
        False, description="add the word vectors, which only validation and test rows have"
    )


class MMMOOptions(YouTubeOptions):
    """What ``g2d data prepare mmmo`` can be told."""

    regression: bool = Field(
        False, description="the score 1..5 itself in place of positive (> 3.5) or not"
    )


@dataclass(frozen=True)
class Reviews:
    """One of the three sets.

    Args:
        name: of the data set and of its folder. widths: of a step, per modality. target: shape of a row's.
        rows: of the official splits. classes: of the target; None for a regression. options: what a user may say.
    """

    name: str
    widths: dict[str, int]
    target: tuple[int, ...]
    rows: tuple[int, int, int]
    classes: tuple[str, ...] | None
    options: type[ReaderOptions]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of a row of every array."""
        return {m: (STEPS, width) for m, width in self.widths.items()} | {"target": self.target}


MMMO = Reviews(
    "mmmo",
    {"audio": 74, "video": 36, "text": 300},
    (),
    (220, 40, 80),
    ("not positive", "positive"),
    MMMOOptions,
)
YOUTUBE = Reviews(
    "youtube",
    {"audio": 74, "video": 36, "text": 300},
    (3,),
    (173, 36, 60),
    ("0", "1", "2"),
    YouTubeOptions,
)
POM = Reviews("pom", {"audio": 43, "video": 41}, (17,), (600, 100, 203), None, POMOptions)
SETS = {reviews.name: reviews for reviews in (MMMO, YOUTUBE, POM)}


def plan_reviews(reviews: Reviews, source: Path, options: ReaderOptions) -> Plan:
    """From the pack of arrays, or from the HDF5 files of the Memory Fusion Network's repository."""
    table, chosen = opened(source, reviews.name), options.model_dump()
    wanted = ["audio", "video", *(["text"] if chosen.get("text") else [])]
    if absent := [m for m in wanted if m not in table]:
        raise DataError(
            f"{reviews.name} must have sequences of {absent[0]} to be asked for them, found none."
        )
    score = reviews.classes is None or chosen.get("regression", False)
    samples, skipped = [], []
    for row, (value, place) in enumerate(zip(table["target"], table["split"], strict=True)):
        name, target = f"{reviews.name}_{row:04d}", _target(value, score)
        if target is None:
            skipped.append(Skip(name, "no-agreed-label", f"its target is {value.tolist()}"))
        else:
            samples.append(Sample(name, target, name, (), {"row": row}, {"official": int(place)}))
    task: dict[str, Any] = {
        "kind": "regression",
        "outputs": max(reviews.target, default=1),
        "scale": "train",
        "output": "identity",
    }
    if not score:
        task = {"kind": "classification", "classes": list(reviews.classes or ())}
    view = ({"name": "standardize", "clip": 5.0},)
    return Plan(
        name=reviews.name,
        task=task,
        signals={
            m: Signal("sequence", "float16", (STEPS, reviews.widths[m]), view, masked=True)
            for m in wanted
        },
        samples=samples,
        decode=ReviewDecode(reviews.name, tuple(wanted)),
        protocols={f"{reviews.name}/official": places(samples, lambda s: int(s.notes["official"]))},
        skipped=skipped,
        parameters=chosen,
        warnings=tuple(_warnings(table, wanted)),
        official=sum(reviews.rows),
        chunk=128,
    )


def _warnings(table: Mapping[str, NDArray[Any]], wanted: list[str]) -> list[str]:
    told = []
    if PARTLY.intersection(wanted):
        told.append(
            "the text files of the training rows were never published with the others: only validation and test have it"
        )
    if empty := int((~np.any([_real(table[m]).any(1) for m in ("audio", "video")], axis=0)).sum()):
        told.append(
            f"{empty} of {len(table['split'])} rows hold neither sound nor face: nothing can be told from them"
        )
    return told


def _target(value: NDArray[Any], score: bool) -> int | float | tuple[float, ...] | None:
    """Scores as they are; one of several columns that is 1; more than 3.5 of 5. None if it is no such thing."""
    if not np.isfinite(value).all():
        return None
    if score:
        return tuple(map(float, value)) if value.ndim else float(value)
    if not value.ndim:
        return int(value > 3.5)
    return int(np.argmax(value)) if sorted(value.tolist()) == [0] * (len(value) - 1) + [1] else None


def _real(steps: NDArray[Any]) -> NDArray[np.bool_]:
    """Which steps ``(..., T, d)`` are no padding (all zero) and hold no filler."""
    real: NDArray[np.bool_] = (steps != 0).any(-1) & (steps != FILLER).all(-1)
    return real


@dataclass(frozen=True)
class ReviewDecode:
    """Sequences of a row; steps of padding, and those that hold the filler -255 anywhere, are set to 0 and masked."""

    name: str
    wanted: tuple[str, ...]

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        table, row = opened(source, self.name), sample.facts["row"]
        values: dict[str, NDArray[Any] | None] = dict.fromkeys(self.wanted)
        masks = {}
        for m in self.wanted:
            there = table.get(f"has_{m}")
            if there is not None and not there[row]:
                continue
            steps = table[m][row if there is None else int(there[:row].sum())]
            masks[m] = _real(steps)
            values[m] = np.where(masks[m][:, None], steps, 0).astype(np.float16)
        # A row that knows other modalities lacks those that have no step; one that knows none stays, all padding.
        if any(mask.any() for mask in masks.values()):
            values = {m: v if m in masks and masks[m].any() else None for m, v in values.items()}
        return Decoded(values, masks)


@lru_cache(maxsize=2)
def opened(source: Path, name: str) -> dict[str, NDArray[Any]]:
    """The arrays of the pack, or the same from HDF5 files."""
    reviews, pack = SETS[name], source / f"{name}_sequences.npz"
    if not pack.is_file():
        return _from_hdf5(reviews, source / name if (source / name).is_dir() else source)
    table = open_pack(pack)
    partly = PARTLY & reviews.widths.keys() & table.keys()
    whole = {m: shape for m, shape in reviews.shapes.items() if m not in PARTLY}
    check_arrays(table, whole | {"split": ()} | {f"has_{m}": () for m in partly}, pack)
    for m in partly:
        rows = {m: table[m], f"has_{m}": np.flatnonzero(table[f"has_{m}"])}
        check_arrays(rows, {m: reviews.shapes[m], f"has_{m}": ()}, pack)
    return table


def _from_hdf5(reviews: Reviews, folder: Path) -> dict[str, NDArray[Any]]:
    """Data set ``d1`` of every file, training, validation and test rows one after the other."""
    parts = [_split(reviews, folder, split) for split in SPLITS]
    counts = [len(part["target"]) for part in parts]
    whole: dict[str, NDArray[Any]] = {"split": np.repeat(np.arange(3, dtype=np.uint8), counts)}
    for m in reviews.shapes:
        there = [part[m] for part in parts if m in part]
        if not there:
            continue
        with np.errstate(
            over="ignore"
        ):  # what does not fit is infinite, and its row is skipped for that
            whole[m] = np.concatenate(there).astype(
                np.float16 if m in reviews.widths else np.float32
            )
        if len(there) < len(parts):
            whole[f"has_{m}"] = np.repeat([m in part for part in parts], counts)
    return whole


def _split(reviews: Reviews, folder: Path, split: str) -> dict[str, NDArray[Any]]:
    """All that is known of a split's rows: every file must have them, and only text may be absent."""
    found = {m: _d1(folder / FILES[m].format(split)) for m in reviews.shapes}
    there = {m: values for m, values in found.items() if values is not None}
    if absent := [
        FILES[m].format(split) for m in reviews.shapes if m not in PARTLY and m not in there
    ]:
        raise DataError(
            f"{folder} must hold audio_, video_ and y_ files for train, valid and test (.h5), found no {' and no '.join(absent)}."
        )
    check_arrays(
        there,
        {m: shape for m, shape in reviews.shapes.items() if m in there},
        f"{split} files of {folder}",
    )
    return there


def _d1(path: Path) -> NDArray[Any] | None:
    if not path.is_file():
        return None
    try:
        import h5py
    except ImportError:
        raise MissingDependencyError(
            "HDF5 files need the optional library h5py: pip install 'g2d[hdf5]'."
        ) from None
    try:
        with h5py.File(path, "r") as file:
            values: NDArray[Any] = file["d1"][:]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} must be an HDF5 file with a data set d1, found: {error}. Fetch it again."
        ) from error
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path} must hold numbers, found {values.dtype}. Fetch it again.")
    return values.squeeze(-1) if values.ndim == 2 and values.shape[1] == 1 else values


def _reader(reviews: Reviews, about: str) -> Reader:
    return Reader(
        plan=partial(plan_reviews, reviews),
        options=reviews.options,
        about=about,
        layout=f"new_data/{reviews.name}: audio_, video_ and y_ files for train, valid and test (.h5, needs h5py); or the pack {reviews.name}_sequences.npz",
        needs="new_data of github.com/pliang279/MFN",
        licence="MIT for the files; cite Zadeh et al., Memory Fusion Network, AAAI 2018",
        pack="mfn-seq",
    )


MMMO_READER = _reader(
    MMMO, "ICT-MMMO: is a film review positive; word-level sequences of sound and face"
)
YOUTUBE_READER = _reader(
    YOUTUBE, "YouTube opinions: one of three sentiments; word-level sequences of sound and face"
)
POM_READER = _reader(
    POM,
    "POM: 17 traits and opinions of a film reviewer (regression); word-level sequences of sound and face",
)
