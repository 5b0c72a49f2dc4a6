"""The splits of a data set and the numbers that stand for them."""

from __future__ import annotations

from typing import Literal, get_args

Split = Literal["train", "valid", "test"]
"""Name of a split."""
SPLITS: tuple[Split, ...] = get_args(Split)
"""Names of the splits, in the order of their numbers."""
UNUSED, TRAIN, VALID, TEST = -1, 0, 1, 2
"""Numbers of the splits as they are stored; rows marked ``UNUSED`` belong to none."""
