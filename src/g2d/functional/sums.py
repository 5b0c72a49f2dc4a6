"""Sums that become means after they were added up over parts of a batch or over processes."""

from __future__ import annotations

import torch
from torch import Tensor


def sum_and_count(values: Tensor, mask: Tensor) -> Tensor:
    """Return the sum of the selected values and their number.

    Args:
        values: One value per row ``(B,)``.
        mask: ``(B,)`` bool; rows to select.

    Returns:
        ``(2,)`` float64: sum and count.

    Example:
        >>> sum_and_count(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([True, False, True]))
        tensor([5., 2.], dtype=torch.float64)
    """
    selected = mask.to(values)
    return torch.stack([(values * selected).sum(), selected.sum()]).double()
