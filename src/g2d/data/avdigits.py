"""Real handwriting and real speech: AV-MNIST rebuilt from MNIST, spoken digits and background noise, with no recording or noise clip on two sides of a split.

Pairs, noise and splits follow ``av_mnist/rebuilt-v1``; what is drawn once is deterministic from (seed, split, row).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from g2d.data.digits import WORDS, reduce_energy
from g2d.data.roots import find
from g2d.data.source import Source
from g2d.data.views import Canvas, LogMel, Scaled, View
from g2d.errors import DataError
from g2d.task import Classification

RATE, LENGTH = 8000, 8000
IMAGE_TRAIN = 55_000
"""MNIST's training images from here on are validation."""
NEEDS = "the docs (data/avdigits) say how to make it from MNIST, the Free Spoken Digit Dataset and the noise of Speech Commands"


class AVDigitsOptions(BaseModel):
    """What a recipe may say about ``avdigits``. A setting gives the defaults of the others.

    Args:
        setting: ``canvas``: a digit somewhere on a cluttered canvas, drawn anew in every epoch, and fixed speech in noise: one
            modality is learnt slowly, the other by heart. ``lookalike``: both fixed.
        modalities: image, speech or both.
        image: ``canvas`` or ``pca``.
        components: kept by ``pca``.
        snr_db: of the speech in background noise.
        pairs: training pairs; valid and test are a third and two thirds of it.
        seed: of pairs, noise and canvases.
        root: the folder that holds ``avdigits-raw``; by default the environment's ``G2D_DATA``, else ``data``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: Literal["canvas", "lookalike"] = "canvas"
    modalities: tuple[Literal["image", "speech"], ...] = ("image", "speech")
    image: Literal["canvas", "pca"] | None = None
    components: int | None = Field(default=None, ge=1, le=196)
    snr_db: float | None = None
    pairs: int | None = Field(default=None, ge=30, le=55_000)
    seed: int = Field(default=0, ge=0)
    root: str | None = None

    def filled(self) -> AVDigitsOptions:
        """The same with the setting's defaults filled in."""
        given = {name: value for name, value in self.model_dump().items() if value is not None}
        return AVDigitsOptions(**({"components": 4} | SETTINGS[self.setting] | given))


SETTINGS: dict[str, dict[str, Any]] = {
    "canvas": {"image": "canvas", "snr_db": -8.0, "pairs": 1500},
    "lookalike": {"image": "pca", "snr_db": -10.0, "pairs": 3000},
}


