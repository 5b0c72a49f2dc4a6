"""Precision in which losses, scores and metrics are computed."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Promote half precision to float32, and return all other values as they are.

    Losses and scores of a model in mixed precision are then computed in float32, those of a
    float64 model in float64.

    Args:
        values: Tensor of any shape and type.

    Example:
        >>> at_least_float32(torch.zeros(2, dtype=torch.bfloat16)).dtype
        torch.float32
        >>> at_least_float32(torch.zeros(2, dtype=torch.float64)).dtype
        torch.float64
    """
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
