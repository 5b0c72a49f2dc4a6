"""AV-MNIST: a handwritten digit whose energy is mostly removed, and the same digit spoken in noise (after Vielzeuf et al., CentralNet, 2018).

Two ways: the circulating arrays, whose making nobody documented, or rebuilt from MNIST, spoken digits and noise.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.store.facts import Signal
from g2d.datasets.av_mnist.parts import LENGTH, Parts
from g2d.datasets.av_mnist.raw import read_parts
from g2d.datasets.base import ReaderOptions
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Plan, Sample, places

CLASSES = tuple("0123456789")
ROWS = 70_000
N_FFT, HOP, DECIBELS = 222, 72, 80.0
COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
"""Of the circulating labels, by digit."""
OVER_255 = ({"name": "scale", "std": 255.0, "channel": True},)


class AVMNISTOptions(ReaderOptions):
    """What ``g2d data prepare av_mnist`` can be told; all but ``form`` and ``limit`` concern the rebuilt form."""

    form: Literal["circulating", "rebuilt"] | None = Field(
        None, description="by default the one whose files are there"
    )
    components: int = Field(
        4, ge=1, le=784, description="principal components of the pictures that are kept (k)"
    )
    energy: Literal["at-most", "at-least"] | None = Field(
        None,
        description="in place of components: the most with at most, or the fewest with at least, 25 %",
    )
    signed: bool = Field(
        False, description="leave the mean out of the pictures, as the circulating ones do; float16"
    )
    snr_db: float = Field(-5.0, description="of the speech in the noise")
    pool: Literal["take", "speaker"] = Field(
        "take", description="what no recording of two splits shares"
    )
    seed: int = Field(0, ge=0, description="of pairs and noise")
    limit: int | None = Field(
        None, ge=1, description="only the first so many of every digit and split"
    )

    @model_validator(mode="after")
    def _finite(self) -> AVMNISTOptions:
        if not np.isfinite(self.snr_db):
            raise ValueError("snr_db must be finite")
        return self


def plan_av_mnist(source: Path, options: AVMNISTOptions) -> Plan:
    """The form that is asked for, or the one whose files are there."""
    folder = circulating_folder(source)
    form = options.form or ("rebuilt" if folder is None else "circulating")
    return {"circulating": plan_circulating, "rebuilt": plan_rebuilt}[form](source, options)


def circulating_folder(source: Path) -> str | None:
    """Where the circulating arrays lie under the source folder."""
    return next(
        (name for name in ("avmnist", ".") if (source / name / "train_labels.npy").is_file()), None
    )


def plan_circulating(source: Path, options: AVMNISTOptions) -> Plan:
    """``avmnist/{image,audio}/{train,test}_data.npy`` and ``{train,test}_labels.npy``, in MNIST's order."""
    folder = circulating_folder(source)
    if folder is None:
        raise DataError(
            f"{source} must hold avmnist/train_labels.npy and its like, found none. Unpack avmnist.tar.gz there."
        )
    if vain := sorted(options.model_fields_set - {"form", "limit"}):
        raise DataError(
            f"the circulating AV-MNIST must be taken as it is, found {', '.join(vain)}. Leave that out, or give form=rebuilt and its files."
        )
    samples: list[Sample] = []
    warnings, report = [], {}
    for split, place in (("train", TRAIN), ("test", TEST)):
        labels, image = _split(source / folder, split)
        counts = tuple(int(n) for n in np.bincount(labels, minlength=10))
        if counts != COUNTS[split]:
            warnings.append(f"{split} labels are not those of the circulating copy: {counts}")
        report[split] = _range(image)
        samples += _rows(split, place, labels, options.limit)
    samples.sort(key=lambda sample: sample.id.encode())
    return Plan(
        name="av_mnist",
        task={"kind": "classification", "classes": list(CLASSES)},
        signals={
            "audio": Signal("image", "uint8", (112, 112), OVER_255),
            "image": Signal("image", "float32", (28, 28), OVER_255),
        },
        samples=samples,
        decode=CirculatingDecode(folder),
        protocols={"av_mnist/legacy": places(samples, lambda s: int(s.notes["place"]))},
        parameters={"form": "circulating", "limit": options.limit},
        report=report,
        warnings=tuple(warnings),
        cautions=(
            "how the circulating copy was made is not documented; its sound may not belong to its labels (docs/data/av_mnist)",
        ),
        official=0 if options.limit else ROWS,
        chunk=1000,
    )


