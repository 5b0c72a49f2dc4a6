"""Chance, means over groups of rows, and the number of rows that a margin needs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from g2d.analysis.significance import chance_of, clustered_mean, groups_needed, p_above


@pytest.mark.parametrize(
    ("right", "groups", "chance"), [(0, 20, 0.1), (7, 20, 0.2), (95, 359, 0.1)]
)
def test_the_probability_is_that_of_a_binomial_test(right: int, groups: int, chance: float) -> None:
    exact = binomtest(right, groups, chance, alternative="greater").pvalue
    assert p_above(right / groups, groups, chance) == pytest.approx(exact, rel=1e-9)


def test_repeated_rows_of_a_group_do_not_make_a_mean_more_certain() -> None:
    values = np.random.default_rng(0).standard_normal(50)
    once = clustered_mean(values, np.arange(50))
    assert once.error == pytest.approx(values.std(ddof=1) / math.sqrt(50))
    four = clustered_mean(values.repeat(4), np.arange(50).repeat(4))
    assert (four.value, four.error) == pytest.approx((once.value, once.error))
    gap = np.where(np.arange(50) == 7, np.nan, values)
    assert clustered_mean(gap, np.arange(50)).groups == 49
    assert clustered_mean(values, np.zeros(50, np.int64)).error == math.inf


def test_the_number_of_rows_makes_the_margin_two_standard_errors() -> None:
    rng = np.random.default_rng(1)
    values = 0.05 + rng.standard_normal(400)
    mean = clustered_mean(values, np.arange(400))
    fixed = 0.4 * abs(mean.value)
    error = math.hypot(mean.error, fixed)
    needed = groups_needed(mean.value, error, fixed, 400)
    assert needed is not None
    then = math.hypot(mean.error * math.sqrt(400 / needed), fixed)
    assert 2 * then == pytest.approx(abs(mean.value), rel=0.01)
    assert groups_needed(0.1, 0.2, 0.05, 400) is None


def test_chance_is_the_best_constant_answer() -> None:
    assert chance_of(np.array([2, 2, 2, 0])) == 0.75
    assert chance_of(np.array([[1, 0], [1, 0], [0, 0], [1, 1]])) == 0.5