def open_avdigits(options: AVDigitsOptions) -> Source:
    """Pair, mix and lay out the problem; a few seconds.

    Raises:
        DataError: the parts are not found, or damaged.
    """
    options = options.filled()
    assert options.pairs is not None
    parts = Parts(find("avdigits-raw", options.root, needs=NEEDS))
    counts = (options.pairs, options.pairs // 3, 2 * options.pairs // 3)
    split = np.repeat(np.arange(3, dtype=np.int8), counts)
    chosen, digit = parts.pictures(counts)
    recording = parts.pair(digit, split, options.seed)
    drawn = {"image": lambda: _images(options, parts, chosen, split), "speech": lambda: _speech(options, parts, recording, split)}
    made: dict[str, tuple[NDArray[Any], View]] = {m: drawn[m]() for m in options.modalities}
    return Source(
        name="avdigits",
        task=Classification(WORDS),
        arrays={m: values for m, (values, _) in made.items()},
        target=digit.astype(np.int64),
        group=parts.speaker_take(recording),
        split=split,
        protocol="av_mnist/rebuilt-v1",
        views={m: view for m, (_, view) in made.items()},
        facts={"setting": options.setting, "options": options.model_dump(mode="json", exclude={"setting", "root", "modalities"})},
    )


class Parts:
    """The raw material: pictures, recordings and noise, and the pools they are divided into (0 train, 1 valid, 2 test)."""

    def __init__(self, folder: Path) -> None:
        train, test = _arrays(folder / "mnist_train.npz", "image", "digit"), _arrays(folder / "mnist_test.npz", "image", "digit")
        self.picture = np.concatenate([train["image"], test["image"]])
        self.picture_digit = np.concatenate([train["digit"], test["digit"]])
        n = len(train["digit"])
        self.picture_pool = np.where(np.arange(len(self.picture_digit)) < min(IMAGE_TRAIN, n), 0, np.where(np.arange(len(self.picture_digit)) < n, 1, 2))
        spoken = _arrays(folder / "spoken_digits_8khz.npz", "waveform", "offset", "digit", "speaker", "take", "speaker_name")
        self.speech, self.offset, self.speech_digit = spoken["waveform"], spoken["offset"], spoken["digit"]
        self.speaker, self.take, self.speaker_name = spoken["speaker"], spoken["take"], spoken["speaker_name"]
        self.speech_pool = np.select([self.take < 5, self.take < 10], [2, 1], 0)
        noise = _arrays(folder / "noise_speech_commands_8khz.npz", "waveform", "offset")
        clips = [noise["waveform"][a:b] for a, b in zip(noise["offset"][:-1], noise["offset"][1:], strict=True)]
        place = {4: 2, 3: 1}
        self.noise = {pool: [clip for i, clip in enumerate(clips) if place.get(i % 5, 0) == pool] for pool in range(3)}

    def pictures(self, counts: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first pictures of every pool, in MNIST's order, and their digits.

        Raises:
            DataError: a pool holds fewer.
        """
        chosen = []
        for pool, count in enumerate(counts):
            rows = np.flatnonzero(self.picture_pool == pool)
            if len(rows) < count:
                raise DataError(f"data.pairs must leave enough pictures, found {len(rows)} for {count} rows of split {pool}.")
            chosen.append(rows[:count])
        rows = np.concatenate(chosen)
        return rows, self.picture_digit[rows].astype(np.int64)

    def pair(self, digit: NDArray[np.int64], split: NDArray[np.int8], seed: int) -> NDArray[np.int64]:
        """A recording of the same digit for every row: each pool's recordings in a drawn order, and again in another one when they are used up."""
        recording = np.zeros(len(digit), np.int64)
        for pool in range(3):
            for d in range(10):
                rows = np.flatnonzero((split == pool) & (digit == d))
                have = np.flatnonzero((self.speech_pool == pool) & (self.speech_digit == d))
                have = have[np.argsort([f"{d}_{self.speaker_name[self.speaker[i]]}_{self.take[i]}" for i in have])]
                cycles = -(-len(rows) // len(have))
                order = [np.random.default_rng([seed, pool, d, q]).permutation(len(have)) for q in range(cycles)]
                recording[rows] = have[np.concatenate(order)[: len(rows)]] if len(rows) else []
        return recording

    def speaker_take(self, recording: NDArray[np.int64]) -> NDArray[np.int64]:
        """The group of a row: the speaker and take of its recording, as one number."""
        group: NDArray[np.int64] = self.speaker[recording].astype(np.int64) * 100 + self.take[recording]
        return group

    def mixed(self, recording: int, pool: int, snr_db: float, rng: np.random.Generator) -> NDArray[np.int16]:
        """A recording in the middle of a second of background noise, ``(8000,)`` int16; the ratio counts over the recording's own span."""
        spoken = self.speech[self.offset[recording] : self.offset[recording + 1]].astype(np.float64) / 32768
        if len(spoken) > LENGTH:
            spoken = spoken[(len(spoken) - LENGTH) // 2 :][:LENGTH]
        clips = self.noise[pool]
        clip = clips[int(rng.integers(len(clips)))]
        noise = np.take(clip, np.arange(LENGTH) + int(rng.integers(len(clip))), mode="wrap").astype(np.float64) / 32768
        power, noise_power = np.square(spoken).mean(), max(float(np.square(noise).mean()), 1e-12)
        mixed = noise * np.sqrt(power / (noise_power * 10 ** (snr_db / 10)))
        left = (LENGTH - len(spoken)) // 2
        mixed[left : left + len(spoken)] += spoken
        mixed /= max(np.abs(mixed).max() / 0.99, 1)
        samples: NDArray[np.int16] = np.rint(32767 * mixed).astype(np.int16)
        return samples


def _arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except FileNotFoundError:
        raise DataError(f"{path} must be there, found no such file; {NEEDS}.") from None
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} must hold the arrays {', '.join(names)}, found damage: {error}. Fetch it again.") from error


def _images(options: AVDigitsOptions, parts: Parts, chosen: NDArray[np.int64], split: NDArray[np.int8]) -> tuple[NDArray[Any], View]:
    small = parts.picture[chosen].reshape(-1, 14, 2, 14, 2).mean((2, 4)) / 255
    train = split == 0
    if options.image == "pca":
        reduced = reduce_energy(small.reshape(len(small), -1), np.flatnonzero(train), options.components or 4).reshape(-1, 14, 14)
        return np.rint(reduced.clip(0, 1) * 255).astype(np.uint8), Scaled(0.0, 255.0, channel=True)
    bank = torch.from_numpy(small[train].astype(np.float32))
    view = Canvas(bank, size=22, patch=7, patches=2)
    stored = np.zeros((len(small), 22, 22), np.float16)
    stored[train, :14, :14] = small[train]
    fixed = np.flatnonzero(~train)
    ids = torch.from_numpy(fixed)
    stored[fixed] = view.draw(torch.from_numpy(small[fixed].astype(np.float32)), seed=options.seed, epoch=0, index=ids).numpy()
    return stored, view


def _speech(options: AVDigitsOptions, parts: Parts, recording: NDArray[np.int64], split: NDArray[np.int8]) -> tuple[NDArray[Any], View]:
    assert options.snr_db is not None
    rows = zip(recording, split, range(len(split)), strict=True)
    first = {pool: int(np.flatnonzero(split == pool)[0]) for pool in range(3)}
    stored = np.stack([parts.mixed(int(r), int(p), options.snr_db, np.random.default_rng([options.seed, 10 + int(p), i - first[int(p)]])) for r, p, i in rows])
    plain = LogMel(RATE, n_fft=1024, hop=512, bands=32)
    power = plain.log_power(torch.from_numpy(stored[split == 0]))
    return stored, LogMel(RATE, n_fft=1024, hop=512, bands=32, mean=round(float(power.mean()), 4), std=round(float(power.std()), 4))
