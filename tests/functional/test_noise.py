"""OGM-GE's noise."""

from __future__ import annotations

import torch

from g2d.functional.noise import gradient_noise


def test_the_deviation_of_the_noise_is_that_of_the_gradient() -> None:
    gradient = 3 + 0.7 * torch.randn(400_000, generator=torch.Generator().manual_seed(1))
    noise = gradient_noise(gradient, torch.Generator().manual_seed(2))
    assert abs(noise.std() / gradient.std() - 1) < 0.01
    assert abs(noise.mean()) < 0.01


def test_a_single_entry_has_no_deviation_and_gets_no_noise() -> None:
    assert gradient_noise(torch.tensor([5.0]), torch.Generator()).tolist() == [0.0]


def test_the_same_state_draws_the_same_noise() -> None:
    gradient = torch.randn(9)
    first, second = (gradient_noise(gradient, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
