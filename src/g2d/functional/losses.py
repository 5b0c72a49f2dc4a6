"""Distillation losses of G²D (Eqs. 2-4).

Source: M. Rakib, A. Bagavathi, "G²D: Boosting Multimodal Learning with Gradient-Guided
Distillation", ICCV 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.precision import at_least_float32
from g2d.types import Present

Reduction = Literal["mean", "sum"]


def feature_distillation(
    student: Tensor,
    teacher: Tensor,
    *,
    reduction: Reduction = "mean",
    present: Tensor | None = None,
) -> Tensor:
    """Return the distance of the student's features from its teacher's.

    L_feat^m = E_x ‖f_s^m - f_t^m‖²  (Eq. 2), the expectation over the rows of the batch.

    The paper writes the squared norm, a sum over the D features. The authors' code, with which
    alpha = 1 was used, takes the mean over D. ``"mean"`` follows the code and ``"sum"`` the
    formula: alpha_sum = alpha_mean / D.

    Args:
        student: Features f_s^m ``(B, D)``; receive the gradient.
        teacher: Features f_t^m ``(B, D)``; receive no gradient.
        reduction: Reduction over the features; over the rows it is always the mean.
        present: Rows that have the modality ``(B,)``, bool. The others add nothing but still count
            in B, so that the loss of a batch is the average of the losses of its parts.

    Returns:
        A scalar.

    Raises:
        ArgumentError: The two shapes differ; features of different width have no distance.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])
        >>> feature_distillation(student, teacher, reduction="sum")
        tensor(5.)
    """
    if student.shape != teacher.shape:
        raise ArgumentError(
            "features of student and teacher must have the same shape, "
            f"found {tuple(student.shape)} and {tuple(teacher.shape)}. "
            "Give both the same encoder, or distil logits only (alpha = 0)."
        )
    squared = (at_least_float32(student) - at_least_float32(teacher.detach())).square()
    per_row = squared.mean(1) if reduction == "mean" else squared.sum(1)
    return per_row.mean() if present is None else (per_row * present).mean()


def logit_distillation(
    student: Tensor, teacher: Tensor, *, temperature: float = 1.0, present: Tensor | None = None
) -> Tensor:
    """Return the divergence of the student's fused prediction from one teacher's.

    L_logit^m = E_x KL( softmax(l_t^m) ‖ softmax(l_s) )  (Eq. 3): the teacher comes first, and the
    student's logits are the *fused* ones. With a temperature T both logits are divided by T and
    the loss is multiplied by T² (T = 1 in the paper).

    Args:
        student: Fused logits l_s ``(B, C)``; receive the gradient.
        teacher: Logits l_t^m ``(B, C)``; receive no gradient.
        temperature: T, positive.
        present: Rows that have the teacher's modality ``(B,)``, bool; the others add nothing.

    Returns:
        A scalar in nats: the sum over the classes, averaged over the rows.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.7, 0.3]]).log()
        >>> round(logit_distillation(student, teacher).item(), 6)
        0.082283
    """
    log_p = F.log_softmax(at_least_float32(student) / temperature, dim=1)
    log_q = F.log_softmax(at_least_float32(teacher.detach()) / temperature, dim=1)
    per_row = F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(1) * temperature**2
    return per_row.mean() if present is None else (per_row * present).mean()


def label_distillation(
    student: Tensor, teacher: Tensor, *, temperature: float = 1.0, present: Tensor | None = None
) -> Tensor:
    """Return the divergence of the student's labels from one teacher's, averaged over the labels.

    The counterpart of :func:`logit_distillation` for several labels per row: every label has two
    states, and with t = sigmoid(l_t / T) and s = sigmoid(l_s / T) of a label

    L_logit^m = T² E_x mean over labels of t log(t / s) + (1 - t) log((1 - t) / (1 - s)).

    Args:
        student: Fused logits l_s ``(B, C)``; receive the gradient.
        teacher: Logits l_t^m ``(B, C)``; receive no gradient.
        temperature: T, positive.
        present: Rows that have the teacher's modality ``(B,)``, bool; the others add nothing.

    Returns:
        A scalar in nats, averaged over the rows.

    Example:
        >>> import torch
        >>> p, q = torch.tensor([[0.5, 0.9]]), torch.tensor([[0.7, 0.9]])
        >>> round(label_distillation(p.logit(), q.logit()).item(), 6)
        0.041141
    """
    s = at_least_float32(student) / temperature
    t = at_least_float32(teacher.detach()) / temperature
    positive = t.sigmoid() * (F.logsigmoid(t) - F.logsigmoid(s))
    negative = (-t).sigmoid() * (F.logsigmoid(-t) - F.logsigmoid(-s))
    per_row = (positive + negative).mean(1) * temperature**2
    return per_row.mean() if present is None else (per_row * present).mean()


def weight_of(weight: float | Mapping[str, float], modality: str) -> float:
    """Return the weight of one modality's term.

    Args:
        weight: One weight for all modalities, or one for each.
        modality: Name of the modality.

    Example:
        >>> weight_of(2.0, "tone"), weight_of({"tone": 0.5}, "tone")
        (2.0, 0.5)
    """
    return weight[modality] if isinstance(weight, Mapping) else weight


def feature_terms(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor],
    weight: float | Mapping[str, float],
    *,
    reduction: Reduction = "mean",
    present: Present = None,
) -> dict[str, Tensor]:
    """Return the terms alpha * L_feat^m of Eq. 4, one per modality.

    Terms with a weight of zero are left out.

    Args:
        student: Features f_s^m ``(B, D_m)`` per modality.
        teacher: Features f_t^m ``(B, D_m)`` per modality.
        weight: alpha, one number for all modalities or one for each.
        reduction: Reduction over the features, see :func:`feature_distillation`.
        present: Rows that have the modality ``(B,)``, bool, per modality.

    Raises:
        ArgumentError: A teacher gives no features.

    Example:
        >>> import torch
        >>> f = {"image": torch.ones(1, 2), "tone": torch.ones(1, 3)}
        >>> feature_terms(f, {m: 0 * v for m, v in f.items()}, {"image": 2.0, "tone": 0.0})
        {'feature/image': tensor(2.)}
    """
    distilled = [m for m in student if weight_of(weight, m) != 0]
    if missing := [m for m in distilled if m not in teacher]:
        raise ArgumentError(
            f"the teacher of {missing[0]!r} must return features for a feature distillation, "
            "found logits alone. Let it return (features, logits), or set the weight of the "
            "feature distillation to 0."
        )
    return {
        f"feature/{m}": weight_of(weight, m)
        * feature_distillation(
            student[m], teacher[m], reduction=reduction, present=(present or {}).get(m)
        )
        for m in distilled
    }


def logit_terms(
    student: Tensor,
    teacher: Mapping[str, Tensor],
    weight: float | Mapping[str, float],
    distillation: Callable[..., Tensor] = logit_distillation,
    *,
    temperature: float = 1.0,
    present: Present = None,
) -> dict[str, Tensor]:
    """Return the terms beta * L_logit^m of Eq. 4, one per modality.

    Terms with a weight of zero are left out.

    Args:
        student: Fused logits l_s ``(B, C)``.
        teacher: Logits l_t^m ``(B, C)`` per modality.
        weight: beta, one number for all modalities or one for each.
        distillation: L_logit of the task (:meth:`g2d.task.Task.distillation`).
        temperature: T, see :func:`logit_distillation`.
        present: Rows that have the modality ``(B,)``, bool, per modality.
    """
    return {
        f"logit/{m}": weight_of(weight, m)
        * distillation(student, l_t, temperature=temperature, present=(present or {}).get(m))
        for m, l_t in teacher.items()
        if weight_of(weight, m) != 0
    }
