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
    """Metrics in rows, the fused prediction and every modality in columns."""
    names = [
        task.headline,
        *(name for name in fused if name not in (task.headline, "confidence")),
        "confidence",
    ]
    names = [name for name in names if name not in COUNTS or fused[name]]
    rows = [
        [
            name,
            spread([fused[name]], name),
            *(spread([values.get(name)], name) for values in unimodal.values()),
        ]
        for name in names
    ]
    return aligned(["", "fused", *unimodal], rows)


def evaluation_table(evaluation: Evaluation, task: Task, data: DataFacts) -> str:
    """An evaluation as a table, and what must stand beside it.

    Args:
        data: facts of the data, as every result holds them.
    """
    record = evaluation.record()
    return "\n".join([metrics_table(record["fused"], record["unimodal"], task), *cautions(data)])


def run_summary(result: Result) -> str:
    """What a finished run has to say: its test metrics, its notices."""
    task = task_from_config(result.task)
    test = result.test
    marked = " (selected on the test split)" if result.select_on == "test" else ""
    where = f"{result.data.protocol}, epoch {result.selected_epoch} of {result.epochs}"
    lines = [
        f"Test{marked}, {where}:",
        metrics_table(test.fused, test.unimodal, task),
        *cautions(result.data),
    ]
    return "\n".join([*lines, *(f"Notice: {notice}" for notice in result.notices)])
