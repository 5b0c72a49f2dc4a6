from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2d.errors import ArgumentError
from g2d.functional.schedule import (
    Tau,
    coefficients,
    partial_suppression,
    prioritized,
    stage,
    stage_epochs,
)


def test_the_stages_of_the_paper_for_three_modalities() -> None:
    stages = [stage(e, (75, 75, 150)) for e in range(1, 301)]
    assert [stages.count(j) for j in (1, 2, 3)] == [75, 75, 150]
    assert stages == sorted(stages)


@pytest.mark.parametrize(
    ("tau", "expected"),
    [
        ((0, 2), [2, 2]),
        ((1, 0, 1), [1, 3]),
        ((0, 0, 2), [3, 3]),
        ((2,), [1, 1]),
        ((1, 1, 1, 1), [1, 2, 3, 4]),
    ],
)
def test_a_stage_of_length_zero_is_skipped(tau: tuple[int, ...], expected: list[int]) -> None:
    assert [stage(e, tau) for e in range(1, len(expected) + 1)] == expected


def test_the_last_stage_continues_after_the_schedule() -> None:
    assert stage(1000, (5, 5)) == 2


def test_one_modality_is_always_prioritized() -> None:
    assert prioritized(("tone",), 1, (3,)) == ("tone",)


def test_the_weakest_learns_first_then_the_next_then_all() -> None:
    pi = ("word", "image", "tone")
    assert [prioritized(pi, e, (1, 1, 1)) for e in (1, 2, 3)] == [("word",), ("image",), pi]


@pytest.mark.parametrize(
    ("epochs", "k", "expected"),
    [
        (300, 2, (150, 150)),
        (300, 3, (75, 75, 150)),
        (30, 3, (8, 7, 15)),
        (5, 2, (2, 3)),
        (2, 2, (1, 1)),
        (33, 4, (6, 5, 5, 17)),
        (14, 6, (2, 2, 1, 1, 1, 7)),
        (7, 1, (7,)),
    ],
)
def test_half_of_the_run_is_divided_evenly_where_tau_is_left_out(
    epochs: int, k: int, expected: tuple[int, ...]
) -> None:
    assert stage_epochs(None, epochs, "abcdef"[:k]) == expected


@given(st.integers(1, 6), st.integers(1, 400))
def test_the_default_is_half_the_run_in_stages_that_differ_by_one_epoch_at_most(
    k: int, epochs: int
) -> None:
    if epochs < 2 * (k - 1):
        rule = f"epochs must be {2 * (k - 1)} or more to give each stage an epoch, found {epochs}."
        with pytest.raises(ArgumentError, match=re.escape(rule)):
            stage_epochs(None, epochs, "abcdef"[:k])
        return
    *exclusive, last = stage_epochs(None, epochs, "abcdef"[:k])
    assert sum(exclusive) == (epochs // 2 if k > 1 else 0)
    assert sum(exclusive) + last == epochs
    assert exclusive == sorted(exclusive, reverse=True)
    assert max(exclusive, default=0) - min(exclusive, default=0) <= 1


@pytest.mark.parametrize(
    ("tau", "epochs", "expected"),
    [
        ([0.5, 0.5], 4, (2, 2)),
        ([0.25, 0.25, 0.5], 30, (8, 7, 15)),
        ([0.0, 0.5, 0.5], 4, (0, 2, 2)),
        ([0.333, 0.333, 0.333], 6, (2, 2, 2)),
        ([0.1, 0.2, 0.7], 10, (1, 2, 7)),
        ([0.14, 0.28, 0.58], 10, (1, 3, 6)),
        ([0, 1.0], 3, (0, 3)),
        ([1, 2, 3], 99, (1, 2, 3)),
        ([1, 2, 3], None, (1, 2, 3)),
        ("none", 3, (0, 0, 3)),
    ],
)
def test_tau_is_whole_epochs_or_shares_or_the_word_none(
    tau: Tau, epochs: int | None, expected: tuple[int, ...]
) -> None:
    assert stage_epochs(tau, epochs, "abc"[: len(expected)]) == expected


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(lambda t: sum(t) > 0),
)
def test_shares_of_a_schedule_give_the_schedule_back(lengths: list[int]) -> None:
    shares = [length / sum(lengths) for length in lengths]
    assert stage_epochs(shares, sum(lengths), "abcde"[: len(lengths)]) == tuple(lengths)


@pytest.mark.parametrize(
    ("tau", "epochs", "rule"),
    [
        ([15.0, 15.0], 30, "tau must hold whole epochs, or shares of the run that add up to 1"),
        ([1, 0.5], 30, "tau must hold whole epochs, or shares of the run that add up to 1"),
        ("half", 30, "tau must be a list of lengths or 'none', found 'half'."),
        ([0.1, 0.9], 4, "epochs must be 10 or more to give each stage an epoch, found 4."),
        (None, None, "epochs must be known unless tau holds whole epochs, found None."),
        ([0.5, 0.5], None, "epochs must be known unless tau holds whole epochs, found None."),
        ([0.5, 0.25, 0.25], 9, "tau must hold one length per modality (2: image, tone)"),
    ],
)
def test_a_tau_that_cannot_be_resolved_is_refused(tau: Tau, epochs: int | None, rule: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(rule)):
        stage_epochs(tau, epochs, ("image", "tone"))


def test_coefficients_are_one_for_the_prioritized_and_zero_for_the_others() -> None:
    assert coefficients(("word",), ("image", "tone", "word")) == {
        "image": 0.0,
        "tone": 0.0,
        "word": 1.0,
    }


@pytest.mark.parametrize("tau", [(), (3, -1)])
def test_a_schedule_without_or_with_negative_lengths_is_refused(tau: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="tau must hold one non-negative length per stage"):
        stage(1, tau)


def test_epochs_are_counted_from_one() -> None:
    with pytest.raises(ArgumentError, match=r"epoch must be counted from 1, found 0\."):
        stage(0, (1, 1))


def test_a_schedule_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(
        ArgumentError,
        match=r"tau must hold one length per modality \(2: image, tone\), found \(1, 1, 1\)",
    ):
        prioritized(("tone", "image"), 1, (1, 1, 1))


def test_partial_suppression_suppresses_only_modalities_above_the_others() -> None:
    kappa = partial_suppression({"audio": 1.2, "video": 0.8}, strength=0.8)
    assert kappa["audio"] == pytest.approx(0.166345, abs=1e-6)
    assert kappa["video"] == 1.0


def test_partial_suppression_leaves_equal_scores_and_a_single_modality_alone() -> None:
    assert partial_suppression({"a": 0.5, "b": 0.5}) == {"a": 1.0, "b": 1.0}
    assert partial_suppression({"a": 0.5}) == {"a": 1.0}


def test_partial_suppression_is_finite_for_a_score_of_zero() -> None:
    assert partial_suppression({"a": 0.5, "b": 0.0}) == {"a": 0.0, "b": 1.0}
