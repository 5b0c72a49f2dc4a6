"""Class prototypes as classifiers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from g2d.functional.prototypes import (
    class_sums,
    entropy_per_row,
    prototype_logits,
    rebalance_weights,
)


def test_the_loss_of_a_row_by_hand() -> None:
    sim = prototype_logits(torch.tensor([[0.5]]), torch.tensor([[0.0], [2.0]]))
    assert sim.tolist() == [[-0.5, -1.5]]
    assert sim.softmax(1)[0, 0].item() == pytest.approx(0.731059, abs=1e-6)
    assert -sim.log_softmax(1)[0, 0].item() == pytest.approx(0.313262, abs=1e-6)


def test_distances_written_out() -> None:
    features, prototypes = torch.randn(6, 5), torch.randn(3, 5)
    expected = [
        [
            -math.sqrt(sum((f - c) ** 2 for f, c in zip(row, center, strict=True)))
            for center in prototypes.tolist()
        ]
        for row in features.tolist()
    ]
    torch.testing.assert_close(prototype_logits(features, prototypes), torch.tensor(expected))


def test_a_row_equal_to_its_prototype_has_a_finite_gradient() -> None:
    features, prototypes = (
        torch.zeros(2, 3, requires_grad=True),
        torch.zeros(2, 3, requires_grad=True),
    )
    prototype_logits(features, prototypes).log_softmax(1)[:, 0].sum().backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
    assert prototypes.grad is None


def test_a_class_without_a_prototype_gets_no_probability() -> None:
    sim = prototype_logits(torch.randn(4, 2), torch.zeros(3, 2), torch.tensor([True, False, True]))
    assert sim.softmax(1)[:, 1].tolist() == [0.0] * 4
    assert torch.isfinite(sim).all()


def test_class_sums_written_out_over_batches_with_missing_rows() -> None:
    features, target, present = (
        torch.randn(10, 4),
        torch.tensor([0, 1, 2, 0, 1, 0, 3, 3, 1, 0]),
        torch.arange(10) % 4 > 0,
    )
    sums, counts = torch.zeros(5, 4), torch.zeros(5)
    for row, label, has in zip(features, target.tolist(), present.tolist(), strict=True):
        if has:
            sums[label] += row
            counts[label] += 1

    def add(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return a[0] + b[0], a[1] + b[1]

    total = add(
        class_sums(features[:6], target[:6], 5, present[:6]),
        class_sums(features[6:], target[6:], 5, present[6:]),
    )
    torch.testing.assert_close(total, (sums, counts))


@pytest.mark.parametrize(
    ("rho", "beta", "gamma"), [(0.8, 0.25, 0.0), (3.0, 0.0, 1.0), (1.0, 0.0, 0.0), (1.5, 0.0, 0.5)]
)
def test_with_two_modalities_the_weights_are_the_papers(
    rho: float, beta: float, gamma: float
) -> None:
    assert rebalance_weights({"first": rho, "second": 1.0}) == pytest.approx(
        {"first": beta, "second": gamma}
    )


def test_full_weights_do_not_depend_on_how_much_slower_a_modality_is() -> None:
    assert rebalance_weights({"a": 0.5, "b": 0.503}) == pytest.approx({"a": 0.006, "b": 0.0})
    assert rebalance_weights({"a": 0.5, "b": 0.503, "c": 0.1}, "full") == {"a": 1, "b": 0, "c": 1}
    assert rebalance_weights({"a": 0.5, "b": 0.5}, "full") == {"a": 0.0, "b": 0.0}


def test_a_modality_without_any_score_gets_the_largest_weight() -> None:
    assert rebalance_weights({"a": 0.0, "b": 0.5, "c": 0.4}) == pytest.approx(
        {"a": 1.0, "b": 0.0, "c": 0.25}
    )


def test_entropy_is_that_of_the_row_and_zero_for_a_certain_one() -> None:
    assert entropy_per_row(torch.zeros(2, 4)).tolist() == pytest.approx([math.log(4)] * 2)
    assert entropy_per_row(torch.tensor([[1e6, -1e6]])).tolist() == [0.0]
