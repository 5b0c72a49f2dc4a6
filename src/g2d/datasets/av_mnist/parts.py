"""The parts of AV-MNIST: pictures of digits, recordings of spoken digits, background noise.

Pairs and mixtures follow the rules of ``av_mnist/rebuilt-v1``. Everything that is drawn once is a
function of (seed, pool, row).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.splits import SPLITS, TEST, TRAIN, VALID
from g2d.errors import DataError

RATE, LENGTH = 8000, 8000
"""Samples per second, and samples of a row's sound."""
IMAGE_TRAIN = 55_000
"""MNIST's training images from this one on are for validation."""


@dataclass
class Parts:
    """Raw material, divided into pools that share nothing: 0 train, 1 valid, 2 test.

    Args:
        picture: Pictures in MNIST's order, shape ``(n, 28, 28)`` uint8.
        picture_digit: Digit of each picture.
        picture_pool: Pool of each picture.
        speech: Recordings, int16 at 8 kHz.
        speech_digit: Digit of each recording.
        speaker: Number of the speaker of each recording.
        take: Number of the take of each recording.
        speaker_name: Name of each speaker.
        speech_pool: Pool of each recording.
        noise: Clips of noise per pool.
        noise_name: Name of each clip before clips were divided into pools.
    """

    picture: NDArray[np.uint8]
    picture_digit: NDArray[np.uint8]
    picture_pool: NDArray[np.int64]
    speech: Sequence[NDArray[np.int16]]
    speech_digit: NDArray[np.uint8]
    speaker: NDArray[np.integer[Any]]
    take: NDArray[np.integer[Any]]
    speaker_name: Sequence[str]
    speech_pool: NDArray[np.int64]
    noise: dict[int, list[NDArray[np.int16]]]
    noise_name: Sequence[str]

    def check(self) -> None:
        """Refuse labels that are no digits, and pools in which a digit has no recording.

        Raises:
            DataError: The message names the digit and the pool.
        """
        labels = {"MNIST's labels": self.picture_digit, "recordings": self.speech_digit}
        for name, digits in labels.items():
            if digits.max(initial=0) > 9:
                raise DataError(f"{name} must be digits from 0 to 9, found {digits.max()}.")
        for pool, split in enumerate(SPLITS):
            recorded = set(self.speech_digit[self.speech_pool == pool].tolist())
            if missing := set(range(10)) - recorded:
                raise DataError(
                    "recordings must hold every digit for train, valid and test, found none of "
                    f"{min(missing)} for {split}. Takes 0-4 are for testing, 5-9 for validation, "
                    "all others for training; with pool=speaker the last speaker is for testing, "
                    "the one before for validation, all others for training."
                )

    def pictures(self, counts: tuple[int, int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first pictures of every pool, in MNIST's order, and their digits.

        Args:
            counts: Number of pictures per pool.

        Raises:
            DataError: A pool holds fewer.
        """
        chosen = []
        for pool, count in enumerate(counts):
            rows = np.flatnonzero(self.picture_pool == pool)
            if len(rows) < count:
                raise DataError(
                    f"data.pairs must leave enough pictures, found {len(rows)} for {count} rows "
                    f"of the split {SPLITS[pool]}."
                )
            chosen.append(rows[:count])
        rows = np.concatenate(chosen)
        return rows, self.picture_digit[rows].astype(np.int64)

    def pair(
        self, digit: NDArray[np.int64], split: NDArray[np.int8], seed: int
    ) -> NDArray[np.int64]:
        """Return a recording of the same digit for every row.

        The recordings of a pool are used in a random order, and when all are used, again in
        another random order.

        Args:
            digit: Digit of every row, shape ``(N,)``.
            split: Pool of every row, shape ``(N,)``.
            seed: Seed of the orders.
        """
        recording = np.zeros(len(digit), np.int64)
        for pool in range(len(SPLITS)):
            for d in range(10):
                rows = np.flatnonzero((split == pool) & (digit == d))
                have = np.flatnonzero((self.speech_pool == pool) & (self.speech_digit == d))
                names = [f"{d}_{self.speaker_name[self.speaker[i]]}_{self.take[i]}" for i in have]
                have = have[np.argsort(names)]
                order = [
                    np.random.default_rng([seed, pool, d, cycle]).permutation(len(have))
                    for cycle in range(-(-len(rows) // len(have)))
                ]
                if len(rows):
                    recording[rows] = have[np.concatenate(order)[: len(rows)]]
        return recording

    def speaker_take(self, recording: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the group of rows: speaker and take of their recordings, as one number.

        Args:
            recording: Number of the recording of every row.
        """
        factor = max(100, int(self.take.max()) + 1)
        speaker: NDArray[np.int64] = self.speaker[recording].astype(np.int64)
        return speaker * factor + self.take[recording]

    def mixed(
        self, recording: int, pool: int, snr_db: float, rng: np.random.Generator
    ) -> NDArray[np.int16]:
        """Return a recording in the middle of a second of background noise, ``(8000,)`` int16.

        Args:
            recording: Number of the recording.
            pool: Pool of the noise.
            snr_db: Signal-to-noise ratio over the duration of the recording, in decibels.
            rng: Generator that draws the noise.
        """
        spoken = self.speech[recording].astype(np.float64) / 32768
        if len(spoken) > LENGTH:
            spoken = spoken[(len(spoken) - LENGTH) // 2 :][:LENGTH]
        clips = self.noise[pool]
        clip = clips[int(rng.integers(len(clips)))]
        place = np.arange(LENGTH) + int(rng.integers(len(clip)))
        noise = np.take(clip, place, mode="wrap").astype(np.float64) / 32768
        power, noise_power = np.square(spoken).mean(), max(float(np.square(noise).mean()), 1e-12)
        mixed = noise * np.sqrt(power / (noise_power * 10 ** (snr_db / 10)))
        left = (LENGTH - len(spoken)) // 2
        mixed[left : left + len(spoken)] += spoken
        mixed /= max(np.abs(mixed).max() / 0.99, 1)
        samples: NDArray[np.int16] = np.rint(32767 * mixed).astype(np.int16)
        return samples


def picture_pools(train: int, test: int) -> NDArray[np.int64]:
    """Return the pools of MNIST's pictures: its last training pictures validate.

    Args:
        train: Number of training pictures.
        test: Number of test pictures.
    """
    row = np.arange(train + test)
    return np.where(row < min(IMAGE_TRAIN, train), TRAIN, np.where(row < train, VALID, TEST))


def pools_by_take(take: NDArray[Any]) -> NDArray[np.int64]:
    """Return pools: takes 0-4 test, as the Free Spoken Digit Dataset rules, and 5-9 validate."""
    return np.select([take < 5, take < 10], [TEST, VALID], TRAIN)


def pools_by_speaker(speaker: NDArray[Any], names: Sequence[str]) -> NDArray[np.int64]:
    """Return pools: the last speaker in order of names tests, the one before validates.

    Args:
        speaker: Number of the speaker of every recording.
        names: Name of each speaker.

    Raises:
        DataError: No speaker is left for training.
    """
    if len(names) < 3:
        raise DataError(
            f"pool=speaker must have three speakers or more, found {len(names)}: "
            f"{', '.join(names)}. Leave it out to divide the takes."
        )
    order = sorted(range(len(names)), key=lambda i: names[i].encode())
    return np.select([speaker == order[-1], speaker == order[-2]], [TEST, VALID], TRAIN)


def noise_pools(clips: Sequence[NDArray[np.int16]]) -> dict[int, list[NDArray[np.int16]]]:
    """Divide clips of noise into pools.

    Of every five clips the last tests and the one before validates. If there are fewer than five,
    each is cut in time: 60 % train, 20 % valid, 20 % test.

    Args:
        clips: Clips in the order of their names.
    """
    if len(clips) >= 5:
        place = {4: TEST, 3: VALID}
        return {
            pool: [clip for i, clip in enumerate(clips) if place.get(i % 5, TRAIN) == pool]
            for pool in range(len(SPLITS))
        }
    cuts = [(0.0, 0.6), (0.6, 0.8), (0.8, 1.0)]
    return {
        pool: [clip[int(a * len(clip)) : int(b * len(clip))] for clip in clips]
        for pool, (a, b) in enumerate(cuts)
    }
