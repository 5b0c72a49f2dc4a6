"""The distillation losses of G²D (Eqs. 2-4), as pure functions.

Source: M. Rakib, A. Bagavathi, "G²D: Boosting Multimodal Learning with Gradient-Guided Distillation", ICCV 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from g2d.errors import ArgumentError

Reduction = Literal["mean", "sum"]


def feature_distillation(
    student: Tensor,
    teacher: Tensor,
    *,
    reduction: Reduction = "mean",
    present: Tensor | None = None,
) -> Tensor:
    """Distance of the student's features from its teacher's.

    L_feat^m = E_x ‖f_s^m - f_t^m‖²  (Eq. 2), the expectation over the rows of the batch.

    The paper writes the squared norm, a sum over the D features; the authors' code, with which alpha = 1 was used, takes the mean
    over D. ``"mean"`` follows the code, ``"sum"`` the letter: alpha_sum = alpha_mean / D.

    Args:
        student: f_s^m ``(B, D)``; receives the gradient.
        teacher: f_t^m ``(B, D)``; receives none.
        reduction: over the features; over the rows it is always the mean.
        present: ``(B,)`` bool; rows that lack the modality add nothing (they still count in B, so that the loss of a batch is
            the average of the losses of its parts).

    Returns:
        A scalar.

    Raises:
        ArgumentError: the two shapes differ (a distance between spaces of different width means nothing).

    Example:
        >>> import torch
        >>> feature_distillation(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]), reduction="sum")
        tensor(5.)
    """
    if student.shape != teacher.shape:
        raise ArgumentError(
            f"features of student and teacher must have the same shape, found {tuple(student.shape)} and {tuple(teacher.shape)}. "
            "Give both the same encoder, or distil logits only (alpha = 0)."
        )
    squared = (student.float() - teacher.detach().float()).square()
    per_row = squared.mean(1) if reduction == "mean" else squared.sum(1)
    return per_row.mean() if present is None else (per_row * present).mean()


def logit_distillation(
    student: Tensor, teacher: Tensor, *, temperature: float = 1.0, present: Tensor | None = None
) -> Tensor:
    """Divergence of the student's fused prediction from one teacher's.

    L_logit^m = E_x KL( softmax(l_t^m) ‖ softmax(l_s) )  (Eq. 3): the teacher first, and the student's *fused* logits.
    With a temperature T both logits are divided by T and the loss is multiplied by T² (T = 1 in the paper).

    Args:
        student: l_s ``(B, C)``; receives the gradient.
        teacher: l_t^m ``(B, C)``; receives none.
        present: ``(B,)`` bool; rows that lack the teacher's modality add nothing.

    Returns:
        A scalar in nats: summed over the classes, averaged over the rows.

    Example:
        >>> import torch
        >>> student, teacher = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.7, 0.3]]).log()
        >>> round(logit_distillation(student, teacher).item(), 6)
        0.082283
    """
    log_p = F.log_softmax(student.float() / temperature, dim=1)
    log_q = F.log_softmax(teacher.detach().float() / temperature, dim=1)
    per_row = F.kl_div(log_p, log_q, reduction="none", log_target=True).sum(1) * temperature**2
    return per_row.mean() if present is None else (per_row * present).mean()


def weight_of(weight: float | Mapping[str, float], modality: str) -> float:
    """The weight of a modality's term: one number for all, or one for each.

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
    present: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The terms weight * L_feat^m of Eq. 4, one per modality; those of weight zero are left out.

    Args:
        student, teacher: features per modality.
        weight: alpha, one number for all modalities or one for each.
        reduction, present: see :func:`feature_distillation`.
    """
    return {
        f"feature/{m}": weight_of(weight, m)
        * feature_distillation(
            f, teacher[m], reduction=reduction, present=None if present is None else present.get(m)
        )
        for m, f in student.items()
        if weight_of(weight, m) != 0
    }


def logit_terms(
    student: Tensor,
    teacher: Mapping[str, Tensor],
    weight: float | Mapping[str, float],
    distillation: Callable[..., Tensor] = logit_distillation,
    *,
    temperature: float = 1.0,
    present: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The terms weight * L_logit^m of Eq. 4, one per modality; those of weight zero are left out.

    Args:
        student: the fused logits l_s ``(B, C)``.
        teacher: l_t^m ``(B, C)`` per modality.
        weight: beta, one number for all modalities or one for each.
        distillation: the task's own (:meth:`g2d.task.Task.distillation`).
        temperature, present: see :func:`logit_distillation`.
    """
    return {
        f"logit/{m}": weight_of(weight, m)
        * distillation(
            student,
            l_t,
            temperature=temperature,
            present=None if present is None else present.get(m),
        )
        for m, l_t in teacher.items()
        if weight_of(weight, m) != 0
    }
