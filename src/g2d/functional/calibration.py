"""Weights for over-confident heads: one positive number per head, fitted on validation rows.

A head that memorized the training rows outvotes a good one in a mean of logits. Weighting the
heads repairs that without any training; it is a control that every table needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from g2d.functional.precision import at_least_float32

LOW, HIGH = 1e-3, 50.0
"""Limits of a weight."""


def fit_head_weights(
    heads: Sequence[Tensor],
    target: Tensor,
    negative_log_likelihood: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Fit weights a_j = exp(u_j) in [1e-3, 50] of q heads by maximum a posteriori.

    u = argmin  NLL( sum_j a_j h_j(x), y ) + 1/2 sum_j (u_j + log q)²

    by L-BFGS in at most 25 iterations. The weighted sum of the heads is the calibrated prediction.
    The prior draws every weight towards 1/q, the plain mean of the heads.

    Args:
        heads: Logits h_j of q heads on validation rows, each ``(N, C)``; their *mean* is the
            uncalibrated prediction.
        target: Targets y of these rows.
        negative_log_likelihood: Function of logits and target, summed over the rows
            (:meth:`g2d.task.Task.negative_log_likelihood`).

    Returns:
        Weights a ``(q,)``; all 1/q where the rows do not favor other weights.

    Example:
        >>> good = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).repeat(50, 1)
        >>> noise = 9 * torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
        >>> loss = torch.nn.CrossEntropyLoss(reduction="sum")
        >>> a = fit_head_weights([good, noise], torch.tensor([0, 1]).repeat(50), loss)
        >>> bool(a[0] > 1 > 0.2 > a[1])
        True
    """
    dtype = at_least_float32(heads[0]).dtype
    stacked = torch.stack([head.detach().double() for head in heads])
    center = -math.log(len(heads))
    u = torch.full(
        (len(heads),), center, dtype=torch.float64, device=stacked.device, requires_grad=True
    )
    optimizer = torch.optim.LBFGS([u], max_iter=25, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        a = u.exp().clamp(LOW, HIGH)
        logits = (a[:, None, None] * stacked).sum(0).to(dtype)
        loss = negative_log_likelihood(logits, target) + (u - center).square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return u.detach().exp().clamp(LOW, HIGH).to(dtype)
