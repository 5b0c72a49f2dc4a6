"""Accuracy of each modality inside a model, and its confidence against its teacher (Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping

from g2d.analysis.bootstrap import Interval, bootstrap_mean, bootstrap_ratio
from g2d.analysis.rows import Rows
from g2d.task import Task


def unimodal_accuracy(rows: Rows, task: Task) -> dict[str, Interval]:
    """Return the share of rows that each modality's own prediction gets right.

    Args:
        rows: Output of a model with unimodal logits.
        task: Kind of target. For values the figure is minus the mean squared error in the scaled
            unit.

    Returns:
        An interval per modality.
    """
    return {m: bootstrap_mean(rows.hits(task, m), rows.group) for m in rows.unimodal}


def confidence_ratio(
    student: Rows, teachers: Mapping[str, Rows], task: Task
) -> dict[str, Interval]:
    """Return the ratio of a modality's mean confidence inside a model to that of its teacher.

    Confidence is the probability given to the truth. Below 1 the joint model uses less of the
    modality than it holds. With late fusion the ratio can exceed 1 although accuracy fell, because
    heads that are averaged grow k times as large: read it together with the accuracy.

    Args:
        student: Output of the model.
        teachers: Output of the teacher for the same rows, per modality.
        task: Kind of target.

    Returns:
        An interval per modality that has a teacher.
    """
    return {
        m: bootstrap_ratio(student.confidence(task, m), rows.confidence(task), student.group)
        for m, rows in teachers.items()
        if m in student.unimodal
    }
