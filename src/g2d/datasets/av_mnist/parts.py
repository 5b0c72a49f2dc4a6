"""What AV-MNIST is rebuilt from: pictures of digits, recordings of spoken ones, background noise, and the pools they are divided into.

Rules of pairing and mixing are those of ``av_mnist/rebuilt-v1``; everything that is drawn once is deterministic from (seed, pool, row).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError

RATE, LENGTH = 8000, 8000
IMAGE_TRAIN = 55_000
"""MNIST's training images from here on are validation."""
NEEDS = "the docs (data/avdigits) say how to make it from MNIST, the Free Spoken Digit Dataset and the noise of Speech Commands"


@dataclass
class Parts:
    """The raw material. Pools: 0 train, 1 valid, 2 test; nothing of one ever meets another.

    Args:
        picture: ``(n, 28, 28)`` uint8, MNIST's order. picture_digit, picture_pool: of each.
        speech: all recordings, one after the other, int16 at 8 kHz. offset: where they begin and end.
        speech_digit, speaker, take, speech_pool: of each recording. speaker_name: of each speaker.
        noise: clips per pool. noise_name: of each clip, before it was put into a pool.
    """

    picture: NDArray[np.uint8]
    picture_digit: NDArray[np.uint8]
    picture_pool: NDArray[np.int64]
    speech: NDArray[np.int16]
    offset: NDArray[np.int64]
    speech_digit: NDArray[np.uint8]
    speaker: NDArray[np.integer[Any]]
    take: NDArray[np.integer[Any]]
    speaker_name: Sequence[str]
    speech_pool: NDArray[np.int64]
    noise: dict[int, list[NDArray[np.int16]]]
    noise_name: Sequence[str]

    def pictures(self, counts: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first pictures of every pool, in MNIST's order, and their digits.

        Raises:
            DataError: a pool holds fewer.
        """
        chosen = []
        for pool, count in enumerate(counts):
            rows = np.flatnonzero(self.picture_pool == pool)
            if len(rows) < count:
                raise DataError(
                    f"data.pairs must leave enough pictures, found {len(rows)} for {count} rows of split {pool}."
                )
            chosen.append(rows[:count])
        rows = np.concatenate(chosen)
        return rows, self.picture_digit[rows].astype(np.int64)

    def pair(
        self, digit: NDArray[np.int64], split: NDArray[np.int8], seed: int
    ) -> NDArray[np.int64]:
        """A recording of the same digit for every row: each pool's recordings in a drawn order, and again in another one when they are used up."""
        recording = np.zeros(len(digit), np.int64)
        for pool in range(3):
            for d in range(10):
                rows = np.flatnonzero((split == pool) & (digit == d))
                have = np.flatnonzero((self.speech_pool == pool) & (self.speech_digit == d))
                have = have[
                    np.argsort(
                        [f"{d}_{self.speaker_name[self.speaker[i]]}_{self.take[i]}" for i in have]
                    )
                ]
                cycles = -(-len(rows) // len(have))
                order = [
                    np.random.default_rng([seed, pool, d, q]).permutation(len(have))
                    for q in range(cycles)
                ]
                recording[rows] = have[np.concatenate(order)[: len(rows)]] if len(rows) else []
        return recording

    def speaker_take(self, recording: NDArray[np.int64]) -> NDArray[np.int64]:
        """The group of a row: the speaker and take of its recording, as one number."""
        apart = max(100, int(self.take.max()) + 1)
        group: NDArray[np.int64] = (
            self.speaker[recording].astype(np.int64) * apart + self.take[recording]
        )
        return group

    def mixed(
        self, recording: int, pool: int, snr_db: float, rng: np.random.Generator
    ) -> NDArray[np.int16]:
        """A recording in the middle of a second of background noise, ``(8000,)`` int16; the ratio counts over the recording's own span."""
        spoken = (
            self.speech[self.offset[recording] : self.offset[recording + 1]].astype(np.float64)
            / 32768
        )
        if len(spoken) > LENGTH:
            spoken = spoken[(len(spoken) - LENGTH) // 2 :][:LENGTH]
        clips = self.noise[pool]
        clip = clips[int(rng.integers(len(clips)))]
        noise = (
            np.take(clip, np.arange(LENGTH) + int(rng.integers(len(clip))), mode="wrap").astype(
                np.float64
            )
            / 32768
        )
        power, noise_power = np.square(spoken).mean(), max(float(np.square(noise).mean()), 1e-12)
        mixed = noise * np.sqrt(power / (noise_power * 10 ** (snr_db / 10)))
        left = (LENGTH - len(spoken)) // 2
        mixed[left : left + len(spoken)] += spoken
        mixed /= max(np.abs(mixed).max() / 0.99, 1)
        samples: NDArray[np.int16] = np.rint(32767 * mixed).astype(np.int16)
        return samples


def _arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """All arrays of a file, which must hold those of some names."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path} must be there, found no such file; {NEEDS}.") from None
    except (
        OSError,
        EOFError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:  # a single array is no context: TypeError
        raise DataError(
            f"{path} must hold the arrays {', '.join(names)}, found damage: {error}. Fetch it again."
        ) from error
    if absent := [name for name in names if name not in found]:
        raise DataError(
            f"{path} must hold the arrays {', '.join(names)}, found no {absent[0]}. Fetch it again."
        )
    return found


def read_pack(folder: Path) -> Parts:
    """The pack ``avdigits-raw``: plain arrays.

    Raises:
        DataError: a file is not there, or damaged.
    """
    train, test = (
        _arrays(folder / "mnist_train.npz", "image", "digit"),
        _arrays(folder / "mnist_test.npz", "image", "digit"),
    )
    spoken = _arrays(
        folder / "spoken_digits_8khz.npz",
        "waveform",
        "offset",
        "digit",
        "speaker",
        "take",
        "speaker_name",
    )
    noise = _arrays(folder / "noise_speech_commands_8khz.npz", "waveform", "offset")
    clips = [
        noise["waveform"][a:b]
        for a, b in zip(noise["offset"][:-1], noise["offset"][1:], strict=True)
    ]
    return Parts(
        picture=np.concatenate([train["image"], test["image"]]),
        picture_digit=np.concatenate([train["digit"], test["digit"]]),
        picture_pool=picture_pools(len(train["digit"]), len(test["digit"])),
        speech=spoken["waveform"],
        offset=spoken["offset"],
        speech_digit=spoken["digit"],
        speaker=spoken["speaker"],
        take=spoken["take"],
        speaker_name=[str(name) for name in spoken["speaker_name"]],
        speech_pool=pools_by_take(spoken["take"]),
        noise=noise_pools(clips),
        noise_name=[str(name) for name in noise.get("name", np.arange(len(clips)))],
    )


def picture_pools(train: int, test: int) -> NDArray[np.int64]:
    """MNIST's test pictures are test; of its training pictures the last ones validate."""
    row = np.arange(train + test)
    return np.where(row < min(IMAGE_TRAIN, train), 0, np.where(row < train, 1, 2))


def pools_by_take(take: NDArray[Any]) -> NDArray[np.int64]:
    """Takes 0-4 are test, as the Free Spoken Digit Dataset has it, 5-9 validate."""
    return np.select([take < 5, take < 10], [2, 1], 0)


def pools_by_speaker(speaker: NDArray[Any], names: Sequence[str]) -> NDArray[np.int64]:
    """The last speaker in order of names is test, the one before validates.

    Raises:
        DataError: none is left to train with.
    """
    if len(names) < 3:
        raise DataError(
            f"pool=speaker must have three speakers or more, found {len(names)}: {', '.join(names)}. Leave it out: takes are divided then."
        )
    order = sorted(range(len(names)), key=lambda i: names[i].encode())
    return np.select([speaker == order[-1], speaker == order[-2]], [2, 1], 0)


def noise_pools(clips: Sequence[NDArray[np.int16]]) -> dict[int, list[NDArray[np.int16]]]:
    """Of every five clips in order of names the last is test and the one before validates; fewer than five are each cut in time, 60/20/20."""
    if len(clips) >= 5:
        place = {4: 2, 3: 1}
        return {
            pool: [clip for i, clip in enumerate(clips) if place.get(i % 5, 0) == pool]
            for pool in range(3)
        }
    cuts = [(0.0, 0.6), (0.6, 0.8), (0.8, 1.0)]
    return {
        pool: [clip[int(a * len(clip)) : int(b * len(clip))] for clip in clips]
        for pool, (a, b) in enumerate(cuts)
    }
