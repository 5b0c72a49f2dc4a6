"""Weights for over-confident heads: one positive number per head, fitted on validation rows.

A memorised head outvotes a good one in a mean of logits. Weighing the heads repairs that without any training; it is a control
that every table needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

LOW, HIGH = 1e-3, 50.0


def fit_head_weights(
    heads: Sequence[Tensor],
    target: Tensor,
    negative_log_likelihood: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Weights a_j = exp(u_j) in [1e-3, 50] of q heads, whose weighted sum is the calibrated prediction.

    u = argmin  NLL( sum_j a_j h_j(x), y ) + 1/2 sum_j (u_j + log q)²,  by L-BFGS in at most 25 iterations.

    The prior draws every weight towards 1/q, the plain mean of the heads.

    Args:
        heads: q tensors ``(N, C)`` whose *mean* is the uncalibrated prediction, on validation rows.
        target: their truth.
        negative_log_likelihood: of logits and target, summed over the rows (:meth:`g2d.task.Task.negative_log_likelihood`).

    Returns:
        a ``(q,)`` float32; all 1/q if nothing speaks for other weights.

    Example:
        >>> import torch.nn.functional as F
        >>> good = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> noise = 9 * torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
        >>> a = fit_head_weights([good, noise], torch.tensor([0, 1]).repeat(50), lambda l, y: F.cross_entropy(l, y, reduction="sum"))
        >>> bool(a[0] > 1 > 0.2 > a[1])
        True
    """
    stacked = torch.stack([head.detach().double() for head in heads])
    center = -math.log(len(heads))
    u = torch.full(
        (len(heads),), center, dtype=torch.float64, device=stacked.device, requires_grad=True
    )
    optimizer = torch.optim.LBFGS([u], max_iter=25, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        a = u.exp().clamp(LOW, HIGH)
        loss = (
            negative_log_likelihood((a[:, None, None] * stacked).sum(0), target)
            + (u - center).square().sum() / 2
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    return u.detach().exp().clamp(LOW, HIGH).float()
