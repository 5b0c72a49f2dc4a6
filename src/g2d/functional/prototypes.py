"""Class prototypes as unimodal classifiers without parameters, and the weights that PMR derives from them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def class_sums(
    features: Tensor, target: Tensor, classes: int, present: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sum of the features of every class, and its number of rows; means over many batches are sums of both, divided.

    Args:
        features: ``(B, D)``.
        target: ``(B,)`` class numbers.
        present: ``(B,)`` bool; rows that lack the modality count nowhere.

    Returns:
        ``(C, D)`` and ``(C,)``.
    """
    there = torch.ones(len(target), device=features.device) if present is None else present.float()
    sums = torch.zeros(classes, features.shape[1], device=features.device).index_add_(
        0, target, features.float() * there[:, None]
    )
    return sums, torch.zeros(classes, device=features.device).index_add_(0, target, there)


def prototype_logits(features: Tensor, prototypes: Tensor, known: Tensor | None = None) -> Tensor:
    """sim[i, c] = -‖f_i - c_c‖: Euclidean, not squared; its gradient is 0, not NaN, where a row hits a prototype.

    Args:
        features: ``(B, D)``; receives the gradient.
        prototypes: ``(C, D)``; receives none.
        known: ``(C,)`` bool; classes without a prototype get no probability.

    Example:
        >>> sim = prototype_logits(torch.tensor([[0.5]]), torch.tensor([[0.0], [2.0]]))
        >>> sim, round(-sim.log_softmax(1)[0, 0].item(), 6)
        (tensor([[-0.5000, -1.5000]]), 0.313262)
    """
    distance = torch.cdist(
        features.float(), prototypes.detach().float(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    return -distance if known is None else (-distance).masked_fill(~known, -1e9)


def rebalance_weights(scores: Mapping[str, float]) -> dict[str, float]:
    """beta^m = clip( S* / S^m - 1, 0, 1 ), S* = max_j S^j: how far a modality lies behind the best one, which gets 0.

    With two modalities this is the paper's rule: rho = S^0 / S^1 < 1 gives clip(1/rho - 1) to modality 0, rho > 1 gives
    clip(rho - 1) to modality 1.

    Example:
        >>> {m: round(value, 6) for m, value in rebalance_weights({"audio": 0.4, "video": 0.5}).items()}
        {'audio': 0.25, 'video': 0.0}
    """
    best = max(scores.values())
    return {m: min(max(best / max(s, 1e-8) - 1, 0.0), 1.0) for m, s in scores.items()}


def entropy_per_row(logits: Tensor) -> Tensor:
    """H(softmax(l)) of each row in nats, ``(B,)``.

    Example:
        >>> entropy_per_row(torch.zeros(1, 2))
        tensor([0.6931])
    """
    log_p = logits.float().log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)
