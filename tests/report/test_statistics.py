"""Differences and their corrections: against scipy, by hand, and in simulated comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from g2d.report.statistics import LEVEL, compare_all, holm, paired_difference, summarize

A = {0: 0.82, 1: 0.85, 2: 0.79, 3: 0.88, 4: 0.84}
B = {0: 0.75, 1: 0.80, 2: 0.77, 3: 0.79, 4: 0.80}


def test_mean_and_deviation_by_hand() -> None:
    summary = summarize([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0, None, math.nan])
    assert (summary.mean, summary.n) == (5.0, 8)
    assert summary.sd == pytest.approx(math.sqrt(32 / 7))
    assert summarize([3.0]).sd is None
    assert summarize([None]).mean is None


def test_a_difference_is_that_of_a_paired_t_test() -> None:
    difference = paired_difference(A, B)
    expected = stats.ttest_rel(list(A.values()), list(B.values()))
    interval = expected.confidence_interval(0.95)
    assert difference is not None
    assert (difference.mean, difference.n) == (pytest.approx(0.054), 5)
    assert (difference.low, difference.high) == (
        pytest.approx(interval.low),
        pytest.approx(interval.high),
    )
    assert difference.p == pytest.approx(expected.pvalue)


def test_only_seeds_that_both_have_are_paired() -> None:
    difference = paired_difference({**A, 9: 0.1}, {seed: B[seed] for seed in (1, 2, 4)})
    assert difference is not None
    assert difference.n == 3
    assert difference.mean == pytest.approx((0.05 + 0.02 + 0.04) / 3)
    assert paired_difference(A, {7: 0.5}) is None


def test_fewer_than_three_seeds_give_no_interval_and_no_claim() -> None:
    difference = paired_difference({0: 0.9, 1: 0.91}, {0: 0.1, 1: 0.1})
    assert difference is not None
    assert (difference.low, difference.high, difference.p, difference.significant) == (
        None,
        None,
        None,
        False,
    )


def test_a_difference_that_never_varies_claims_nothing() -> None:
    same, shifted = (
        paired_difference(A, A),
        paired_difference({s: v + 0.125 for s, v in A.items()}, A),
    )
    assert same is not None
    assert shifted is not None
    assert (same.mean, same.p) == (0.0, 1.0)
    assert shifted.mean == pytest.approx(0.125)


def test_holms_correction_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([None, 0.02]) == [None, 0.02]


def test_all_rows_of_a_table_are_one_family() -> None:
    differences = compare_all(
        {"joint": B, "a": A, "b": {s: v + 0.001 * (-1) ** s for s, v in B.items()}}, "joint"
    )
    raw = paired_difference(A, B)
    assert raw is not None
    assert differences["a"] is not None
    assert raw.p is not None
    assert differences["a"].corrected == pytest.approx(2 * raw.p)
    assert "joint" not in differences


def simulated(
    comparisons: int, seeds: int, shift: float, repetitions: int = 1000
) -> tuple[float, float]:
    """Simulate tables whose rows share a noisy baseline; one row may be shifted.

    Args:
        comparisons: Number of rows.
        seeds: Number of seeds.
        shift: Shift of the first row, in standard deviations.
        repetitions: Number of tables.

    Returns:
        Share of tables with a false alarm, and share in which the shifted row is detected.
    """
    rng, alarms, detected = np.random.default_rng(20), 0, 0
    for _ in range(repetitions):
        values = {str(i): dict(enumerate(rng.normal(0, 1, seeds))) for i in range(comparisons)}
        values["0"] = {seed: value + shift for seed, value in values["0"].items()}
        verdicts = compare_all(
            {**values, "baseline": dict(enumerate(rng.normal(0, 1, seeds)))}, "baseline"
        )
        alarms += any(
            verdict is not None and verdict.significant
            for name, verdict in verdicts.items()
            if shift == 0 or name != "0"
        )
        detected += verdicts["0"] is not None and verdicts["0"].significant
    return alarms / repetitions, detected / repetitions


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 3), (5, 5), (12, 5)])
def test_false_alarms_per_table_stay_at_their_level(comparisons: int, seeds: int) -> None:
    alarms, _ = simulated(comparisons, seeds, 0.0)
    assert alarms <= 0.066  # the level, and two standard errors of a thousand


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 5), (5, 6), (12, 8)])
def test_a_planted_difference_of_three_deviations_is_detected(comparisons: int, seeds: int) -> None:
    assert LEVEL == 0.05
    alarms, detected = simulated(comparisons, seeds, 3.0)
    assert detected >= 0.80
    assert alarms <= 0.066
