"""Class prototypes as unimodal classifiers without parameters, and PMR's weights from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from g2d.functional.precision import at_least_float32

Weighting = Literal["graded", "full"]
"""How far behind a modality must be to get the full weight, see :func:`rebalance_weights`."""


def class_sums(
    features: Tensor, target: Tensor, classes: int, present: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sum of the features of every class, and its number of rows.

    To get the prototypes of many batches, add both over the batches and divide.

    Args:
        features: Features ``(B, D)``.
        target: Class numbers ``(B,)``.
        classes: Number of classes C.
        present: Rows that have the modality ``(B,)``, bool; the others are left out.

    Returns:
        Sums ``(C, D)`` and counts ``(C,)``.

    Example:
        >>> class_sums(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 0, 1]), 2)
        (tensor([[3.],
                [4.]]), tensor([2., 1.]))
    """
    features = at_least_float32(features)
    has = features.new_ones(len(target)) if present is None else present.to(features)
    sums = features.new_zeros(classes, features.shape[1]).index_add_(
        0, target, features * has[:, None]
    )
    return sums, features.new_zeros(classes).index_add_(0, target, has)


def prototype_logits(features: Tensor, prototypes: Tensor, known: Tensor | None = None) -> Tensor:
    """Return sim[i, c] = -‖f_i - c_c‖, the negative Euclidean distance (not squared).

    Its gradient is 0, not NaN, where a row equals a prototype.

    Args:
        features: Features ``(B, D)``; receive the gradient.
        prototypes: Prototypes ``(C, D)``; receive no gradient.
        known: Classes that have a prototype ``(C,)``, bool; the others get no probability.

    Returns:
        Logits ``(B, C)``.

    Example:
        >>> sim = prototype_logits(torch.tensor([[0.5]]), torch.tensor([[0.0], [2.0]]))
        >>> sim, round(-sim.log_softmax(1)[0, 0].item(), 6)
        (tensor([[-0.5000, -1.5000]]), 0.313262)
    """
    features = at_least_float32(features)
    distance = torch.cdist(
        features, prototypes.detach().to(features), compute_mode="donot_use_mm_for_euclid_dist"
    )
    return -distance if known is None else (-distance).masked_fill(~known, -1e9)


def rebalance_weights(
    scores: Mapping[str, float], weighting: Weighting = "graded"
) -> dict[str, float]:
    """Return PMR's weight beta^m of each modality's prototype loss; the best modality gets 0.

    - ``"graded"``: beta^m = clip( S* / S^m - 1, 0, 1 ) with S* = max_j S^j, which grows with the
      distance of a modality from the best one. With two modalities this is the paper's rule:
      rho = S^0 / S^1 < 1 gives clip(1/rho - 1) to modality 0, and rho > 1 gives clip(rho - 1) to
      modality 1.
    - ``"full"``: beta^m = 1 wherever S^m < S*, the rule of the released code.

    Args:
        scores: Score S^m per modality.
        weighting: One of the two rules.

    Example:
        >>> beta = rebalance_weights({"audio": 0.4, "video": 0.5})
        >>> {m: round(value, 6) for m, value in beta.items()}
        {'audio': 0.25, 'video': 0.0}
        >>> rebalance_weights({"audio": 0.4, "video": 0.5}, "full")
        {'audio': 1.0, 'video': 0.0}
    """
    best = max(scores.values())
    if weighting == "full":
        return {m: float(s < best) for m, s in scores.items()}
    return {m: min(max(best / max(s, 1e-8) - 1, 0.0), 1.0) for m, s in scores.items()}


def entropy_per_row(logits: Tensor) -> Tensor:
    """Return the entropy H(softmax(l)) of each row in nats.

    Args:
        logits: Logits l ``(B, C)``.

    Returns:
        Entropies ``(B,)``.

    Example:
        >>> entropy_per_row(torch.zeros(1, 2))
        tensor([0.6931])
    """
    log_p = at_least_float32(logits).log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)
