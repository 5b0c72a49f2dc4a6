"""Heads: recall by class, calibration of their confidence, and the effect of weighting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from g2d.analysis.bootstrap import Interval, bootstrap_difference
from g2d.analysis.rows import Rows
from g2d.errors import ArgumentError
from g2d.functional.calibration import fit_head_weights
from g2d.task import Task


def per_class(rows: Rows, task: Task) -> dict[str, list[float]]:
    """Return the recall of every class or label by each modality's own prediction.

    Args:
        rows: Output of a model with unimodal logits; rows that lack a modality do not count for
            it.
        task: Kind of target.

    Returns:
        Recalls per modality; NaN for a class without rows.

    Raises:
        ArgumentError: The targets are values, not classes.
    """
    if not task.discrete:
        raise ArgumentError("rows must have classes, found values.")
    recalls = {}
    for m, z in rows.unimodal.items():
        guess, target = (
            _states(values[rows.has[m]], z) for values in (task.predict(z), rows.target)
        )
        recalls[m] = ((guess & target).sum(0).double() / target.sum(0)).tolist()
    return recalls


def _states(answers: Tensor, like: Tensor) -> Tensor:
    """Return answers as one state per class or label ``(N, C)``, bool."""
    return (one_hot(answers, like.shape[1]) if answers.ndim == 1 else answers).bool()


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


def reliability(logits: Tensor, target: Tensor, task: Task, bins: int = 10) -> Reliability:
    """Return the reliability curve of a head's guesses, see :meth:`g2d.task.Task.guesses`.

    Args:
        logits: Logits ``(N, C)``.
        target: Class numbers ``(N,)``, or states of several labels ``(N, C)``.
        task: Kind of target.
        bins: Number of bins of equal width.

    Example:
        >>> from g2d.task import Classification
        >>> sure = torch.tensor([[9.0, -9.0]] * 4)
        >>> round(reliability(sure, torch.tensor([0, 0, 0, 1]), Classification(2)).error, 2)
        0.25
    """
    p, right = task.guesses(logits, target)
    place = (p * bins).long().clamp(max=bins - 1)
    members = [place == b for b in range(bins) if bool((place == b).any())]
    confidence = [p[rows].mean().item() for rows in members]
    accuracy = [right[rows].float().mean().item() for rows in members]
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
        gain: ``after`` minus ``before``, with its interval.
    """

    weights: Mapping[str, float]
    before: float
    after: float
    gain: Interval


def heads_scale(rows: Rows) -> float | None:
    """Return s if the fused logits are s times the sum of the unimodal logits, else None.

    Args:
        rows: Output of a model with unimodal logits.
    """
    if not rows.unimodal:
        return None
    summed = torch.stack(tuple(rows.unimodal.values())).sum(0)
    scale = ((summed * rows.logits).sum() / summed.square().sum().clamp_min(1e-12)).item()
    tolerance = 1e-3 * float(rows.logits.abs().max())
    return scale if torch.allclose(scale * summed, rows.logits, 1e-3, tolerance) else None


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
    weights, scale = _fitted(valid, task), heads_scale(valid)
    return _effect(weights, test, _weighted(test, weights, scale or 0.0), task)


def crossfitted(rows: Rows, task: Task) -> Reweighed:
    """Fit weights of the heads on each half of the rows, and score them on the other half.

    A group of rows is never in both halves. The weights are the mean of both fits.

    Args:
        rows: Output of a model for held-out rows.
        task: Kind of target.

    Raises:
        ArgumentError: The heads do not add up to the fused logits.
    """
    half = np.random.default_rng(0).permutation(int(rows.group.max()) + 1)[rows.group] % 2
    fits, logits = [], rows.logits.clone()
    for fold in (0, 1):
        other, own = np.flatnonzero(half != fold), np.flatnonzero(half == fold)
        if len(other) and len(own):
            fits.append(_fitted(rows.at(other), task))
            scale = heads_scale(rows.at(other)) or 0.0
            logits[torch.from_numpy(own)] = _weighted(rows.at(own), fits[-1], scale)
    weights = {m: float(np.mean([fit[m] for fit in fits])) for m in rows.unimodal} if fits else {}
    return _effect(weights, rows, logits, task)


def _fitted(rows: Rows, task: Task) -> dict[str, float]:
    """Return the weight of every head, fitted on some rows."""
    k, scale = len(rows.unimodal), heads_scale(rows)
    if scale is None:
        raise ArgumentError(
            "unimodal logits must add up to the fused logits to be weighed, found a difference: "
            "the fusion is not additive."
        )
    with torch.enable_grad():
        a = fit_head_weights(
            [k * scale * z for z in rows.unimodal.values()],
            rows.target,
            task.negative_log_likelihood,
        )
    return dict(zip(rows.unimodal, (k * a).tolist(), strict=True))


def _weighted(rows: Rows, weights: Mapping[str, float], scale: float) -> Tensor:
    return scale * torch.stack([weights[m] * z for m, z in rows.unimodal.items()]).sum(0)


def _effect(weights: Mapping[str, float], rows: Rows, logits: Tensor, task: Task) -> Reweighed:
    """Return the effect of replacing the fused logits of some rows."""
    before, after = rows.hits(task), replace(rows, logits=logits).hits(task)
    gain = bootstrap_difference(after, before, rows.group)
    return Reweighed(weights, float(np.nanmean(before)), float(np.nanmean(after)), gain)
