"""Rows of the built-in problem: which digit, which draw, which split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2d.data.splits import TEST, TRAIN, VALID
from g2d.datasets.digits.options import DigitsOptions

TRAIN_ROWS, VALID_ROWS = 1078, 359
"""Numbers of digits in the first two splits; the remaining 360 are for testing."""


@dataclass(frozen=True)
class DigitRows:
    """Rows to draw, by sample id.

    Args:
        options: Options of the problem, filled.
        pictures: All digits, shape ``(1797, 8, 8)``, in 0..16.
        row: Number of the digit of every sample.
        draw: Number of the draw of every sample.
        split: Number of the split of every sample.
        digit: Value 0..9 of every sample.
    """

    options: DigitsOptions
    pictures: NDArray[np.float64]
    row: NDArray[np.int64]
    draw: NDArray[np.int64]
    split: NDArray[np.int8]
    digit: NDArray[np.int64]

    def generator(self, sample: int, channel: int) -> np.random.Generator:
        """Return the generator of a sample and channel."""
        return np.random.default_rng(
            [self.options.data_seed, self.row[sample], channel, self.draw[sample]]
        )

    @property
    def train(self) -> NDArray[np.bool_]:
        """Which samples are used for training."""
        return np.equal(self.split, TRAIN)


def rows_of(options: DigitsOptions, train_draws: int = 1) -> DigitRows:
    """Order the samples: training rows, then all draws of validation rows, then of test rows.

    Args:
        options: Options of the problem, filled.
        train_draws: Number of draws per training digit.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    digit = data.target.astype(np.int64)
    order = np.arange(len(digit))
    if options.protocol == "random-v1":
        order = np.random.default_rng(options.data_seed).permutation(len(digit))
    place = np.full(len(order), TEST, np.int8)
    place[: TRAIN_ROWS + VALID_ROWS] = VALID
    place[:TRAIN_ROWS] = TRAIN
    repeats = np.where(place == TRAIN, train_draws, options.eval_draws)
    row = np.repeat(order, repeats)
    draw = np.concatenate([np.arange(n) for n in repeats])
    pictures = data.images.astype(np.float64)
    return DigitRows(options, pictures, row, draw, np.repeat(place, repeats), digit[row])


def protocol_of(options: DigitsOptions) -> str:
    """Return the name of the protocol with the options that change it."""
    seed = f"&data_seed={options.data_seed}" if options.protocol == "random-v1" else ""
    return f"digits/{options.protocol}?setting={options.setting}{seed}"
