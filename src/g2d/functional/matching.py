"""How well two modalities agree on the same rows, and how DLMG fades that term out: losses and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

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
    """1/2 ( KL(M‖p) + KL(M‖q) ), M = (p + q) / 2: the authors' released matching, unbounded; a scalar, mean over the rows.

    Args:
        a, b: unimodal logits ``(B, C)``, p and q their softmax; both receive gradients.

    Example:
        >>> p, q = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.2, 0.8]]).log()
        >>> round(js_reverse(p, q).item(), 6), round(jensen_shannon(p, q).item(), 6)
        (0.223144, 0.192745)
    """
    log_p, log_q, log_m = _log_mixture(a, b)
    return (log_m.exp() * (log_m - (log_p + log_q) / 2)).sum(1).mean()


def jensen_shannon(a: Tensor, b: Tensor) -> Tensor:
    """1/2 ( KL(p‖M) + KL(q‖M) ), M = (p + q) / 2: the divergence that the release meant; at most log 2."""
    log_p, log_q, log_m = _log_mixture(a, b)
    return (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(1).mean() / 2


def infonce(a: Tensor, b: Tensor, *, temperature: float = 0.07) -> Tensor:
    """Contrastive matching of paired rows: each must find its partner among the rows of the batch, in both directions.

    The cosine of the unimodal logits is the similarity, since features of two modalities need not have the same width.
    """
    similarity = F.normalize(a.float(), dim=1) @ F.normalize(b.float(), dim=1).T / temperature
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
    present: Mapping[str, Tensor] | None = None,
) -> Tensor | None:
    """L_mm: the mean of a matching over all pairs of modalities; None if there is no pair.

    Args:
        logits: z^m ``(B, C)`` per modality.
        matching: of two of them, a mean over the rows.
        present: ``(B,)`` bool per modality; rows that lack one of a pair add nothing to it (they still count in B).
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
    """a_cls of an epoch counted from 1: the authors' polynomial of 200 epochs, stretched over this run and kept in [0, 1].

    Example:
        >>> [round(fitted_weight(e + 1, 200), 4) for e in (0, 80, 150, 180)]
        [0.2046, 0.5002, 0.8213, 1.0]
    """
    e = min(200 * (epoch - 1) / epochs, 200.0)
    return min(max(sum(c * e**i for i, c in enumerate(FITTED)), 0.0), 1.0)


def heuristic_weight(epoch: int) -> float:
    """a_cls = exp(-1/t) of an epoch t counted from 1: what the decreasing weight 1 - exp(-1/t) of the matching leaves.

    Example:
        >>> [round(1 - heuristic_weight(t), 3) for t in (1, 2, 5, 10, 100)]
        [0.632, 0.393, 0.181, 0.095, 0.01]
    """
    return math.exp(-1 / epoch)


def _log_mixture(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    log_p, log_q = a.float().log_softmax(1), b.float().log_softmax(1)
    return log_p, log_q, torch.logaddexp(log_p, log_q) - math.log(2)
