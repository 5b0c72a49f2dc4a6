"""Noise on gradients: the generalization enhancement of OGM-GE."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_noise(gradient: Tensor, generator: torch.Generator) -> Tensor:
    """n ~ N(0, sigma²) of the gradient's shape, sigma the standard deviation of its entries (plus 1e-8).

    The paper asks for the covariance of the gradient's own noise; its authors' code, followed here, takes one number per tensor.

    Args:
        gradient: one parameter's, before any scaling.
        generator: the same state on every process, or replicas would drift apart.

    Returns:
        The noise; zeros for a single entry, which has no standard deviation.

    Example:
        >>> gradient_noise(torch.ones(1), torch.Generator())
        tensor([0.])
    """
    if gradient.numel() < 2:
        return torch.zeros_like(gradient)
    draw = torch.randn(gradient.shape, generator=generator, device=generator.device)
    return draw.to(gradient) * (gradient.std() + 1e-8)
