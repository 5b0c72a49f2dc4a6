"""Text tables of a single run or evaluation."""

from __future__ import annotations

from collections.abc import Mapping

from g2d.engine.evaluate import Evaluation
from g2d.report.formatting import COUNTS, aligned, spread
from g2d.report.layouts import cautions
from g2d.runs import DataFacts, Result
from g2d.task import Task, task_from_config


def metrics_table(
    fused: Mapping[str, float], unimodal: Mapping[str, Mapping[str, float]], task: Task
) -> str:
    """Return metrics in rows, and the fused prediction and every modality in columns.

    Args:
        fused: Metrics of the fused prediction.
        unimodal: Metrics of every modality's own prediction.
        task: The kind of target; its headline metric comes first.
    """
    first, last = task.headline, "confidence"
    names = [first, *(name for name in fused if name not in (first, last)), last]
    rows = [
        [name, *(spread([values.get(name)], name) for values in (fused, *unimodal.values()))]
        for name in names
        if name not in COUNTS or fused[name]
    ]
    return aligned(["", "fused", *unimodal], rows)


def evaluation_table(evaluation: Evaluation, task: Task, data: DataFacts) -> str:
    """Return an evaluation as a table, followed by cautions about the data.

    Args:
        evaluation: Of a split.
        task: The kind of target.
        data: Facts about the data.
    """
    record = evaluation.record()
    return "\n".join([metrics_table(record["fused"], record["unimodal"], task), *cautions(data)])


def run_summary(result: Result) -> str:
    """Return the test metrics of a finished run, cautions about its data, and its notices.

    Args:
        result: The content of ``result.json``.
    """
    selected = " (selected on the test split)" if result.select_on == "test" else ""
    where = f"{result.data.protocol}, epoch {result.selected_epoch} of {result.epochs}"
    task = task_from_config(result.task)
    return "\n".join(
        [
            f"Test{selected}, {where}:",
            metrics_table(result.test.fused, result.test.unimodal, task),
            *cautions(result.data),
            *(f"Notice: {notice}" for notice in result.notices),
        ]
    )
