"""AV-MNIST: a handwritten digit without most of its energy, and the same digit spoken in noise.

After Vielzeuf et al. (CentralNet, 2018). There are two forms: the circulating arrays, whose making
is not documented, and one that is rebuilt from MNIST, spoken digits and noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from g2d.data.pca import principal_components
from g2d.data.splits import TEST, TRAIN, VALID
from g2d.data.store.arrays import open_array
from g2d.data.store.facts import Signal
from g2d.datasets.av_mnist.parts import IMAGE_TRAIN, LENGTH, Parts
from g2d.datasets.av_mnist.raw import Pool, read_parts
from g2d.datasets.base import ReaderOptions
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Plan, Sample, places

CLASSES = tuple("0123456789")
ROWS = 70_000
N_FFT, HOP, DECIBELS = 222, 72, 80.0
"""Window and hop of the spectrogram in samples, and its range in decibels."""
COUNTS = {
    "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
"""Rows per digit of the circulating copy."""
OVER_255 = ({"name": "scale", "std": 255.0, "channel": True},)
PROTOCOLS: dict[Pool, str] = {
    "take": "av_mnist/rebuilt-v1",
    "speaker": "av_mnist/rebuilt-speaker-v1",
}


class AVMNISTOptions(ReaderOptions):
    """Options of ``g2d data prepare av_mnist``.

    All but ``form`` and ``limit`` concern the rebuilt form.
    """

    form: Literal["circulating", "rebuilt"] | None = Field(
        None, description="by default the form whose files are found"
    )
    components: int = Field(
        4, ge=1, le=784, description="number of principal components of the pictures (k)"
    )
    energy: Literal["at-most", "at-least"] | None = Field(
        None, description="choose components by energy: at most 25 %, or at least 25 %"
    )
    signed: bool = Field(
        False, description="subtract the mean picture, as in the circulating copy; float16"
    )
    snr_db: float = Field(
        -5.0, allow_inf_nan=False, description="signal-to-noise ratio of the speech in decibels"
    )
    pool: Pool = Field("take", description="what recordings of two splits do not share")
    seed: int = Field(0, ge=0, description="seed of pairs and noise")
    limit: int | None = Field(
        None, ge=1, description="number of rows per digit and split; by default all"
    )


def plan_av_mnist(source: Path, options: AVMNISTOptions) -> Plan:
    """Plan the form that the options choose, or the one whose files are found.

    Args:
        source: Folder of raw files.
        options: Options of the preparation.
    """
    folder = circulating_folder(source)
    form = options.form or ("rebuilt" if folder is None else "circulating")
    return {"circulating": plan_circulating, "rebuilt": plan_rebuilt}[form](source, options)


def circulating_folder(source: Path) -> str | None:
    """Return the folder of the circulating arrays under the source folder, if there is one."""
    return next(
        (name for name in ("avmnist", ".") if (source / name / "train_labels.npy").is_file()), None
    )


def plan_circulating(source: Path, options: AVMNISTOptions) -> Plan:
    """Plan the circulating copy, whose rows are in MNIST's order.

    Its files are ``avmnist/{image,audio}/{train,test}_data.npy`` and ``{train,test}_labels.npy``.

    Args:
        source: Folder of raw files.
        options: Options of the preparation; of them only ``limit`` applies.
    """
    folder = circulating_folder(source)
    if folder is None:
        raise DataError(
            f"{source} must hold avmnist/train_labels.npy and its other files, found none. "
            "Unpack avmnist.tar.gz there."
        )
    if refused := sorted(options.model_fields_set - {"form", "limit"}):
        raise DataError(
            f"the circulating AV-MNIST must be used unchanged, found {', '.join(refused)}. "
            "Leave that out, or give form=rebuilt and its files."
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
            "how the circulating copy was made is not documented; its sound may not match its "
            "labels (docs/data/av_mnist)",
        ),
        official=0 if options.limit else ROWS,
        chunk=1000,
    )


def _split(folder: Path, split: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return the labels and pictures of a split, after the shapes of all arrays are checked."""
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
            f"{split} arrays must be {len(labels)} x 784 and {len(labels)} x 112 x 112 uint8, "
            f"found {image.shape} and {audio.shape} {audio.dtype}."
        )
    if not len(labels) or not (digit := np.isin(labels, np.arange(10))).all():
        value = labels[~digit][0] if len(labels) else "no rows"
        raise DataError(f"{split}_labels.npy must hold digits 0 to 9, found {value}.")
    return labels.astype(np.int64), image


def _range(image: NDArray[Any]) -> dict[str, Any]:
    """Return the range of the finite values of the pictures, and whether some are negative."""
    numbers = image[np.isfinite(image)]
    if not numbers.size:
        return {}
    low, high = float(numbers.min()), float(numbers.max())
    return {"image_min": low, "image_max": high, "signed": low < 0}


