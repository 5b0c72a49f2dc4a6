"""Training on several processes: their number and the sum of their gradients."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn

from g2d.errors import G2DError


def processes() -> int:
    """Return the number of processes that train together: 1 unless ``torchrun`` started more."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_gradients(parameters: list[nn.Parameter]) -> None:
    """Sum the gradients over all processes, in one flat buffer per data type.

    A gradient that is None stays None.

    Raises:
        G2DError: if a parameter has a gradient on some processes only.
    """
    have = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
    agreed = torch.stack([have, 1 - have]).to(parameters[0].device)
    dist.all_reduce(agreed)
    if bool((agreed.min(0).values > 0).any()):
        raise G2DError(
            "processes must compute gradients of the same parameters in an update, "
            "found a difference: the replicas would drift apart."
        )
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for dtype in {gradient.dtype for gradient in gradients}:
        same = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = torch.cat([gradient.flatten() for gradient in same])
        dist.all_reduce(flat)
        sizes = [gradient.numel() for gradient in same]
        for gradient, summed in zip(same, flat.split(sizes), strict=True):
            gradient.copy_(summed.view_as(gradient))
