"""Windows and lengths in whole epochs and in shares of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2d.errors import ArgumentError
from g2d.functional.windows import (
    Window,
    checked_length,
    checked_window,
    first_epochs,
    window_epochs,
    within,
)


@pytest.mark.parametrize(
    ("window", "epochs", "expected"),
    [
        (None, 7, [1, 2, 3, 4, 5, 6, 7]),
        ((2, 3), 7, [2, 3]),
        ((1, 51), 4, [1, 2, 3, 4]),
        ((0.0, 0.5), 7, [1, 2, 3]),
        ([0, 0.5], 4, [1, 2]),
        ((0.25, 0.75), 8, [3, 4, 5, 6]),
        ((0.0, 0.6667), 3, [1, 2]),
        ((0.5, 1.0), 5, [3, 4, 5]),
        ((0.0, 0.5), 1, [1]),
        ((0.9, 1.0), 3, [3]),
    ],
)
def test_a_window_covers_these_epochs_of_a_run(
    window: Window, epochs: int, expected: list[int]
) -> None:
    assert [e for e in range(1, epochs + 1) if within(window, e, epochs)] == expected


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 400))
def test_a_window_of_shares_is_in_the_run_and_two_that_meet_leave_out_no_epoch(
    start: float, end: float, epochs: int
) -> None:
    start, middle, end = 0.0, *sorted((start, end))
    if not 0 < middle < end:
        return
    before, after = window_epochs((start, middle), epochs), window_epochs((middle, end), epochs)
    assert 1 == before[0] <= before[1] <= epochs
    assert after[0] <= after[1] <= epochs
    assert after[0] <= before[1] + 1


@pytest.mark.parametrize(
    "window", [(3, 2), (0, 2), (1,), (0.5, 0.5), (0.6, 0.2), (-0.1, 0.5), (0.0, 1.5), (0.0, 0.5, 1)]
)
def test_a_wrong_window_is_refused_with_both_forms(window: Window) -> None:
    with pytest.raises(ArgumentError, match=r"first and a last epoch .* shares of the run"):
        checked_window(window)


def test_shares_need_the_length_of_the_run_and_whole_epochs_do_not() -> None:
    assert within((1, 3), 2)
    assert [first_epochs(length, 4) for length in (3, 0.1, 0.5, 1.0, None)] == [3, 1, 2, 4, None]
    assert first_epochs(3, None) == 3
    for ask in (lambda: within((0.0, 0.5), 1), lambda: first_epochs(0.5, None, "window")):
        with pytest.raises(ArgumentError, match="epochs must be known for window in shares"):
            ask()
    for wrong in (-1, -0.5, 1.5):
        with pytest.raises(
            ArgumentError, match="bonus must be a whole number of epochs, or a share"
        ):
            checked_length(wrong, "bonus")