def _split(folder: Path, split: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The labels of a split, and its pictures, after a look at the shapes of all."""
    labels = _mapped(folder / f"{split}_labels.npy", 1)[:]
    image, audio = (
        _mapped(folder / kind / f"{split}_data.npy", axes)
        for kind, axes in (("image", 2), ("audio", 3))
    )
    if (
        not len(labels) == len(image) == len(audio)
        or image.shape[1:] != (784,)
        or audio.shape[1:] != (112, 112)
        or audio.dtype != np.uint8
    ):
        raise DataError(
            f"{split} arrays must be {len(labels)} x 784 and {len(labels)} x 112 x 112 uint8, found {image.shape} and {audio.shape} {audio.dtype}."
        )
    if not len(labels) or not (digit := np.isin(labels, np.arange(10))).all():
        raise DataError(
            f"{split}_labels.npy must hold digits 0 to 9, found {labels[~digit][0] if len(labels) else 'no rows'}."
        )
    return labels.astype(np.int64), image


def _range(image: NDArray[Any]) -> dict[str, Any]:
    """Least and greatest value of the pictures, as far as they are numbers, and whether some are negative."""
    numbers = image[np.isfinite(image)]
    return (
        {
            "image_min": float(numbers.min()),
            "image_max": float(numbers.max()),
            "signed": bool(numbers.min() < 0),
        }
        if numbers.size
        else {}
    )


def _rows(split: str, place: int, labels: NDArray[np.int64], limit: int | None) -> Iterator[Sample]:
    valid = 55_000 * len(labels) // 60_000
    seen: Counter[tuple[int, int]] = Counter()
    for row, label in enumerate(labels.tolist()):
        name, side = f"{split}_{row:05d}", VALID if place == TRAIN and row >= valid else place
        seen[side, label] += 1
        if limit is None or seen[side, label] <= limit:
            yield Sample(name, label, name, (), {"split": split, "row": row}, {"place": side})


@dataclass(frozen=True)
class CirculatingDecode:
    """A row of the circulating arrays."""

    folder: str

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        split, row = sample.facts["split"], sample.facts["row"]
        image = _mapped(source / self.folder / "image" / f"{split}_data.npy", 2)[row]
        if not np.isfinite(image).all():
            raise UnreadableError("non-finite", "its picture holds NaN or infinity")
        audio = _mapped(source / self.folder / "audio" / f"{split}_data.npy", 3)[row]
        return Decoded(
            {"audio": np.array(audio), "image": image.astype(np.float32).reshape(28, 28)}
        )


@lru_cache(maxsize=8)
def _mapped(path: Path, axes: int) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(
            f"the circulating AV-MNIST must have {path.name} in {path.parent}, found no such file."
        ) from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} must be a plain array, found damage: {error}.") from error
    if not isinstance(values, np.ndarray):
        raise DataError(f"{path} must be a plain array, found several in one file (npz).")
    if values.ndim != axes or values.dtype.kind not in "fiu":
        raise DataError(
            f"{path} must be numbers in {axes} axes, found {values.dtype} {values.shape}."
        )
    return values


def plan_rebuilt(source: Path, options: AVMNISTOptions) -> Plan:
    """Pairs by the rules of ``av_mnist/rebuilt-v1``; the principal components are those of MNIST's training file."""
    parts, report, warnings = read_parts(source, options.pool)
    energy, mean, basis = principal(parts.picture[parts.picture_pool < 2])
    k = _components(options, energy)
    samples: list[Sample] = []
    for pool in range(3):
        samples += _pairs(parts, pool, options)
    samples.sort(key=lambda sample: sample.id.encode())
    image = Signal("image", "float16" if options.signed else "uint8", (28, 28), OVER_255)
    return Plan(
        name="av_mnist",
        task={"kind": "classification", "classes": list(CLASSES)},
        signals={"audio": Signal("image", "uint8", (112, 112), OVER_255), "image": image},
        samples=samples,
        decode=RebuiltDecode(
            options.snr_db, options.pool, options.seed, options.signed, mean, basis[:k]
        ),
        protocols={PROTOCOLS[options.pool]: places(samples, lambda s: int(s.facts["pool"]))},
        parameters={"form": "rebuilt"}
        | options.model_dump(exclude={"form", "energy", "components"})
        | {"components": k},
        report=report | {"energy_kept": float(energy[k - 1])},
        warnings=tuple(warnings),
        official=0 if options.limit else ROWS,
        chunk=256,
    )


PROTOCOLS = {"take": "av_mnist/rebuilt-v1", "speaker": "av_mnist/rebuilt-speaker-v1"}


def _components(options: AVMNISTOptions, energy: NDArray[np.float64]) -> int:
    at_least = int(np.searchsorted(energy, 0.25) + 1)
    return {None: options.components, "at-least": at_least, "at-most": at_least - 1}[options.energy]


def _pairs(parts: Parts, pool: int, options: AVMNISTOptions) -> list[Sample]:
    pictures = np.flatnonzero(parts.picture_pool == pool)
    digit = parts.picture_digit[pictures].astype(np.int64)
    recording = parts.pair(digit, np.full(len(digit), pool, np.int8), options.seed)
    seen: Counter[int] = Counter()
    samples = []
    for row, (picture, d, spoken) in enumerate(
        zip(pictures.tolist(), digit.tolist(), recording.tolist(), strict=True)
    ):
        seen[d] += 1
        if options.limit is None or seen[d] <= options.limit:
            group = f"{parts.speaker_name[int(parts.speaker[spoken])]}-{int(parts.take[spoken])}"
            samples.append(
                Sample(
                    f"{picture:05d}",
                    d,
                    group,
                    (),
                    {"picture": picture, "recording": spoken, "pool": pool, "row": row},
                )
            )
    return samples


@dataclass(frozen=True)
class RebuiltDecode:
    """A picture without most of its energy, and the spectrogram of speech in noise."""

    snr_db: float
    pool: str
    seed: int
    signed: bool
    mean: NDArray[np.float64] = field(repr=False)
    basis: NDArray[np.float64] = field(repr=False)

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        parts = _parts(source, self.pool)
        facts = sample.facts
        rng = np.random.default_rng([self.seed, 10 + facts["pool"], facts["row"]])
        sound = parts.mixed(facts["recording"], facts["pool"], self.snr_db, rng)
        reduced = (
            (parts.picture[facts["picture"]].reshape(-1) - self.mean) @ self.basis.T @ self.basis
        )
        image = (
            reduced.astype(np.float16)
            if self.signed
            else np.rint((reduced + self.mean).clip(0, 255)).astype(np.uint8)
        )
        return Decoded({"audio": decibels(sound), "image": image.reshape(28, 28)})


@lru_cache(maxsize=1)
def _parts(source: Path, pool: str) -> Parts:
    return read_parts(source, pool)[0]


def principal(
    pictures: NDArray[np.uint8],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Cumulative share of the energy, mean, and components row by row, greatest first."""
    rows = pictures.reshape(len(pictures), -1)
    mean = rows.mean(0, dtype=np.float64)
    square = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), 5000):
        block = rows[start : start + 5000] - mean
        square += block.T @ block
    variance, vectors = np.linalg.eigh(square / (len(rows) - 1))
    return (
        np.cumsum(variance[::-1]) / variance.sum(),
        mean,
        np.ascontiguousarray(vectors[:, ::-1].T),
    )


def decibels(sound: NDArray[np.int16]) -> NDArray[np.uint8]:
    """``(112, 112)``: a log spectrogram of a second, 80 dB below its maximum as 0, its maximum as 255."""
    padded = np.pad(sound / 32768, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][: 1 + LENGTH // HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    level = 20 * np.log10(np.maximum(np.abs(np.fft.rfft(frames * window, axis=1)).T, 1e-5))
    return quantized(level - level.max())


def quantized(level: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Decibels as bytes.

    Example:
        >>> quantized(np.array([0.0, -20.0, -40.0, -80.0, -100.0])).tolist()
        [255, 191, 128, 0, 0]
    """
    return np.rint(255 * (level.clip(-DECIBELS, 0) + DECIBELS) / DECIBELS).astype(np.uint8)
