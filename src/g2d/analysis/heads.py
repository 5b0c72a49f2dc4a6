"""Heads: recall by class, calibration of their confidence, and the effect of weighting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from g2d.analysis.rows import Rows
from g2d.errors import ArgumentError
from g2d.functional.calibration import fit_head_weights
from g2d.functional.metrics import confusion_matrix
from g2d.functional.precision import at_least_float32
from g2d.task import Task


def per_class(rows: Rows) -> dict[str, list[float]]:
    """Return the recall of every class by each modality's own prediction.

    Args:
        rows: Output of a model with unimodal logits; rows that lack a modality do not count for
            it.

    Returns:
        Recalls per modality; NaN for a class without rows.

    Raises:
        ArgumentError: The targets are values, not classes.
    """
    if rows.target.ndim != 1:
        raise ArgumentError("rows must have classes, found values.")
    recalls = {}
    for m, z in rows.unimodal.items():
        has = rows.has[m]
        confusion = confusion_matrix(z.argmax(1)[has], rows.target[has], z.shape[1])
        recalls[m] = (confusion.diag().double() / confusion.sum(1)).tolist()
    return recalls


@dataclass(frozen=True)
class Reliability:
    """A reliability curve: one point per bin of predicted confidence that holds rows.

    Args:
        confidence: Mean confidence of the rows in the bin.
        accuracy: Share of rows in the bin that are right.
        share: Share of all rows that are in the bin.
        error: Expected calibration error, sum of share * |accuracy - confidence|.
    """

    confidence: list[float]
    accuracy: list[float]
    share: list[float]
    error: float


def reliability(logits: Tensor, target: Tensor, bins: int = 10) -> Reliability:
    """Return the reliability curve of a head's predictions.

    Args:
        logits: Logits ``(N, C)``.
        target: Class numbers ``(N,)``.
        bins: Number of bins of equal width.

    Example:
        >>> sure = torch.tensor([[9.0, -9.0]] * 4)
        >>> round(reliability(sure, torch.tensor([0, 0, 0, 1])).error, 2)
        0.25
    """
    p, guess = at_least_float32(logits).softmax(1).max(1)
    place = (p * bins).long().clamp(max=bins - 1)
    members = [place == b for b in range(bins) if bool((place == b).any())]
    confidence = [p[rows].mean().item() for rows in members]
    accuracy = [(guess[rows] == target[rows]).float().mean().item() for rows in members]
    share = [rows.float().mean().item() for rows in members]
    error = sum(s * abs(a - c) for s, a, c in zip(share, accuracy, confidence, strict=True))
    return Reliability(confidence, accuracy, share, error)


@dataclass(frozen=True)
class Reweighed:
    """Effect of one positive weight per head.

    Args:
        weights: Weight per modality; 1 leaves a head as it is.
        before: Fused score on rows that the weights were not fitted on.
        after: Fused score of the weighted heads on the same rows.
    """

    weights: Mapping[str, float]
    before: float
    after: float


def reweighed(valid: Rows, test: Rows, task: Task) -> Reweighed:
    """Fit weights of the heads on validation rows and score them on test rows.

    The difference is the part of a fused gap that calibration alone closes. It is defined only
    where the fused logits are the heads' sum or mean; the scale between them is read from the
    rows.

    Args:
        valid: Output of a model for validation rows.
        test: Output of the model for test rows.
        task: Kind of target.

    Raises:
        ArgumentError: The heads do not add up to the fused logits.
    """
    k = len(valid.unimodal)
    stacked = torch.stack(tuple(valid.unimodal.values())).sum(0)
    scale = ((stacked * valid.logits).sum() / stacked.square().sum()).item()
    if not torch.allclose(
        scale * stacked, valid.logits, rtol=1e-3, atol=1e-3 * float(valid.logits.abs().max())
    ):
        raise ArgumentError(
            "unimodal logits must add up to the fused logits to be weighed, found a difference: "
            "the fusion is not additive."
        )
    with torch.enable_grad():
        a = fit_head_weights(
            [k * scale * z for z in valid.unimodal.values()],
            valid.target,
            task.negative_log_likelihood,
        )
    weights = dict(zip(valid.unimodal, (k * a).tolist(), strict=True))
    after = scale * torch.stack([weights[m] * z for m, z in test.unimodal.items()]).sum(0)
    scores = (np.nanmean(rows.hits(task)) for rows in (test, replace(test, logits=after)))
    return Reweighed(weights, *map(float, scores))
