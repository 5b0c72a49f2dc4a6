"""Agreement of two modalities on the same rows, and the schedules by which DLMG fades it out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from g2d.functional.precision import at_least_float32
from g2d.types import Present

FITTED = (
    2.04623704e-1,
    3.35472727e-3,
    1.22989557e-4,
    -2.92947416e-6,
    2.23835486e-8,
    -5.39717505e-11,
)
"""Coefficients of a_cls over 200 epochs, constant first, as the authors fitted them."""


def js_reverse(a: Tensor, b: Tensor) -> Tensor:
    """Return the matching of the authors' released code, which is unbounded.

    1/2 ( KL(M‖p) + KL(M‖q) ) with p = softmax(a), q = softmax(b) and M = (p + q) / 2.

    Args:
        a: Unimodal logits ``(B, C)`` of one modality; receive the gradient.
        b: Unimodal logits ``(B, C)`` of the other; receive the gradient.

    Returns:
        A scalar, the mean over the rows.

    Example:
        >>> p, q = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.2, 0.8]]).log()
        >>> round(js_reverse(p, q).item(), 6), round(jensen_shannon(p, q).item(), 6)
        (0.223144, 0.192745)
    """
    log_p, log_q, log_m = _log_mixture(a, b)
    return (log_m.exp() * (log_m - (log_p + log_q) / 2)).sum(1).mean()


def jensen_shannon(a: Tensor, b: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence, which the released code intended; at most log 2.

    1/2 ( KL(p‖M) + KL(q‖M) ) with p = softmax(a), q = softmax(b) and M = (p + q) / 2.

    Args:
        a: Unimodal logits ``(B, C)`` of one modality; receive the gradient.
        b: Unimodal logits ``(B, C)`` of the other; receive the gradient.

    Returns:
        A scalar, the mean over the rows.
    """
    log_p, log_q, log_m = _log_mixture(a, b)
    return (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(1).mean() / 2


def infonce(a: Tensor, b: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Return the contrastive loss of paired rows, averaged over both directions.

    Each row must find its partner among the rows of the batch. The similarity is the cosine of
    the unimodal logits, because features of two modalities can differ in width.

    Args:
        a: Unimodal logits ``(B, C)`` of one modality; receive the gradient.
        b: Unimodal logits ``(B, C)`` of the other; receive the gradient.
        temperature: Divisor of the similarities.

    Returns:
        A scalar.
    """
    similarity = (
        F.normalize(at_least_float32(a), dim=1)
        @ F.normalize(at_least_float32(b), dim=1).T
        / temperature
    )
    partner = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(similarity, partner) + F.cross_entropy(similarity.T, partner)) / 2


MATCHINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "js_reverse": js_reverse,
    "js": jensen_shannon,
    "infonce": infonce,
}


def pairwise_matching(
    logits: Mapping[str, Tensor],
    matching: Callable[[Tensor, Tensor], Tensor],
    present: Present = None,
) -> Tensor | None:
    """Return L_mm, the mean of a matching over all pairs of modalities.

    Args:
        logits: Unimodal logits z^m ``(B, C)`` per modality.
        matching: Function of two of them that returns a mean over the rows.
        present: Rows that have the modality ``(B,)``, bool, per modality. Rows that lack one of a
            pair add nothing to it but still count in B.

    Returns:
        A scalar; None if there is no pair.
    """
    terms = []
    for a, b in combinations(logits, 2):
        masks = [] if present is None else [present[m] for m in (a, b) if m in present]
        if not masks:
            terms.append(matching(logits[a], logits[b]))
            continue
        both = torch.stack(masks).all(0)
        count = int(both.sum())
        terms.append(
            matching(logits[a][both], logits[b][both]) * (count / len(both))
            if count
            else logits[a].sum() * 0.0
        )
    return torch.stack(terms).mean() if terms else None


def fitted_weight(epoch: int, epochs: int) -> float:
    """Return a_cls of an epoch by the authors' polynomial.

    The polynomial of 200 epochs is stretched over the run and clipped to [0, 1].

    Args:
        epoch: Epoch, counted from 1.
        epochs: Number of epochs of the run.

    Example:
        >>> [round(fitted_weight(e + 1, 200), 4) for e in (0, 80, 150, 180)]
        [0.2046, 0.5002, 0.8213, 1.0]
    """
    e = min(200 * (epoch - 1) / epochs, 200.0)
    return min(max(sum(c * e**i for i, c in enumerate(FITTED)), 0.0), 1.0)


def heuristic_weight(epoch: int) -> float:
    """Return a_cls = exp(-1/t) of an epoch t; the weight of the matching is 1 - a_cls.

    Args:
        epoch: Epoch t, counted from 1.

    Example:
        >>> [round(1 - heuristic_weight(t), 3) for t in (1, 2, 5, 10, 100)]
        [0.632, 0.393, 0.181, 0.095, 0.01]
    """
    return math.exp(-1 / epoch)


def _log_mixture(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log p, log q and log M."""
    log_p, log_q = (at_least_float32(logits).log_softmax(1) for logits in (a, b))
    return log_p, log_q, torch.logaddexp(log_p, log_q) - math.log(2)
