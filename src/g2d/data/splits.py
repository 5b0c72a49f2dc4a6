"""Splits: their names, the numbers that store them, and the rule that divides rows without one."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "valid", "test"]
"""Name of a split."""
SPLITS: tuple[Split, ...] = get_args(Split)
"""Names of the splits, in the order of their numbers."""
UNUSED, TRAIN, VALID, TEST = -1, 0, 1, 2
"""Numbers of the splits as they are stored; rows marked ``UNUSED`` belong to none."""
UNKNOWN = UNUSED - 1
"""Number of a row whose split is not given, before :func:`complete_splits`."""
_WORDS = {
    TRAIN: "train training",
    VALID: "valid val validation dev",
    TEST: "test",
    UNUSED: "unused",
}
SPLIT_WORDS = {word: split for split, words in _WORDS.items() for word in words.split()}
"""Words for a split in a user's own data, in lower case."""
FEW_GROUPS, MANY_GROUPS = 50, 1000
"""Below ``FEW_GROUPS`` groups a fifth is held out per split, otherwise a tenth.

From ``MANY_GROUPS`` groups on (of a class, if rows have classes), the hash of a group alone
decides.
"""
HASH, SHARES, STRATA = "hash-v1", "shares-v1", "strata-v1"
"""Names of the rules by which :func:`draw_splits` divides rows."""


def name_hash(text: str) -> int:
    """Return a number that depends on a name alone: the first 32 bits of its SHA-256.

    Example:
        >>> name_hash("1001_DFA_ANG_XX")
        2222258598
    """
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def draw_splits(
    keys: NDArray[np.uint32], classes: NDArray[np.int64] | None = None, *, test: bool = True
) -> tuple[NDArray[np.int8], str]:
    """Divide rows into splits by the hashes of their groups, so that no group is in two splits.

    The shares of training, validation and test are 80 / 10 / 10 percent of the groups, or
    60 / 20 / 20 percent if there are fewer than 50 groups. With 1000 groups or more, the hash of a
    group alone decides its split (rule ``hash-v1``), so that new rows do not move the old ones.
    With fewer, the groups are sorted by their hashes and cut into shares (rule ``shares-v1``),
    because independent draws could leave a split nearly empty. Three groups fill all three splits;
    of two groups one validates; a single group is used for training.

    If the rows have classes, the groups of every class are divided so (rule ``strata-v1``). A class
    with three groups or more is then in all three splits. Classes with fewer are divided together,
    or are used for training if they have fewer than three groups together.
    A group with rows of several classes counts for the rarest of them. If every class has 1000
    groups, the rule is ``hash-v1``: both rules then place all rows alike.

    Args:
        keys: Hashes ``(N,)`` of the rows' groups (:func:`name_hash`); the hash of the row's own id
            if the rows have no groups.
        classes: Class numbers ``(N,)`` of the rows, in a classification.
        test: Whether to draw test rows. If False, their share stays in training.

    Returns:
        The numbers of the splits ``(N,)`` and the name of the rule.

    Example:
        >>> keys = np.array([name_hash(f"person {i}") for i in range(10)], np.uint32)
        >>> draw_splits(keys)[0].tolist()
        [0, 0, 0, 2, 1, 1, 0, 0, 0, 2]
        >>> draw_splits(keys, np.array([0] * 7 + [1] * 3))[0].tolist()
        [0, 0, 0, 2, 1, 0, 0, 0, 1, 2]
    """
    groups, rank = np.unique(keys, return_inverse=True)
    parts = 10 if len(groups) >= FEW_GROUPS else 5
    part = np.full(len(groups), TRAIN, np.int64)
    if not len(groups):  # no training rows from which some could validate
        classes = None
    strata = [np.arange(len(groups))] if classes is None else _strata(rank, classes)
    by_hash = all(len(members) >= MANY_GROUPS for members in strata)
    for members in strata:
        if len(members) >= MANY_GROUPS:
            number = groups[members].astype(np.int64) % parts
        elif classes is None:
            place = np.arange(len(members))
            number = np.maximum(place * parts // len(members), place + 3 - len(members))
        elif len(members) < len(SPLITS) < len(groups):
            continue
        else:
            number = _shares(len(members), parts)
        part[members] = np.select([(number == 0) & test, number == 1], [TEST, VALID], TRAIN)
    rule = HASH if by_hash else SHARES if classes is None else STRATA
    return part[rank].astype(np.int8), rule


def _shares(groups: int, parts: int) -> NDArray[np.int64]:
    """Return 0 for the groups of a class that test, 1 for those that validate, else 2."""
    each = max(1, round(groups / parts))
    place = np.arange(groups) + max(0, 3 - groups) * each
    return np.minimum(place // each, 2)


def _strata(rank: NDArray[np.int64], classes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the groups of every class; classes with fewer than three groups are put together.

    Args:
        rank: Number ``(N,)`` of the group of every row.
        classes: Class numbers ``(N,)`` of the rows.
    """
    kinds = int(classes.max()) + 1
    group, number = np.divmod(np.unique(rank.astype(np.int64) * kinds + classes), kinds)
    count = np.bincount(number)
    # Sorted by group, then by how rare the class is: the first pair of every group is its stratum.
    order = np.lexsort((number, count[number], group))
    _, first = np.unique(group[order], return_index=True)
    stratum = number[order][first]
    few = np.bincount(stratum, minlength=len(count)) < len(SPLITS)
    stratum = np.where(few[stratum], len(count), stratum)
    by_stratum = np.argsort(stratum, kind="stable")
    bounds = np.flatnonzero(np.diff(stratum[by_stratum])) + 1
    return np.split(by_stratum, bounds)


def complete_splits(
    place: NDArray[np.int8],
    keys: NDArray[np.uint32],
    classes: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int8], str]:
    """Assign the rows whose split is not given.

    If no row has a split, all are drawn by :func:`draw_splits`. If some have one, the others are
    unused; if none of the given ones validates, a share of the training rows does.

    Args:
        place: Number of the split of every row, shape ``(N,)``; ``UNKNOWN`` where not given.
        keys: Hashes ``(N,)`` of the rows' groups, see :func:`draw_splits`.
        classes: Class numbers ``(N,)`` of the rows, in a classification.

    Returns:
        The numbers without ``UNKNOWN``, and the name of the rule.

    Example:
        >>> keys = np.array([name_hash(f"person {i}") for i in range(10)], np.uint32)
        >>> complete_splits(np.array([0, 0, 0, 2, 0, 0, 0, 0, -2, 2], np.int8), keys)[0].tolist()
        [1, 0, 0, 2, 0, 0, 0, 0, -1, 2]
    """
    unknown = place == UNKNOWN
    if unknown.all():
        return draw_splits(keys, classes)
    place = np.where(unknown, UNUSED, place).astype(np.int8)
    if (place == VALID).any():
        return place, "given"
    train = np.flatnonzero(place == TRAIN)
    strata = None if classes is None else classes[train]
    place[train], rule = draw_splits(keys[train], strata, test=False)
    return place, f"given-valid-by-{rule}"
