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


def _strata_of(classes: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, str]:
    keys = np.array([name_hash(f"person {group}") for group in groups], np.uint32)
    return draw_splits(keys, classes)


def test_every_class_has_its_share_of_every_split() -> None:
    classes = np.repeat([0, 1, 2, 3], [700, 200, 97, 3])
    place, rule = _strata_of(classes, np.arange(1000))
    assert rule == "strata-v1"
    counts = [np.bincount(place[classes == c], minlength=3).tolist() for c in range(4)]
    assert counts == [[560, 70, 70], [160, 20, 20], [77, 10, 10], [1, 1, 1]]


def test_classes_are_divided_without_cutting_groups() -> None:
    groups = np.arange(600) // 6
    classes = np.where(groups < 5, 1, 0)
    classes[::6] = 0  # all groups have rows of class 0
    place, _ = _strata_of(classes, groups)
    assert all(len(set(place[groups == group].tolist())) == 1 for group in range(100))
    assert set(place[classes == 1].tolist()) == {0, 1, 2}
    shuffled = np.random.default_rng(0).permutation(600)
    again, _ = _strata_of(classes[shuffled], groups[shuffled])
    assert np.array_equal(again, place[shuffled]), "the order of the rows does not matter"


@pytest.mark.parametrize(
    ("counts", "places"),
    [
        ([40, 2], [{0, 1, 2}, {0}]),
        ([40, 1], [{0, 1, 2}, {0}]),
        ([1, 2], [{0, 1, 2}]),
        ([1, 1], [{0, 1}]),
        ([2] * 10, [{0, 1, 2}]),
    ],
)
def test_classes_of_one_or_two_groups_are_used_as_far_as_they_go(
    counts: list[int], places: list[set[int]]
) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    place, _ = _strata_of(classes, np.arange(len(classes)))
    splits = [set(place[classes == c].tolist()) for c in range(len(counts))]
    assert (splits if len(places) > 1 else [set().union(*splits)]) == places


def test_large_classes_are_divided_by_hash_alone() -> None:
    classes = np.arange(4000) % 2
    place, rule = _strata_of(classes, np.arange(4000))
    keys = np.array([name_hash(f"person {i}") for i in range(4000)], np.uint32)
    assert rule == "hash-v1"
    assert np.array_equal(place, draw_splits(keys)[0])
