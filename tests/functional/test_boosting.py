"""ReconBoost's losses."""

from __future__ import annotations

import math

import pytest
import torch

from g2d.functional.boosting import consolidation, residual_loss


def test_the_residual_loss_by_hand() -> None:
    z, others = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.6, 0.4]]).log()
    assert residual_loss(z, torch.tensor([0]), others, weights=(5.0, 1.0)).item() == pytest.approx(
        1.524924, abs=1e-6
    )
    assert residual_loss(
        z, torch.tensor([0]), others, weights=(5.0, 1.0), class_mean=False
    ).item() == pytest.approx(2 * 1.524924, abs=1e-6)


def test_rows_that_the_others_solve_count_less_and_none_means_solved() -> None:
    z, target = torch.zeros(3, 4), torch.tensor([0, 1, 2])
    others = torch.tensor([[9.0, 0, 0, 0], [0, 0, 0, 9.0], [0, 0, 0, 0]])
    solved, wrong, unsure = residual_loss(z, target, others, weights=(5.0, 1.0)).tolist()
    assert solved < unsure < wrong
    assert residual_loss(z, target, None, weights=(5.0, 1.0)).tolist() == pytest.approx(
        [4 * math.log(4) / 4] * 3
    )


def test_only_the_trained_modality_receives_a_gradient() -> None:
    z, others = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    (
        residual_loss(z, torch.zeros(5, dtype=torch.int64), others, weights=(5.0, 1.0)).sum()
        + consolidation(z, others).sum()
    ).backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0
    assert others.grad is None


def test_consolidation_is_the_mean_squared_error_of_the_two_distributions() -> None:
    a, b = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.5, 0.5]]).log()
    assert consolidation(a, b).item() == pytest.approx(0.09)
    z = torch.randn(4, 3, requires_grad=True)
    consolidation(z, z).sum().backward()
    assert z.grad is not None
    assert z.grad.abs().max() == 0
