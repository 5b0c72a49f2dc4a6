"""Use of a modality, read from predictions for modalities that come from different rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.analysis.bootstrap import Interval, bootstrap_ratio
from g2d.analysis.pool import Pool
from g2d.analysis.rows import reward
from g2d.errors import UnsupportedError
from g2d.task import Task, same

ROUNDS = 10
"""Number of permutations, or of partners of a row."""


def perceptual_scores(
    pool: Pool, task: Task, *, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, Interval]:
    """Return the perceptual score of every modality.

    (A - mean over permutations of A with m permuted) / A, where A is the score (Gat et al.,
    NeurIPS 2021). A permutation keeps the distribution of the modality and takes away its relation
    to the row: 0 means that the prediction does not need it.

    Args:
        pool: Rows and model.
        task: Kind of target.
        rounds: Number of permutations.
        seed: Seed of the permutations.

    Returns:
        A score per modality; empty if A is not above zero, because the ratio has no meaning then.
    """
    full = reward(task, pool.logits(pool.own), pool.target)
    if full.mean() <= 0:
        return {}
    scores = {}
    for m in pool.modalities:
        orders = _orders(pool, rounds, seed)
        permuted = np.mean([_rewards(pool, task, m, order) for order in orders], axis=0)
        scores[m] = bootstrap_ratio(full - permuted, full, pool.group)
    return scores


def _rewards(pool: Pool, task: Task, m: str, order: Tensor) -> NDArray[np.float64]:
    """Return the rewards of all rows, each with modality m of another row."""
    return reward(task, pool.logits({**pool.own, m: order}), pool.target)


@dataclass(frozen=True)
class Follow:
    """Predictions for a modality from one row and all others from a row of another class.

    Args:
        own: Share of predictions that are the class of the modality's row.
        rest: Share of predictions that are the class of the row of the others.
    """

    own: Interval
    rest: Interval


def follow_rates(
    pool: Pool, task: Task, *, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, Follow]:
    """Return how often a prediction follows each modality if modalities contradict each other.

    F^m = P(prediction = class of m), over pairs of rows of different classes, of which one gives
    modality m and the other gives all other modalities (used in MIDAS). The rate of a modality
    that is ignored is near chance, or zero.

    Args:
        pool: Rows and model. Rows that lack modality m are left out.
        task: Kind of target.
        rounds: Number of partners of every row; those of the same class are left out.
        seed: Seed of the choice of partners.

    Returns:
        Rates per modality; empty for one modality or one class, which cannot contradict.

    Raises:
        UnsupportedError: The targets are values.
    """
    if not task.discrete:
        raise UnsupportedError("follow rates must have classes, found values.")
    if len(pool.modalities) == 1 or len(pool.target.unique(dim=0)) == 1:
        return {}
    return {m: _follow(pool, task, m, _orders(pool, rounds, seed)) for m in pool.modalities}


def _follow(pool: Pool, task: Task, m: str, orders: list[Tensor]) -> Follow:
    """Return the rates of one modality."""
    own, rest, count = (np.zeros(len(pool)) for _ in range(3))
    for order in orders:
        rows = {j: pool.own[j] if j == m else order for j in pool.modalities}
        guess, other = task.predict(pool.logits(rows)), pool.target[order]
        valid = ~same(other, pool.target) & pool.has[m]
        own += (valid & same(guess, pool.target)).numpy()
        rest += (valid & same(guess, other)).numpy()
        count += valid.numpy()
    alone = count == 0
    for values in (own, rest, count):
        values[alone] = np.nan
    return Follow(*(bootstrap_ratio(values, count, pool.group) for values in (own, rest)))


def _orders(pool: Pool, rounds: int, seed: int) -> list[Tensor]:
    """Return permutations of the rows."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(len(pool), generator=generator) for _ in range(rounds)]
