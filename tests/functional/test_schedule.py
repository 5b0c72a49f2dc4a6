from __future__ import annotations

import pytest

from g2d.errors import ArgumentError
from g2d.functional.schedule import coefficients, partial_suppression, prioritized, stage


def test_the_stages_of_the_paper_s_three_modalities() -> None:
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


def test_the_last_stage_goes_on_after_the_schedule() -> None:
    assert stage(1000, (5, 5)) == 2


def test_one_modality_is_always_prioritized() -> None:
    assert prioritized(("tone",), 1, (3,)) == ("tone",)


def test_the_weakest_learns_first_then_the_next_then_all() -> None:
    pi = ("word", "image", "tone")
    assert [prioritized(pi, e, (1, 1, 1)) for e in (1, 2, 3)] == [("word",), ("image",), pi]


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


def test_partial_suppression_damps_only_who_is_above_the_others() -> None:
    kappa = partial_suppression({"audio": 1.2, "video": 0.8}, strength=0.8)
    assert kappa["audio"] == pytest.approx(0.166345, abs=1e-6)
    assert kappa["video"] == 1.0


def test_partial_suppression_leaves_equals_and_loners_alone() -> None:
    assert partial_suppression({"a": 0.5, "b": 0.5}) == {"a": 1.0, "b": 1.0}
    assert partial_suppression({"a": 0.5}) == {"a": 1.0}


def test_partial_suppression_survives_a_score_of_zero() -> None:
    assert partial_suppression({"a": 0.5, "b": 0.0}) == {"a": 0.0, "b": 1.0}
