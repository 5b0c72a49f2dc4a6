"""Shares of a prediction, and AGM's coefficients."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations

import pytest
import torch

from g2d.functional.shapley import (
    coalitions,
    first_members,
    modulation_coefficients,
    random_orders,
    relative_strength,
    sampled_shares,
    shares,
)

NAMES = ("a", "b", "c")


def values(k: int, seed: int = 0) -> dict[frozenset[str], torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        some: torch.randn(4, 3, generator=g, dtype=torch.float64) for some in coalitions(NAMES[:k])
    }


@pytest.mark.parametrize("k", [1, 2, 3])
def test_shares_add_up_to_the_prediction(k: int) -> None:
    f = values(k)
    torch.testing.assert_close(sum(shares(f, NAMES[:k]).values()), f[frozenset(NAMES[:k])])


@pytest.mark.parametrize("k", [2, 3])
def test_a_share_is_the_mean_gain_of_a_modality_over_all_orders(k: int) -> None:
    f = values(k)
    for m, share in shares(f, NAMES[:k]).items():
        added = []
        for order in permutations(NAMES[:k]):
            before = frozenset(order[: order.index(m)])
            added.append(f[before | {m}] - (f[before] if before else 0.0))
        torch.testing.assert_close(share, torch.stack(added).mean(0))


def test_two_and_three_modalities_as_the_authors_code_writes_them() -> None:
    f = {"".join(sorted(some)): value for some, value in values(2).items()}
    torch.testing.assert_close(shares(values(2), NAMES[:2])["a"], (f["ab"] - f["b"] + f["a"]) / 2)
    g = {"".join(sorted(some)): value for some, value in values(3).items()}
    expected = (g["abc"] - g["bc"] + g["a"]) / 3 + (g["ab"] - g["b"] + g["ac"] - g["c"]) / 6
    torch.testing.assert_close(shares(values(3), NAMES)["a"], expected)


def test_with_the_empty_coalition_they_are_shapley_values() -> None:
    f = values(2)
    with_empty = shares({**f, frozenset(): torch.ones(4, 3, dtype=torch.float64)}, NAMES[:2])
    for m, share in shares(f, NAMES[:2]).items():
        torch.testing.assert_close(with_empty[m], share - 0.5)


def test_permuting_the_modalities_permutes_their_shares() -> None:
    f = values(3)
    for m, share in shares(f, ("c", "a", "b")).items():
        torch.testing.assert_close(share, shares(f, NAMES)[m])


def test_the_coefficients_by_hand() -> None:
    c = modulation_coefficients({"a": 0.5, "b": 1.5}, {"a": 1.0, "b": 1.0}, alpha=1.0)
    assert c == pytest.approx({"a": 0.179374, "b": 1.881596}, abs=1e-6)
    assert relative_strength({"a": 0.5, "b": 1.5})["a"] == pytest.approx(math.e)
    assert list(relative_strength({"a": 1.0, "b": 2.0, "c": 3.0}).values()) == pytest.approx(
        [math.exp(1.5), 1.0, math.exp(-1.5)]
    )


def test_coefficients_are_capped_and_finite() -> None:
    far = modulation_coefficients({"a": 100.0, "b": 0.0}, {"a": 0.0, "b": 100.0}, alpha=1.0)
    assert all(math.isfinite(value) for value in far.values())
    capped = modulation_coefficients({"a": 9.0, "b": 0.0}, {"a": 0.0, "b": 9.0}, alpha=0.5, cap=7.0)
    assert capped["a"] == pytest.approx(math.exp(0.5 * 7))
    assert capped["b"] == 0.0 or capped["b"] < 1e-300


def test_zero_strength_or_a_single_modality_gives_no_modulation() -> None:
    assert modulation_coefficients({"a": 0.1, "b": 3.0}, {"a": 2.0, "b": 0.3}, alpha=0.0) == {
        "a": 1.0,
        "b": 1.0,
    }
    assert modulation_coefficients({"a": 0.1}, {"a": 2.0}, alpha=2.5) == {"a": 1.0}


def test_sampled_shares_are_unbiased_and_add_up_to_the_prediction() -> None:
    names = NAMES[:3]
    f = values(3)
    singles = [sampled_shares(f, [order]) for order in permutations(names)]
    exact = shares(f, names)
    for m in names:  # the expectation over equally probable orders is Shapley's share
        mean = torch.stack([single[m] for single in singles]).mean(0)
        torch.testing.assert_close(mean, exact[m])
    generator = torch.Generator().manual_seed(3)
    drawn = random_orders(names, 600, generator)
    counts = Counter(drawn)
    assert set(counts) == set(permutations(names))
    assert max(abs(count - 100) for count in counts.values()) < 40  # 4.4 standard deviations
    few = sampled_shares(f, drawn[:2])
    torch.testing.assert_close(sum(few.values()), f[frozenset(names)])
    assert len(list(first_members(drawn[:2]))) <= 2 * 2 + 1
