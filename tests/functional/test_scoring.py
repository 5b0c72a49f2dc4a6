from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from g2d.functional.scoring import (
    error_confidence,
    flip_rate,
    margin,
    ranking,
    true_class_confidence,
)


def test_confidence_is_the_probability_of_the_true_class() -> None:
    logits = torch.tensor([[0.2, 0.8], [0.9, 0.1]]).log()
    torch.testing.assert_close(
        true_class_confidence(logits, torch.tensor([1, 1])), torch.tensor([0.8, 0.1])
    )


def test_confidence_is_zero_for_logits_that_underflow() -> None:
    assert true_class_confidence(torch.tensor([[0.0, 1e4]]), torch.tensor([0])).item() == 0.0


def test_confidence_of_a_regression_is_measured_against_the_variance() -> None:
    confidence = error_confidence(torch.tensor([[3.0]]), torch.tensor([[1.0]]), 2.0)
    assert confidence.item() == pytest.approx(math.exp(-2))


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1), min_size=1, max_size=5))
def test_a_ranking_ascends_and_keeps_the_order_of_ties(rho: dict[str, float]) -> None:
    pi = ranking(rho)
    place = {m: i for i, m in enumerate(rho)}
    assert sorted(pi) == sorted(rho)
    for low, high in pairwise(pi):
        assert (rho[low], place[low]) < (rho[high], place[high])


def test_the_margin_is_the_smallest_step_of_the_ranking() -> None:
    assert margin({"a": 0.9, "b": 0.2, "c": 0.5}) == pytest.approx(0.3)
    assert margin({"a": 0.9}) == math.inf


def test_the_flip_rate_is_the_share_of_rankings_other_than_the_most_frequent() -> None:
    assert flip_rate({("a", "b"): 3, ("b", "a"): 1}) == 0.25
    assert flip_rate([]) == 0.0
