"""The counter hash: numbers that depend on their keys alone."""

from __future__ import annotations

import math

import pytest
import torch

from g2d.data.counter import integers, normal, uniform

ROWS = torch.arange(4000)


def test_the_bits_are_those_of_splitmix64_by_hand() -> None:
    mask = 2**64 - 1

    def mixed(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    def cell(*keys: int) -> float:
        key = keys[0]
        for part in keys[1:]:
            key = (mixed((key + 0x9E3779B97F4A7C15) & mask) + part) & mask
        return ((mixed(key) >> 40) + 0.5) / 2**24

    got = uniform(3, 7, torch.tensor([11, 2**40]), 5, (2,))
    expected = [[cell(3, 7, row, 5, i) for i in range(2)] for row in (11, 2**40)]
    assert got.tolist() == [[pytest.approx(value, abs=2**-25) for value in row] for row in expected]
    assert (
        mixed(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF
    )  # the generator's published first output for seed 0


def test_a_rows_numbers_do_not_depend_on_the_other_rows() -> None:
    chosen = torch.tensor([3, 3999, 17])
    for draw in (uniform, normal):
        assert torch.equal(draw(1, 2, ROWS, 0, (5,))[chosen], draw(1, 2, chosen, 0, (5,)))


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_every_key_matters_and_adjacent_keys_are_uncorrelated(other: tuple[int, int, int]) -> None:
    seed, epoch, draw = other
    a, b = uniform(0, 0, ROWS, 0), uniform(seed, epoch, ROWS, draw)
    assert not torch.equal(a, b)
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1].item()) < 4 / math.sqrt(len(ROWS))


def test_numbers_lie_strictly_between_the_ends_and_are_uniform() -> None:
    values = uniform(0, 0, ROWS, 0, (50,)).double().flatten()
    assert values.min() > 0
    assert values.max() < 1
    for power in (1, 2, 3):
        assert values.pow(power).mean().item() == pytest.approx(1 / (power + 1), abs=0.003)


def test_the_greatest_number_is_below_one_and_nothing_made_of_it_leaves_its_range() -> None:
    top = torch.tensor([1_887_309])  # found by search: all of its 24 bits are ones
    assert uniform(7, 1, top, 0).item() == 1 - 2**-24
    assert [integers(high, 7, 1, top, 0).item() for high in (2, 67, 2**20 + 1)] == [1, 66, 2**20]
    assert normal(7, 1, top, 0).isfinite().all()
    sides = torch.arange(1, 100_000)
    assert (
        (uniform(7, 1, top, 0) * sides).floor() < sides
    ).all()  # how a place for a box of pixels is drawn


def test_normal_numbers_have_mean_zero_variance_one_and_the_right_tails() -> None:
    values = normal(0, 0, ROWS, 0, (50,)).double()
    assert values.isfinite().all()
    assert values.mean().item() == pytest.approx(0, abs=0.01)
    assert values.var().item() == pytest.approx(1, abs=0.01)
    assert values.pow(4).mean().item() == pytest.approx(3, abs=0.08)


def test_whole_numbers_reach_every_value_and_no_other() -> None:
    counts = integers(9, 0, 0, ROWS, 0, (9,)).flatten().bincount()
    assert len(counts) == 9
    assert (counts / counts.sum() - 1 / 9).abs().max() < 0.01
