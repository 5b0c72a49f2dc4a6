"""What a learner still has to learn: ReconBoost's weighted loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def residual_loss(
    unimodal: Tensor,
    target: Tensor,
    others: Tensor | None,
    *,
    weights: tuple[float, float],
    class_mean: bool = True,
) -> Tensor:
    """L_i = -( w_1 - w_2 q_i[y_i] ) log p_i^m[y_i]: rows that the others already solve (q near 1) weigh less.

    Args:
        unimodal: z^m ``(B, C)``, p^m = softmax(z^m); receives the gradient.
        target: y ``(B,)``.
        others: logits of the others' sum ``(B, C)``, q = softmax; receives none. None is q = 1: nobody has learnt yet.
        weights: w_1 and w_2.
        class_mean: divide by C, as the released code does (it averages a product over the classes).

    Returns:
        ``(B,)``.

    Example:
        >>> z, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.6, 0.4]]).log()
        >>> round(residual_loss(z, torch.tensor([0]), q, weights=(5.0, 1.0)).item(), 6)
        1.524924
    """
    solved = torch.ones(len(target), device=unimodal.device)
    if others is not None:
        solved = others.detach().float().softmax(1).gather(1, target[:, None]).squeeze(1)
    loss = (weights[0] - weights[1] * solved) * F.cross_entropy(
        unimodal.float(), target, reduction="none"
    )
    return loss / unimodal.shape[1] if class_mean else loss


def consolidation(unimodal: Tensor, previous: Tensor) -> Tensor:
    """Squared distance of softmax(z^m) and softmax(z^prev), averaged over the classes, ``(B,)``; z^prev receives no gradient."""
    return (unimodal.float().softmax(1) - previous.detach().float().softmax(1)).square().mean(1)
