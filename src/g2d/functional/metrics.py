"""Metrics as functions of sums over rows, so that batches of any size give the same value.

A classification needs one matrix, the counts of (true class, predicted class); a regression needs
a handful of sums; several labels per row need three counts per label. Sums of several batches are
added before a metric is computed. Only the average precision needs the scores of all rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEARLY_ZERO = 1e-4
"""Sums of squares up to this size count as zero in :func:`r2_score`."""


def confusion_matrix(predicted: Tensor, target: Tensor, classes: int) -> Tensor:
    """Count how often each true class was predicted as each class.

    Args:
        predicted: Predicted class numbers ``(B,)``, int64.
        target: True class numbers ``(B,)``, int64.
        classes: Number of classes C.

    Returns:
        Counts ``(C, C)``, int64: row = true class, column = predicted class.

    Example:
        >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
        tensor([[1, 1],
                [0, 1]])
    """
    return torch.bincount(target * classes + predicted, minlength=classes**2).view(classes, classes)


def accuracy(confusion: Tensor) -> Tensor:
    """Return the share of rows whose predicted class is the true one; 0 without rows.

    Example:
        >>> accuracy(torch.tensor([[1, 1], [0, 2]]))
        tensor(0.7500)
    """
    return _ratio(confusion.diag().sum(), confusion.sum())


def unweighted_average_recall(confusion: Tensor) -> Tensor:
    """Return the mean over classes of the recall tp / (tp + fn).

    Every class counts the same, however many rows it has. Classes that occur neither as true nor
    as predicted class are left out; a class that is only ever predicted has a recall of 0.

    Example:
        >>> unweighted_average_recall(torch.tensor([[1, 1], [0, 2]]))
        tensor(0.7500)
    """
    return _mean_over_classes(_ratio(confusion.diag(), confusion.sum(1)), confusion)


def macro_f1(confusion: Tensor) -> Tensor:
    """Return the mean over classes of F1 = 2 tp / (2 tp + fn + fp).

    Classes that occur neither as true nor as predicted class are left out.

    Example:
        >>> macro_f1(torch.tensor([[1, 1], [0, 2]]))
        tensor(0.7333)
    """
    both = confusion.sum(0) + confusion.sum(1)  # 2 tp + fn + fp
    return _mean_over_classes(_ratio(2 * confusion.diag(), both), confusion)


def r2_score(rows: int, total: Tensor, total_of_squares: Tensor, residual: Tensor) -> Tensor:
    """Return the coefficient of determination, averaged over the outputs.

    R² = 1 - sum_i (y_i - p_i)² / sum_i (y_i - mean(y))²  for each output.

    An output whose residual is nearly zero (at most 1e-4) has R² = 1; one that is not, but whose
    targets are nearly constant, has R² = 0.

    Args:
        rows: Number of rows N.
        total: sum_i y_i ``(C,)``.
        total_of_squares: sum_i y_i² ``(C,)``.
        residual: sum_i (y_i - p_i)² ``(C,)``.

    Returns:
        A scalar; NaN for fewer than two rows, which have no variance.

    Example:
        >>> y, p = torch.tensor([[10.0], [20.0]]), torch.tensor([[9.0], [22.0]])
        >>> r2_score(2, y.sum(0), y.square().sum(0), (y - p).square().sum(0))
        tensor(0.9000)
    """
    if rows < 2:
        return residual.new_tensor(torch.nan)
    deviation = total_of_squares - total * (total / rows)
    exact, constant = residual.abs() <= NEARLY_ZERO, deviation.abs() <= NEARLY_ZERO
    score = torch.where(constant, 0.0, 1 - residual / deviation)
    return torch.where(exact, 1.0, score).mean()


def label_counts(predicted: Tensor, target: Tensor) -> Tensor:
    """Count the right and wrong positives of every label.

    Args:
        predicted: Predicted states ``(B, C)``, bool.
        target: True states ``(B, C)``, bool or 0 and 1.

    Returns:
        Counts ``(C, 3)``, int64: true positives, false positives, false negatives.

    Example:
        >>> predicted = torch.tensor([[True, True], [False, True]])
        >>> label_counts(predicted, torch.tensor([[1, 0], [1, 1]]))
        tensor([[1, 0, 1],
                [1, 1, 0]])
    """
    true = target.bool()
    pairs = (predicted & true, predicted & ~true, ~predicted & true)
    return torch.stack([both.sum(0) for both in pairs], dim=1)


def f1_of_labels(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return micro and macro F1 = 2 tp / (2 tp + fp + fn) of several labels per row.

    Micro F1 adds the counts of all labels first and is 0 where nothing is true or predicted. Macro
    F1 is the mean over labels; those that are neither true nor predicted in any row are left out.

    Args:
        counts: Counts ``(C, 3)`` of :func:`label_counts`.

    Example:
        >>> micro, macro = f1_of_labels(torch.tensor([[3, 1, 0], [0, 0, 2], [0, 0, 0]]))
        >>> round(micro.item(), 4), round(macro.item(), 4)
        (0.6667, 0.4286)
    """
    hits, of = 2 * counts[:, 0], 2 * counts[:, 0] + counts[:, 1] + counts[:, 2]
    occurs = (of > 0).sum().clamp_min(1)
    return _ratio(hits.sum(), of.sum()), _ratio(hits, of).sum() / occurs


def mean_average_precision(scores: Tensor, target: Tensor) -> Tensor:
    """Return the mean over labels of the average precision.

    AP = sum_n (R_n - R_{n-1}) P_n, over the thresholds n that the scores of a label have, from the
    highest on, with precision P_n and recall R_n of the rows at or above the threshold. Rows of
    equal score pass a threshold together, so that their order does not matter.

    Args:
        scores: Scores ``(N, C)``, higher for rows that rather have the label.
        target: True states ``(N, C)``, bool or 0 and 1.

    Returns:
        A scalar; labels without a positive row are left out, and it is NaN if all are.

    Example:
        >>> scores = torch.tensor([[0.9], [0.8], [0.8], [0.1]])
        >>> mean_average_precision(scores, torch.tensor([[1], [0], [1], [0]]))
        tensor(0.8333)
    """
    if not target.any():
        return scores.new_tensor(torch.nan)
    order = scores.argsort(0, descending=True)
    ordered = scores.gather(0, order)
    true = target.to(torch.float64).gather(0, order)
    positives = true.cumsum(0)
    rank = torch.arange(1, len(scores) + 1, device=scores.device, dtype=torch.float64)[:, None]
    last = torch.ones_like(true, dtype=torch.bool)
    last[:-1] = ordered[:-1] != ordered[1:]
    before = torch.where(last, positives, 0.0).cummax(0).values
    gained = torch.where(
        last, positives - torch.cat([torch.zeros_like(before[:1]), before[:-1]]), 0.0
    )
    average = (gained * positives / rank).sum(0) / positives[-1].clamp_min(1)
    return average[positives[-1] > 0].mean().to(scores.dtype)


def _ratio(count: Tensor, of: Tensor) -> Tensor:
    """Return ``count / of``, 0 where ``of`` is 0."""
    return count / of.clamp_min(1)


def _mean_over_classes(score: Tensor, confusion: Tensor) -> Tensor:
    """Average over the classes that occur."""
    occurs = confusion.sum(0) + confusion.sum(1) > 0
    return (occurs * score / occurs.sum().clamp_min(1)).sum()
