"""Use of a modality, read from the scores of all subsets of the modalities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.analysis.bootstrap import Interval, bootstrap_mean, bootstrap_ratio
from g2d.analysis.coalitions import EMPTY
from g2d.analysis.pool import Pool
from g2d.analysis.rows import reward
from g2d.errors import UnsupportedError
from g2d.functional.shapley import Coalition, coalitions, shares
from g2d.task import Task

Values = NDArray[np.float64]
HARMFUL = -0.1
"""Contribution below which a modality harms a row."""


def subset_rewards(pool: Pool, task: Task) -> dict[Coalition, Values]:
    """Return the :func:`~g2d.analysis.rows.reward` of every row for every subset.

    Args:
        pool: Rows and model; it decides what an absent modality is.
        task: Kind of target.

    Returns:
        Rewards ``(N,)`` per subset of the modalities, the empty one included.
    """
    everyone = set(pool.modalities)
    return {
        subset: reward(task, pool.logits(pool.own, without=everyone - subset), pool.target)
        for subset in (EMPTY, *coalitions(pool.modalities))
    }


def utilization(
    rewards: Mapping[Coalition, Values], modalities: tuple[str, ...], group: NDArray[np.int64]
) -> dict[str, Interval]:
    """Return the conditional utilization rate of every modality, given all others.

    u(m | rest) = (A(M) - A(M without m)) / A(M), where A is the score (Wu et al., ICML 2022).
    The difference between the largest and the smallest rate measures imbalance.

    Args:
        rewards: Rewards of every subset (:func:`subset_rewards`).
        modalities: Names of all modalities M.
        group: Group of every row.

    Returns:
        A rate per modality; empty if A(M) is not above zero, because the ratio has no meaning
        then.

    Example:
        >>> def first(right):
        ...     return (np.arange(100) < right).astype(float)
        >>> one, two, both = frozenset("1"), frozenset("2"), frozenset("12")
        >>> rewards = {one: first(75), two: first(50), both: first(80)}
        >>> rates = utilization(rewards, ("1", "2"), np.arange(100))
        >>> {m: round(rate.value, 4) for m, rate in rates.items()}
        {'1': 0.375, '2': 0.0625}
    """
    everyone = frozenset(modalities)
    full = rewards[everyone]
    if full.mean() <= 0:
        return {}
    return {m: bootstrap_ratio(full - rewards[everyone - {m}], full, group) for m in modalities}


def imbalance(rates: Mapping[str, Interval]) -> float | None:
    """Return the largest minus the smallest utilization rate; None without rates.

    Args:
        rates: Rate per modality, see :func:`utilization`.
    """
    values = [rate.value for rate in rates.values()]
    return max(values) - min(values) if values else None


def row_contributions(
    rewards: Mapping[Coalition, Values], modalities: tuple[str, ...]
) -> dict[str, Values]:
    """Return the contribution of every modality to every row.

    It is the Shapley value of v(S) = |S| * [prediction from S is right] (Wei et al., "sample-level
    modality valuation", CVPR 2024): k/2 or more where a modality is needed, negative where it
    makes a right prediction wrong. The values of a row add up to k if all modalities together
    are right, else to 0.

    Args:
        rewards: 1 or 0 per row for every subset (:func:`subset_rewards`).
        modalities: Names of all modalities M.

    Returns:
        Contributions ``(N,)`` per modality.

    Raises:
        UnsupportedError: Rewards are not 1 and 0: the targets are values.

    Example:
        >>> both = frozenset("ab")
        >>> right = {frozenset("a"): [1, 1, 1], frozenset("b"): [0, 1, 0], both: [1, 0, 0]}
        >>> rewards = {subset: np.array(values, float) for subset, values in right.items()}
        >>> {m: phi.tolist() for m, phi in row_contributions(rewards, ("a", "b")).items()}
        {'a': [1.5, 0.0, 0.5], 'b': [0.5, 0.0, -0.5]}
    """
    if not all(np.isin(right, (0.0, 1.0)).all() for right in rewards.values()):
        raise UnsupportedError("contributions of rows must have classes, found values.")
    values = {
        subset: len(subset) * torch.from_numpy(right) for subset, right in rewards.items() if subset
    }
    return {m: phi.numpy() for m, phi in shares(values, modalities).items()}


def harmed(contributions: Values, group: NDArray[np.int64]) -> Interval:
    """Return the share of rows to which a modality contributes less than -0.1.

    Args:
        contributions: Contributions of one modality ``(N,)``.
        group: Group of every row.
    """
    return bootstrap_mean((contributions < HARMFUL).astype(np.float64), group)


def histogram(contributions: Values) -> list[tuple[float, float]]:
    """Return every contribution that occurs, with its share of the rows.

    Args:
        contributions: Contributions of one modality ``(N,)``.

    Example:
        >>> histogram(np.array([1.5, 0.5, 0.5, 0.5]))
        [(0.5, 0.75), (1.5, 0.25)]
    """
    values, counts = np.unique(contributions.round(6), return_counts=True)
    return list(zip(values.tolist(), (counts / len(contributions)).tolist(), strict=True))
