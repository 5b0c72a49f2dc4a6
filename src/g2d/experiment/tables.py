"""Text tables of a single run or evaluation."""

from __future__ import annotations

from collections.abc import Mapping

from g2d.engine.evaluate import Evaluation
from g2d.report.comparison import cautions
from g2d.report.formatting import COUNTS, spread
from g2d.report.tables import Cell, Column, Row, Table
from g2d.runs import DataFacts, Result
from g2d.task import Task, task_from_config


def metrics_table(
    fused: Mapping[str, float], unimodal: Mapping[str, Mapping[str, float]], task: Task
) -> str:
    """Return metrics in rows, and the fused prediction and every modality in columns.

    Args:
        fused: Metrics of all modalities together.
        unimodal: Metrics of each modality alone.
        task: Task of the metrics.
    """
    last = "confidence"
    others = [name for name in fused if name not in (task.headline, last)]
    names = [name for name in (task.headline, *others, last) if name not in COUNTS or fused[name]]
    columns = {"fused": fused, **unimodal}
    rows = tuple(
        Row(name, tuple(Cell(spread([values.get(name)], name)) for values in columns.values()))
        for name in names
    )
    return Table("", tuple(map(Column, columns)), rows).text()


def evaluation_table(evaluation: Evaluation, task: Task, data: DataFacts) -> str:
    """Return an evaluation as a table, with the cautions of its data.

    Args:
        evaluation: An evaluation.
        task: Its task.
        data: Description of the data.
    """
    record = evaluation.record()
    table = metrics_table(record["fused"], record["unimodal"], task)
    return "\n".join([table, *cautions(data)])


def run_summary(result: Result) -> str:
    """Return the test metrics and warnings of a finished run."""
    task = task_from_config(result.task)
    marked = " (selected on the test split)" if result.selected_on_test else ""
    lines = [
        f"Test{marked}, {result.data.protocol}, {result.epoch_in_words}:",
        metrics_table(result.test.fused, result.test.unimodal, task),
        *cautions(result.data),
    ]
    return "\n".join([*lines, *(f"Notice: {notice}" for notice in result.notices)])
