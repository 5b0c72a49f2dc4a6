"""Text tables: aligned columns, mean and standard deviation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from g2d.engine.evaluate import Evaluation
from g2d.engine.fit import as_record
from g2d.task import Task, task_from_config

PERCENT = ("accuracy", "macro_f1", "unweighted_average_recall", "top5")
"""Metrics that are shares and shown in percent."""


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown that is also readable as it stands.

    Example:
        >>> print(aligned(["", "fused"], [["joint", "46.9"], ["g2d", "83.8"]]))
        |       | fused |
        | ----- | ----: |
        | joint |  46.9 |
        | g2d   |  83.8 |
    """
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    widths = [max(width, 3) for width in widths]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(cells, widths, strict=True))) + " |"

    rule = "| " + " | ".join("-" * width if not i else "-" * (width - 1) + ":" for i, width in enumerate(widths)) + " |"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def spread(values: Sequence[float | None], metric: str = "accuracy") -> str:
    """Mean ± standard deviation over seeds; shares in percent.

    Example:
        >>> spread([0.8, 0.9]), spread([0.5]), spread([0.25, 0.75], "confidence ratio"), spread([None])
        ('85.0 ± 7.1', '50.0', '0.50 ± 0.35', '-')
    """
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return "-"
    factor, digits = (100.0, 1) if metric in PERCENT else (1.0, 1 if metric == "mape" else 2)
    mean = f"{factor * statistics.fmean(known):.{digits}f}"
    return mean if len(known) == 1 else f"{mean} ± {factor * statistics.stdev(known):.{digits}f}"


def metrics_table(fused: Mapping[str, float], unimodal: Mapping[str, Mapping[str, float]], task: Task) -> str:
    """Metrics in rows, the fused prediction and every modality in columns."""
    names = [task.headline, *(name for name in fused if name not in (task.headline, "confidence")), "confidence"]
    rows = [[name, spread([fused[name]], name), *(spread([values.get(name)], name) for values in unimodal.values())] for name in names]
    return aligned(["", "fused", *unimodal], rows)


def evaluation_table(evaluation: Evaluation, task: Task) -> str:
    """An evaluation as a table."""
    record = as_record(evaluation)
    return metrics_table(record["fused"], record["unimodal"], task)


def run_summary(result: Mapping[str, Any]) -> str:
    """What a finished run has to say: its test metrics, its notices."""
    task = task_from_config(result["task"])
    test = result["test"]
    marked = " (selected on the test split)" if result["select_on"] == "test" else ""
    lines = [f"Test{marked}, epoch {result['selected_epoch']} of {result['epochs']}:", metrics_table(test["fused"], test["unimodal"], task)]
    return "\n".join([*lines, *(f"Notice: {notice}" for notice in result["notices"])])
