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

From ``MANY_GROUPS`` groups on, the hash of a group alone decides.
"""


def name_hash(text: str) -> int:
    """Return a number that depends on a name alone: the first 32 bits of its SHA-256.

    Example:
        >>> name_hash("1001_DFA_ANG_XX")
        2222258598
    """
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def draw_splits(
    keys: NDArray[np.uint32], *, test: bool = True
) -> tuple[NDArray[np.int8], Literal["hash-v1", "shares-v1"]]:
    """Divide rows into splits by the hashes of their groups, so that no group is in two splits.

    The shares of training, validation and test are 80 / 10 / 10 percent of the groups, or
    60 / 20 / 20 percent if there are fewer than 50 groups. With 1000 groups or more, the hash of a
    group alone decides its split (rule ``hash-v1``), so that new rows do not move the old ones.
    With fewer, the groups are sorted by their hashes and cut into shares (rule ``shares-v1``),
    because independent draws could leave a split nearly empty. Three groups fill all three splits;
    of two groups one validates; a single group is used for training.

    Args:
        keys: Hashes ``(N,)`` of the rows' groups (:func:`name_hash`); the hash of the row's own id
            if the rows have no groups.
        test: Whether to draw test rows. If False, their share stays in training.

    Returns:
        The numbers of the splits ``(N,)`` and the name of the rule.

    Example:
        >>> keys = np.array([name_hash(f"person {i}") for i in range(10)], np.uint32)
        >>> draw_splits(keys)[0].tolist()
        [0, 0, 0, 2, 1, 1, 0, 0, 0, 2]
    """
    groups, rank = np.unique(keys, return_inverse=True)
    parts = 10 if len(groups) >= FEW_GROUPS else 5
    rule: Literal["hash-v1", "shares-v1"] = "hash-v1"
    if len(groups) >= MANY_GROUPS:
        part = keys.astype(np.int64) % parts
    else:
        rule = "shares-v1"
        part = np.maximum(rank * parts // len(groups), rank + 3 - len(groups))
    chosen = np.select([(part == 0) & test, part == 1], [TEST, VALID], TRAIN)
    return chosen.astype(np.int8), rule


def complete_splits(
    place: NDArray[np.int8], keys: NDArray[np.uint32]
) -> tuple[NDArray[np.int8], str]:
    """Assign the rows whose split is not given.

    If no row has a split, all are drawn by :func:`draw_splits`. If some have one, the others are
    unused; if none of the given ones validates, a share of the training rows does.

    Args:
        place: Number of the split of every row, shape ``(N,)``; ``UNKNOWN`` where not given.
        keys: Hashes ``(N,)`` of the rows' groups, see :func:`draw_splits`.

    Returns:
        The numbers without ``UNKNOWN``, and the name of the rule.

    Example:
        >>> keys = np.array([name_hash(f"person {i}") for i in range(10)], np.uint32)
        >>> complete_splits(np.array([0, 0, 0, 2, 0, 0, 0, 0, -2, 2], np.int8), keys)[0].tolist()
        [1, 0, 0, 2, 0, 0, 0, 0, -1, 2]
    """
    unknown = place == UNKNOWN
    if unknown.all():
        return draw_splits(keys)
    place = np.where(unknown, UNUSED, place).astype(np.int8)
    if (place == VALID).any():
        return place, "given"
    train = np.flatnonzero(place == TRAIN)
    place[train], rule = draw_splits(keys[train], test=False)
    return place, f"given-valid-by-{rule}"
