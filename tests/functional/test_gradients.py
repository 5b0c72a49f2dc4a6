"""Scaled gradients: the same values, another gradient."""

from __future__ import annotations

import pytest
import torch

from g2d.functional.gradients import scale_gradient


@pytest.mark.parametrize("kappa", [0.25, 1.0, 3.0, torch.tensor(0.5)])
def test_values_pass_bit_for_bit_and_gradients_are_scaled(kappa: float | torch.Tensor) -> None:
    x = torch.randn(5, requires_grad=True)
    y = scale_gradient(x, kappa)
    assert torch.equal(x, y)
    (y * torch.arange(5.0)).sum().backward()
    torch.testing.assert_close(x.grad, torch.arange(5.0) * kappa)


def test_zero_cuts_the_graph_and_one_returns_the_same_tensor() -> None:
    x = torch.randn(5, requires_grad=True)
    assert not scale_gradient(x, 0).requires_grad
    assert scale_gradient(x, 1) is x


def test_a_tensor_of_zero_stays_in_the_graph_with_a_zero_gradient() -> None:
    x = torch.randn(5, requires_grad=True)
    scale_gradient(x, torch.tensor(0.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() == 0
