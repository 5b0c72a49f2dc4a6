"""Turns of modalities that learn alone: who is next, and when a turn ends."""

from __future__ import annotations

import math

import pytest

from g2d.functional.lags import Turns, next_turn

FALLING = [0.50, 0.40, 0.30]


def learners(lags: dict[str, list[float]], most: int = 99, **options: bool) -> list[str | None]:
    """Return who learns alone in each epoch after the first one."""
    turns, who = Turns(), []
    for values in zip(*lags.values(), strict=True):
        turns = next_turn(turns, dict(zip(lags, values, strict=True)), most, **options)
        who.append(turns.learner)
    return who


def test_the_largest_lag_learns_alone_until_it_has_caught_up() -> None:
    lags = {"image": [0.50, 0.30, 0.02, 0.0, 0.0], "tone": [0.2, 0.2, 0.2, 0.021, 0.02]}
    assert learners(lags) == ["image", "image", "tone", "tone", None]


def test_a_turn_ends_after_three_epochs_that_gain_too_little_together() -> None:
    enough, too_little = [0.301, 0.300, 0.298], [0.301, 0.299, 0.2981]
    for last, ends in ((enough, False), (too_little, True)):
        lags = {"image": [*FALLING, *last, 0.1], "tone": [0.03] * 7}
        assert learners(lags)[:5] == ["image"] * 5
        assert learners(lags)[5] == ("tone" if ends else "image")


def test_three_epochs_are_compared_with_the_smallest_lag_before_them() -> None:
    noisy = [0.50, 0.30, 0.45, 0.44, 0.43, 0.42]
    assert learners({"image": noisy, "tone": [0.03] * 6})[-2:] == ["tone", "tone"]
    recovers = [0.50, 0.30, 0.45, 0.44, 0.20, 0.45, 0.45]
    assert learners({"image": recovers, "tone": [0.03] * 7}) == ["image"] * 7


@pytest.mark.parametrize(("most", "exclusive"), [(0, 0), (1, 1), (4, 4), (9, 6)])
def test_exclusive_epochs_are_limited_in_all(most: int, exclusive: int) -> None:
    lags = {
        "image": [0.5, 0.4, 0.3, 0.01, 0, 0, 0, 0],
        "tone": [0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0, 0],
    }
    who = learners(lags, most)
    assert [one is not None for one in who] == [True] * exclusive + [False] * (8 - exclusive)


def test_after_all_turns_the_modalities_learn_together_until_the_end() -> None:
    lags = {"image": [0.3, 0.01, 0.9, 0.9], "tone": [0.0, 0.0, 0.9, 0.9]}
    assert learners(lags) == ["image", None, None, None]
    assert learners({"image": [0.02, 0.9], "tone": [math.nan, 0.9]}) == [None, None]


def test_the_smallest_lag_above_the_limit_can_be_first() -> None:
    lags = {"image": [0.5, 0.5, 0.5], "tone": [0.1, 0.0, 0.0], "word": [0.01, 0.01, 0.01]}
    assert learners(lags, smallest_first=True) == ["tone", "image", "image"]
