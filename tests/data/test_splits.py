"""Names of splits, and splits that a user gives in part."""

from __future__ import annotations

import numpy as np
import pytest

from g2d.cli.options import Split
from g2d.data.splits import SPLIT_WORDS, SPLITS, UNKNOWN, complete_splits, draw_splits, name_hash

KEYS = np.array([name_hash(f"person {i // 3}") for i in range(300)], np.uint32)


def test_the_command_line_knows_the_splits() -> None:
    assert tuple(Split) == SPLITS
    assert [SPLIT_WORDS[split] for split in SPLITS] == [0, 1, 2]


def test_rows_without_a_split_are_drawn() -> None:
    place, rule = complete_splits(np.full(300, UNKNOWN, np.int8), KEYS)
    drawn, same = draw_splits(KEYS)
    assert rule == same == "shares-v1"
    assert np.array_equal(place, drawn)


def test_given_splits_are_kept_and_rows_without_one_are_unused() -> None:
    given = np.array([0, 1, 2, -1, UNKNOWN] * 60, np.int8)
    place, rule = complete_splits(given, KEYS)
    assert rule == "given"
    assert place[:5].tolist() == [0, 1, 2, -1, -1]


@pytest.mark.parametrize(("groups", "share"), [(100, 0.1), (40, 0.2)])
def test_a_share_of_the_training_groups_validates_if_no_row_does(groups: int, share: float) -> None:
    keys = np.array([name_hash(f"person {i % groups}") for i in range(400)], np.uint32)
    given = np.zeros(400, np.int8)
    given[::7] = 2
    place, rule = complete_splits(given, keys)
    assert rule == "given-valid-by-shares-v1"
    assert np.array_equal(place == 2, given == 2)
    valid = set(keys[place == 1].tolist())
    assert len(valid) == pytest.approx(share * groups, abs=1)
    assert not valid & set(keys[place == 0].tolist())
