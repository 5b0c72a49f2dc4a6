"""ReconBoost's losses: rows that the other modalities already solve count less."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from g2d.functional.precision import at_least_float32


def residual_loss(
    unimodal: Tensor,
    target: Tensor,
    others: Tensor | None,
    *,
    weights: tuple[float, float],
    class_mean: bool = True,
) -> Tensor:
    """Return L_i = -( w_1 - w_2 q_i[y_i] ) log p_i^m[y_i] of each row.

    p^m = softmax(z^m), and q is the softmax of the other modalities' sum. Rows that the others
    already solve (q near 1) count less.

    Args:
        unimodal: Unimodal logits z^m ``(B, C)``; receive the gradient.
        target: Class numbers y ``(B,)``.
        others: Sum of the other modalities' logits ``(B, C)``; receives no gradient. None means
            q = 1: no other modality has been trained.
        weights: w_1 and w_2.
        class_mean: Divide by C, as the released code does (it averages over the classes).

    Returns:
        Losses ``(B,)``.

    Example:
        >>> z, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.6, 0.4]]).log()
        >>> round(residual_loss(z, torch.tensor([0]), q, weights=(5.0, 1.0)).item(), 6)
        1.524924
    """
    logits = at_least_float32(unimodal)
    solved = torch.ones_like(logits[:, 0])
    if others is not None:
        probability = at_least_float32(others.detach()).softmax(1)
        solved = probability.gather(1, target[:, None]).squeeze(1)
    loss = (weights[0] - weights[1] * solved) * F.cross_entropy(logits, target, reduction="none")
    return loss / unimodal.shape[1] if class_mean else loss


def consolidation(unimodal: Tensor, previous: Tensor) -> Tensor:
    """Return the squared distance of softmax(z^m) from softmax(z^prev), averaged over the classes.

    Args:
        unimodal: Unimodal logits z^m ``(B, C)``; receive the gradient.
        previous: Unimodal logits z^prev ``(B, C)`` of the previous phase; receive no gradient.

    Returns:
        Distances ``(B,)``.
    """
    p, q = (at_least_float32(logits).softmax(1) for logits in (unimodal, previous.detach()))
    return (p - q).square().mean(1)
