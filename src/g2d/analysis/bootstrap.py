"""Confidence intervals by a bootstrap over independent groups of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
"""Number of bootstrap draws."""
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval.

    Args:
        value: Figure on the rows themselves.
        low: 2.5 percentile over bootstrap draws.
        high: 97.5 percentile over bootstrap draws.
    """

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Interval:
        """Return the figure and its interval times a factor."""
        return Interval(factor * self.value, factor * self.low, factor * self.high)


def bootstrap_mean(values: Values, group: NDArray[np.int64], *, seed: int = 0) -> Interval:
    """Return the mean over rows; whole groups are drawn with replacement.

    Args:
        values: Values ``(N,)``; rows with NaN are left out.
        group: Group of every row ``(N,)``, numbered from 0.
        seed: Seed of the draws.

    Example:
        >>> mean = bootstrap_mean(np.array([0.0, 1.0] * 50), np.arange(100))
        >>> mean.value, 0.38 < mean.low < 0.44, 0.56 < mean.high < 0.62
        (0.5, True, True)
    """
    return _interval(*_drawn(values, group, seed))


def bootstrap_difference(
    first: Values, second: Values, group: NDArray[np.int64], *, seed: int = 0
) -> Interval:
    """Return the difference of two means over the same rows, drawn together.

    Args:
        first: Values ``(N,)`` of the first mean; rows with NaN are left out.
        second: Values ``(N,)`` of the mean that is subtracted.
        group: Group of every row ``(N,)``, numbered from 0.
        seed: Seed of the draws.
    """
    a, b = _drawn(first, group, seed), _drawn(second, group, seed)
    return _interval(a[0] - b[0], a[1] - b[1])


def bootstrap_ratio(
    first: Values, second: Values, group: NDArray[np.int64], *, seed: int = 0
) -> Interval:
    """Return the ratio of two means over the same rows, drawn together.

    Args:
        first: Values ``(N,)`` of the numerator; rows with NaN are left out.
        second: Values ``(N,)`` of the denominator.
        group: Group of every row ``(N,)``, numbered from 0.
        seed: Seed of the draws.
    """
    a, b = _drawn(first, group, seed), _drawn(second, group, seed)
    return _interval(a[0] / b[0], a[1] / b[1])


def _drawn(values: Values, group: NDArray[np.int64], seed: int) -> tuple[float, Values]:
    """Return the mean, and the means of bootstrap draws.

    The draws depend only on the number of groups and the seed, so that two calls are paired.
    """
    known = ~np.isnan(values)
    groups = int(group.max()) + 1
    sums = np.bincount(group, np.where(known, values, 0.0), groups)
    counts = np.bincount(group, known.astype(np.float64), groups)
    weights = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), DRAWS)
    return float(sums.sum() / counts.sum()), (weights @ sums) / np.maximum(weights @ counts, 1e-12)


def _interval(value: float, draws: Values) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high))
