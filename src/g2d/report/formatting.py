"""How a number is shown: shares in percent, digits by metric, mean ± standard deviation, aligned columns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PERCENT = ("accuracy", "macro_f1", "unweighted_average_recall", "top5")
"""Metrics that are shares and shown in percent."""
ABSENT = "-"
"""What stands where there is no number."""
COUNTS = frozenset({"zero_targets"})
"""Numbers of rows that a metric leaves out: shown where there are any."""


@dataclass(frozen=True)
class Scale:
    """How the values of a metric are shown.

    Args:
        factor: what a stored value is multiplied by.
        unit: what it is then measured in.
        digits: after the point.
    """

    factor: float = 1.0
    unit: str = ""
    digits: int = 2


def scale_of(metric: str) -> Scale:
    """The scale of a metric, by its name.

    Example:
        >>> scale_of("accuracy"), scale_of("r2").digits
        (Scale(factor=100.0, unit='%', digits=1), 2)
    """
    if metric in PERCENT:
        return Scale(100.0, "%", 1)
    if metric in COUNTS:
        return Scale(digits=0)
    return Scale(unit="%", digits=1) if metric == "mape" else Scale()


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A number with a fixed count of digits; large ones with thin groups; a dash where there is none.

    Example:
        >>> number(84.25, 1), number(1.2, 1, signed=True), number(None, 1), number(-0.04, 1), number(12345.0, 0)
        ('84.2', '+1.2', '-', '0.0', '12,345')
    """
    if value is None or math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    value = round(value, digits) + 0.0  # no negative zero
    return f"{value:{'+' if signed and value else ''},.{digits}f}"


def spread(values: Sequence[float | None], metric: str = "accuracy") -> str:
    """Mean ± standard deviation over seeds; shares in percent.

    Example:
        >>> spread([0.8, 0.9]), spread([0.5]), spread([0.25, 0.75], "confidence ratio"), spread([None])
        ('85.0 ± 7.1', '50.0', '0.50 ± 0.35', '-')
    """
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return ABSENT
    scale = scale_of(metric)
    mean = f"{scale.factor * statistics.fmean(known):.{scale.digits}f}"
    return (
        mean
        if len(known) == 1
        else f"{mean} ± {scale.factor * statistics.stdev(known):.{scale.digits}f}"
    )


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown that is also readable as it stands.

    Example:
        >>> print(aligned(["", "fused"], [["joint", "46.9"], ["g2d", "83.8"]]))
        |       | fused |
        | ----- | ----: |
        | joint |  46.9 |
        | g2d   |  83.8 |
    """
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return (
            "| "
            + " | ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            + " |"
        )

    rule = (
        "| "
        + " | ".join(
            "-" * width if not i else "-" * (width - 1) + ":" for i, width in enumerate(widths)
        )
        + " |"
    )
    return "\n".join([line(header), rule, *(line(row) for row in rows)])