def _rows(split: str, place: int, labels: NDArray[np.int64], limit: int | None) -> Iterator[Sample]:
    """Yield the samples of a split; of the training rows the last twelfth validates."""
    valid = IMAGE_TRAIN * len(labels) // 60_000
    seen: Counter[tuple[int, int]] = Counter()
    for row, label in enumerate(labels.tolist()):
        name, side = f"{split}_{row:05d}", VALID if place == TRAIN and row >= valid else place
        seen[side, label] += 1
        if limit is None or seen[side, label] <= limit:
            yield Sample(name, label, name, (), {"split": split, "row": row}, {"place": side})


@dataclass(frozen=True)
class CirculatingDecode:
    """Decoder of a row of the circulating arrays.

    Args:
        folder: Folder of the arrays under the source folder.
    """

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
    """Open an array of numbers with that many axes."""
    try:
        values = open_array(path)
    except FileNotFoundError:
        raise DataError(
            f"the circulating AV-MNIST is incomplete: there is no {path.name} in {path.parent}."
        ) from None
    except ValueError as error:
        raise DataError(f"{path} must be a plain array, found {error}.") from error
    if values.ndim != axes or values.dtype.kind not in "fiu":
        raise DataError(
            f"{path} must be numbers in {axes} axes, found {values.dtype} {values.shape}."
        )
    return values


def plan_rebuilt(source: Path, options: AVMNISTOptions) -> Plan:
    """Plan the rebuilt form, with pairs by the rules of ``av_mnist/rebuilt-v1``.

    The principal components are those of MNIST's training file.

    Args:
        source: Folder of raw files.
        options: Options of the preparation.
    """
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


def _components(options: AVMNISTOptions, energy: NDArray[np.float64]) -> int:
    """Return the number of components that the options choose."""
    if options.energy is None:
        return options.components
    at_least = int(np.searchsorted(energy, 0.25) + 1)
    return at_least if options.energy == "at-least" else at_least - 1


def _pairs(parts: Parts, pool: int, options: AVMNISTOptions) -> list[Sample]:
    """Return the samples of a pool."""
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
            facts = {"picture": picture, "recording": spoken, "pool": pool, "row": row}
            samples.append(Sample(f"{picture:05d}", d, group, (), facts))
    return samples


@dataclass(frozen=True)
class RebuiltDecode:
    """Decoder of a picture without most of its energy, and a spectrogram of speech in noise.

    Args:
        snr_db: Signal-to-noise ratio of the speech in decibels.
        pool: What recordings of two splits do not share.
        seed: Seed of the noise.
        signed: Whether to leave the mean picture out.
        mean: Mean picture.
        basis: Principal components that are kept, one per row.
    """

    snr_db: float
    pool: Pool
    seed: int
    signed: bool
    mean: NDArray[np.float64] = field(repr=False)
    basis: NDArray[np.float64] = field(repr=False)

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        parts = _parts(source, self.pool)
        facts = sample.facts
        rng = np.random.default_rng([self.seed, 10 + facts["pool"], facts["row"]])
        sound = parts.mixed(facts["recording"], facts["pool"], self.snr_db, rng)
        centered = parts.picture[facts["picture"]].reshape(-1) - self.mean
        reduced = centered @ self.basis.T @ self.basis
        image: NDArray[Any] = reduced.astype(np.float16)
        if not self.signed:
            image = np.rint((reduced + self.mean).clip(0, 255)).astype(np.uint8)
        return Decoded({"audio": decibels(sound), "image": image.reshape(28, 28)})


@lru_cache(maxsize=1)
def _parts(source: Path, pool: Pool) -> Parts:
    return read_parts(source, pool)[0]


def principal(
    pictures: NDArray[np.uint8],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the principal components of pictures.

    Args:
        pictures: Pictures, shape ``(n, 28, 28)``.

    Returns:
        Cumulative share of the energy, the mean picture ``(784,)``, and the components
        ``(784, 784)``, one per row, greatest first.
    """
    rows = pictures.reshape(len(pictures), -1)
    mean = rows.mean(0, dtype=np.float64)
    square = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), 5000):
        block = rows[start : start + 5000] - mean
        square += block.T @ block
    variance, components = principal_components(square / (len(rows) - 1))
    return np.cumsum(variance) / variance.sum(), mean, components


def decibels(sound: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return a log spectrogram of a second of sound, shape ``(112, 112)``.

    The maximum becomes 255, everything 80 dB or more below it 0.

    Args:
        sound: Samples, shape ``(8000,)``.
    """
    padded = np.pad(sound / 32768, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][: 1 + LENGTH // HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    level = 20 * np.log10(np.maximum(np.abs(np.fft.rfft(frames * window, axis=1)).T, 1e-5))
    return quantized(level - level.max())


def quantized(level: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return decibels relative to the maximum as bytes.

    Example:
        >>> quantized(np.array([0.0, -20.0, -40.0, -80.0, -100.0])).tolist()
        [255, 191, 128, 0, 0]
    """
    return np.rint(255 * (level.clip(-DECIBELS, 0) + DECIBELS) / DECIBELS).astype(np.uint8)
