"""Pairs of handwritten digits whose class is, in part or wholly, in their interaction.

- ``sum``: the class is (a + b) mod 10 of the digits a and b, so that one picture alone says
  nothing about it.
- ``match``: whether both are the same digit; again one picture says nothing.
- ``mix``: five classes. P % of the rows are redundant: both pictures show the digit a = b, and
  the class is a mod 5. In the others a and b differ and the class is (a + b) mod 5, each class
  equally often for every a and for every b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.data.views import Canvas, View
from g2d.data.views.builtin import canvas_view, unit_pixels
from g2d.datasets.digits.rows import DigitRows
from g2d.task import Classification, Task

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRAIN_PAIRS = 3
"""Number of pairs that every training digit begins."""
CLASSES = {"sum": WORDS, "match": ("different", "same"), "mix": WORDS[:5]}
"""Names of the classes by setting."""
PARTNER, LEFT, RIGHT = 4, 5, 6
"""Channels of the random source."""
SIDE, LEFT_NOISE, RIGHT_NOISE = 10, 0.1, 0.2
"""Side of the left canvas, and standard deviations of the noise of a pixel."""

Drawn = tuple[NDArray[Any], View]
"""Stored values and the view of a modality."""


@dataclass(frozen=True)
class Pairs:
    """The left digit of every row, and its partner.

    Args:
        rows: Rows, whose digits are on the left.
        other: Number of the digit on the right, among all digits.
        label: Class of every row.
    """

    rows: DigitRows
    other: NDArray[np.int64]
    label: NDArray[np.int64]

    @classmethod
    def draw(cls, rows: DigitRows) -> Self:
        """Draw a partner from the same split for every row.

        Args:
            rows: The rows of a setting of pairs.
        """
        options = rows.options
        digit_of = np.zeros(len(rows.pictures), np.int64)
        digit_of[rows.row] = rows.digit
        other, label = np.empty_like(rows.row), np.empty_like(rows.digit)
        for split in np.unique(rows.split):
            members = np.flatnonzero(rows.split == split)
            pool = np.unique(rows.row[members])
            for i in members.tolist():
                rng, a = rows.generator(i, PARTNER), int(rows.digit[i])
                allowed = _ALLOWED[options.setting](a, rng, (options.redundant or 0.0) / 100)
                choice = pool[np.isin(digit_of[pool], allowed) & (pool != rows.row[i])]
                other[i] = choice[rng.integers(len(choice))]
                label[i] = label_of(options.setting, a, int(digit_of[other[i]]))
        return cls(rows, other, label)

    def target(self) -> tuple[NDArray[np.int64], Task]:
        """Return the class of every row, and the task."""
        return self.label, Classification(CLASSES[self.rows.options.setting])

    def drawn(self, modality: str) -> Drawn:
        """Return the pictures of a modality.

        Those on the left are at a random place of a larger canvas with noise, drawn again in every
        epoch. Those on the right are in place, under noise that is drawn once.

        Args:
            modality: ``left`` or ``right``.
        """
        return self._left() if modality == "left" else self._right()

    def _left(self) -> Drawn:
        rows = self.rows
        bank = (rows.pictures[rows.row[rows.train]] / 16).astype(np.float32)
        side = bank.shape[1]
        stored = np.zeros((len(rows.row), SIDE, SIDE), np.float16)
        stored[rows.train, :side, :side] = bank
        for i in np.flatnonzero(~rows.train).tolist():
            rng = rows.generator(i, LEFT)
            top, left = rng.integers(0, SIDE - side + 1, 2)
            canvas = LEFT_NOISE * rng.standard_normal((SIDE, SIDE))
            canvas[top : top + side, left : left + side] += rows.pictures[rows.row[i]] / 16
            stored[i] = canvas
        step = Canvas(bank=torch.from_numpy(bank), size=SIDE, patches=0, noise=LEFT_NOISE)
        return stored, canvas_view("left", step)

    def _right(self) -> Drawn:
        rows, clean = self.rows, self.rows.pictures[self.other] / 16
        noise = [
            rows.generator(i, RIGHT).standard_normal(clean.shape[1:]) for i in range(len(clean))
        ]
        noisy = (clean + RIGHT_NOISE * np.stack(noise)).clip(0, 1)
        return np.rint(noisy * 255).astype(np.uint8), unit_pixels("right")


def label_of(setting: str, a: int, b: int) -> int:
    """Return the class of a pair of digits.

    Args:
        setting: ``sum``, ``match`` or ``mix``.
        a: Digit on the left.
        b: Digit on the right.

    Example:
        >>> label_of("sum", 7, 8), label_of("match", 7, 8), label_of("mix", 7, 7)
        (5, 0, 2)
        >>> label_of("mix", 7, 8)
        0
    """
    if setting == "match":
        return int(a == b)
    if setting == "sum":
        return (a + b) % 10
    return a % 5 if a == b else (a + b) % 5


def _any(a: int, rng: np.random.Generator, redundant: float) -> list[int]:
    """Return the possible partners of digit a in ``sum``."""
    return list(range(10))


def _same_or_not(a: int, rng: np.random.Generator, redundant: float) -> list[int]:
    """Return the possible partners of digit a in ``match``: half of them are the same."""
    return [a] if rng.random() < 0.5 else [b for b in range(10) if b != a]


def _mixed(a: int, rng: np.random.Generator, redundant: float) -> list[int]:
    """Return the possible partners of digit a in ``mix``."""
    if rng.random() < redundant:
        return [a]
    label = int(rng.integers(5))
    return [b for b in range(10) if b != a and (a + b) % 5 == label]


_ALLOWED = {"sum": _any, "match": _same_or_not, "mix": _mixed}
