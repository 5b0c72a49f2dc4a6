"""Confidence intervals by a bootstrap over independent groups of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

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

    @property
    def in_percent(self) -> str:
        """The figure and its interval as text, in percent.

        Example:
            >>> Interval(0.123, 0.1, 0.2).in_percent
            '12.3 % [10.0, 20.0]'
        """
        return f"{percent(self.value)} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def percent(share: float) -> str:
    """Return a share as text, in percent.

    Args:
        share: The share, 1 for all.
    """
    return f"{100 * share:.1f} %"


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
    # A draw of few rows may have no denominator.
    defined = b[1] != 0
    return _interval(a[0] / b[0], a[1][defined] / b[1][defined])


def _drawn(values: Values, group: NDArray[np.int64], seed: int) -> tuple[float, Values]:
    """Return the mean, and the means of bootstrap draws.

    The draws depend only on the number of groups and the seed, so that two calls are paired.
    """
    known = ~np.isnan(values)
    groups = int(group.max()) + 1
    sums = np.bincount(group, np.where(known, values, 0.0), groups)
    counts = np.bincount(group, known.astype(np.float64), groups)
    weights = _times_drawn(groups, seed)
    return float(sums.sum() / counts.sum()), (weights @ sums) / np.maximum(weights @ counts, 1e-12)


@lru_cache(maxsize=1)
def _times_drawn(groups: int, seed: int) -> Values:
    """Return how often each group is drawn, of shape ``(DRAWS, groups)``.

    It is kept, because the figures of a diagnosis are intervals over the same groups.
    """
    counts = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), DRAWS)
    draws = counts.astype(np.float64)
    draws.setflags(write=False)
    return draws


def _interval(value: float, draws: Values) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high))
