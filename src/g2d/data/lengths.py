"""How much of sounds, sequences and texts is kept: a high quantile, so that no extreme decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["s", "steps", "tokens"]
MEASURED = 5_000
"""Number of rows from which on only a sample of them is measured."""
QUANTILE = 0.95
"""Share of the rows that are kept whole."""
MAX_SECONDS, MAX_STEPS, MAX_TOKENS = 60.0, 4_096, 512
"""Longest sound in seconds, longest sequence in steps and longest text in tokens that are kept
unless the user wants more."""
WITHIN = 0.01
"""Share of a sound by which its length in a header may exceed what is kept, which is rounding."""


def measured_rows(rows: int) -> NDArray[np.int64]:
    """Return the numbers of the rows to measure: all, or a random one of each of 5,000 sections.

    Args:
        rows: Number of rows.

    Example:
        >>> measured_rows(3)
        array([0, 1, 2])
        >>> len(measured_rows(80_000))
        5000
    """
    if rows <= MEASURED:
        return np.arange(rows)
    bounds = np.linspace(0, rows, MEASURED + 1).astype(np.int64)
    return np.random.default_rng(0).integers(bounds[:-1], bounds[1:])


@dataclass(frozen=True)
class Length:
    """Lengths of a modality and how much of them is kept.

    Args:
        unit: Unit of the lengths.
        longest: Longest length among the measured rows.
        kept: Length that is kept.
        cut: Number of measured rows that are longer.
        measured: Number of measured rows.
        rows: Number of rows that the measured ones are a sample of.
        option: Option of the user that keeps all, such as ``"seconds=12"``; empty if the length
            follows the training rows.
    """

    unit: Unit
    longest: float
    kept: float
    cut: int
    measured: int
    rows: int
    option: str

    def __str__(self) -> str:
        longest, kept = (self._shown(length) for length in (self.longest, self.kept))
        if self.cut and longest == kept:
            longest = self._shown(self.longest, digits=3)
            kept = self._shown(self.kept, digits=3)
        sentence = f"longest {longest}, {kept} kept"
        sample = f" (measured on {self.measured} of {self.rows} rows)"
        if self.cut:
            cure = f"; {self.option} keeps all" if self.option else " to the length in training"
            sentence += f", {self.cut} of {self.measured} rows cut{cure}"
        return sentence + (sample if self.measured < self.rows else "")

    def _shown(self, length: float, digits: int = 1) -> str:
        if self.unit != "s":
            return f"{length:g} {self.unit}"
        return f"{length:.{digits}f} s" if length >= 1 else f"{length:.{digits + 1}g} s"


def length_to_keep(lengths: Sequence[float], most: float) -> float:
    """Return the smallest length that keeps 95 % of the rows whole, at most ``most``.

    Args:
        lengths: Lengths of the measured rows, at least one.
        most: Upper bound.

    Example:
        >>> length_to_keep([4.0, 4.0, 5.0], most=60), length_to_keep([2.0] * 99 + [900.0], most=60)
        (5.0, 2.0)
    """
    return min(float(np.quantile(lengths, QUANTILE, method="inverted_cdf")), most)


def described(
    lengths: Sequence[float], kept: float, unit: Unit, *, rows: int, option: str = ""
) -> Length:
    """Return what is kept of measured lengths.

    Args:
        lengths: Lengths of the measured rows, at least one.
        kept: Length that is kept.
        unit: Unit of the lengths.
        rows: Number of rows that the measured ones are a sample of.
        option: Name of the option that sets the length in this unit; empty if there is none.
    """
    longest, limit = max(lengths), kept * (1 + WITHIN) if unit == "s" else kept
    whole = math.ceil(longest * 10) / 10 if unit == "s" else longest
    cut = sum(length > limit for length in lengths)
    option = option and f"{option}={whole:g}"
    return Length(unit, longest, min(kept, longest), cut, len(lengths), rows, option)
