"""Tests of significance that a run makes before and after training: chance, means and margins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
LEVEL = 0.05
"""Probability of a false alarm, over all tests of a run."""


@dataclass(frozen=True)
class Mean:
    """A mean over rows with its standard error.

    Args:
        value: The mean.
        error: Its standard error, from independent groups of rows; infinite for one group.
        groups: Number of groups.
    """

    value: float
    error: float
    groups: int


def clustered_mean(values: Values, group: NDArray[np.int64]) -> Mean:
    """Return the mean over rows, and a standard error that is valid if rows form groups.

    Args:
        values: Values ``(N,)``; rows with NaN are left out.
        group: Group of every row ``(N,)``.

    Example:
        >>> mean = clustered_mean(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]))
        >>> mean.value, round(mean.error, 3), mean.groups
        (0.5, 0.5, 2)
    """
    known = ~np.isnan(values)
    values, (_, group) = values[known], np.unique(group[known], return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0
    if groups == 0:
        return Mean(math.nan, math.inf, 0)
    mean = float(values.mean())
    deviation = np.bincount(group, values - mean)
    if groups == 1:
        return Mean(mean, math.inf, 1)
    spread = float(np.square(deviation).sum()) * groups / (groups - 1)
    return Mean(mean, math.sqrt(spread) / len(values), groups)


def chance_of(target: NDArray[np.int64]) -> float:
    """Return the share of rows that the best constant answer gets right.

    Args:
        target: Class numbers ``(N,)``, or states of several labels ``(N, C)``.

    Example:
        >>> chance_of(np.array([0, 1, 1, 1]))
        0.75
    """
    _, counts = np.unique(target, axis=0, return_counts=True)
    return float(counts.max() / counts.sum())


def p_above(share: float, groups: int, chance: float) -> float:
    """Return the probability to reach a share of right answers by chance (binomial, one-sided).

    Args:
        share: Share of right answers.
        groups: Number of independent answers.
        chance: Probability of a right answer by chance.

    Example:
        >>> round(p_above(0.6, 10, 0.5), 4), p_above(0.9, 100, 0.1) < 1e-6
        (0.377, True)
    """
    from scipy.special import bdtrc

    right = round(share * groups)
    return 1.0 if right == 0 else float(bdtrc(right - 1, groups, chance))


def groups_needed(margin: float, error: float, fixed: float, groups: int) -> int | None:
    """Return how many independent validation rows make a margin two standard errors wide.

    The variance of the margin is ``fixed**2`` plus a part that falls with the number of validation
    rows.

    Args:
        margin: The margin.
        error: Its standard error with the present rows.
        fixed: Part of the error that more validation rows do not lower.
        groups: Number of independent validation rows at present.

    Returns:
        The number; None if no number is enough.

    Example:
        >>> groups_needed(0.1, 0.1, 0.0, 100), groups_needed(0.1, 0.1, 0.06, 100)
        (400, None)
    """
    left = (margin / 2) ** 2 - fixed**2
    if left <= 0:
        return None
    return math.ceil(groups * (error**2 - fixed**2) / left - 1e-9)
