"""Noise on gradients: the generalization enhancement of OGM-GE."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_noise(gradient: Tensor, generator: torch.Generator) -> Tensor:
    """Draw n ~ N(0, sigma²) in the shape of a gradient.

    sigma is the standard deviation of the gradient's entries, plus 1e-8. The paper uses the
    covariance of the gradient's own noise; the authors' code, followed here, takes one number per
    tensor.

    Args:
        gradient: Gradient of one parameter, before any scaling.
        generator: Source of random numbers. Its state must be the same on every process, or the
            replicas diverge.

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
