"""Confidence of the teachers and the ranking that follows from it (Eq. 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from g2d.functional.precision import at_least_float32


def true_class_confidence(logits: Tensor, target: Tensor) -> Tensor:
    """Return the probability that each row gives to its true class, softmax(l)[i, y_i].

    Its batch mean over a teacher's logits is rho_t^m of Eq. 5.

    Args:
        logits: Logits l ``(B, C)``.
        target: Class numbers y ``(B,)``, int64.

    Returns:
        Probabilities ``(B,)``.

    Example:
        >>> true_class_confidence(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
        tensor([0.5000, 0.5000])
    """
    return at_least_float32(logits).log_softmax(1).gather(1, target[:, None])[:, 0].exp()


def true_state_confidence(logits: Tensor, target: Tensor) -> Tensor:
    """Return the probability of the true state of every label, averaged over the labels.

    The counterpart of :func:`true_class_confidence` for several labels per row: sigmoid(l) where
    the row has the label, 1 - sigmoid(l) where it does not.

    Args:
        logits: Logits l ``(B, C)``.
        target: States y ``(B, C)``, bool or 0 and 1.

    Returns:
        Confidence ``(B,)`` in [0, 1].

    Example:
        >>> true_state_confidence(torch.tensor([[0.0, 0.0]]), torch.tensor([[True, False]]))
        tensor([0.5000])
    """
    logits = at_least_float32(logits)
    return torch.where(target.bool(), logits, -logits).sigmoid().mean(1)


def error_confidence(prediction: Tensor, target: Tensor, variance: Tensor | float) -> Tensor:
    """Return the confidence of a regression, exp(-(p - y)² / Var_train(y)).

    The paper does not define one. Division by the variance of the training targets keeps the
    differences between teachers visible: on targets in (0, 1) the plain exp(-(p - y)²) is near
    0.99 for every teacher.

    Args:
        prediction: Predictions p ``(B, C)``.
        target: Targets y ``(B, C)``.
        variance: Var_train(y), one number or one per output.

    Returns:
        Confidence ``(B,)`` in [0, 1], averaged over the outputs.

    Example:
        >>> error_confidence(torch.tensor([[1.0]]), torch.tensor([[1.0]]), 2.0)
        tensor([1.])
    """
    prediction = at_least_float32(prediction)
    return torch.exp(-(prediction - target.to(prediction)).square() / variance).mean(1)


def ranking(rho: Mapping[str, float]) -> tuple[str, ...]:
    """Sort modalities from the least to the most confident; ties keep the order of the data.

    Args:
        rho: Confidence per modality.

    Example:
        >>> ranking({"image": 0.4, "tone": 0.9, "word": 0.4})
        ('image', 'word', 'tone')
    """
    return tuple(sorted(rho, key=rho.__getitem__))


def margin(rho: Mapping[str, float]) -> float:
    """Return the smallest difference of confidence between adjacent modalities of the ranking.

    Args:
        rho: Confidence per modality.

    Returns:
        The difference; infinite for a single modality.

    Example:
        >>> round(margin({"image": 0.4, "tone": 0.9, "word": 0.6}), 6)
        0.2
    """
    values = sorted(rho.values())
    return min((high - low for low, high in pairwise(values)), default=float("inf"))


def flip_rate(rankings: Iterable[tuple[str, ...]] | Mapping[tuple[str, ...], int]) -> float:
    """Return the share of updates whose ranking differs from the most frequent one.

    Args:
        rankings: Rankings of all updates, or the number of updates per ranking.

    Returns:
        A share in [0, 1); 0 without updates.

    Example:
        >>> flip_rate([("a", "b"), ("a", "b"), ("b", "a"), ("a", "b")])
        0.25
    """
    counts = Counter(rankings)
    return 1 - max(counts.values()) / counts.total() if counts else 0.0
