"""What a modality alone gets right inside a model, and how sure it is against its teacher (the paper's Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping

from g2d.analysis.bootstrap import Interval, bootstrap_mean, bootstrap_ratio
from g2d.analysis.rows import Rows
from g2d.task import Task


def unimodal_accuracy(rows: Rows, task: Task) -> dict[str, Interval]:
    """Per modality, the share of rows that its own prediction gets right (of values: minus the mean squared error in the scaled unit)."""
    return {m: bootstrap_mean(rows.hits(task, m), rows.group) for m in rows.unimodal}


def confidence_ratio(
    student: Rows, teachers: Mapping[str, Rows], task: Task
) -> dict[str, Interval]:
    """Mean probability that a modality's own prediction gives to the truth inside the model, over that of its teacher, on the same rows.

    Below 1 the joint model has less from the modality than it holds. With late fusion it can exceed 1 although accuracy fell: heads
    that are averaged grow k times as large. Read it beside the accuracy.

    Args:
        teachers: per modality, what its teacher says about the same rows.
    """
    return {
        m: bootstrap_ratio(student.confidence(task, m), rows.confidence(task), student.group)
        for m, rows in teachers.items()
        if m in student.unimodal
    }
