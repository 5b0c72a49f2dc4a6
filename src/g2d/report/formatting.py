"""Format numbers: shares in percent, digits by metric, mean ± standard deviation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PERCENT = (
    *("accuracy", "macro_f1", "unweighted_average_recall", "top5"),
    *("subset_accuracy", "micro_f1", "mean_average_precision"),
)
"""Metrics that are shares and are printed in percent."""
ABSENT = "-"
"""Text of a missing number."""
COUNTS = frozenset({"zero_targets"})
"""Metrics that count rows; they are printed only if they are not zero."""
Bounds = tuple[float | None, float | None]
"""Least and greatest possible value; None for no bound."""


@dataclass(frozen=True)
class Scale:
    """Format of the values of a metric.

    Args:
        factor: Number that a stored value is multiplied by.
        unit: Unit of the product.
        digits: Number of digits after the point.
        bounds: Least and greatest value that the product can have.
    """

    factor: float = 1.0
    unit: str = ""
    digits: int = 2
    bounds: Bounds = (None, None)

    @property
    def in_brackets(self) -> str:
        """The unit as a suffix of a label; empty without a unit."""
        return f" ({self.unit})" if self.unit else ""

    def of(self, value: float | None) -> float | None:
        """Return a stored value in the printed unit."""
        return None if value is None else self.factor * value


POINTS = Scale(100.0, "%", 1, (0.0, 100.0))
"""Shares in percent."""
_SCALES = {
    **dict.fromkeys(PERCENT, POINTS),
    **dict.fromkeys(COUNTS, Scale(digits=0, bounds=(0.0, None))),
    "mape": Scale(unit="%", digits=1, bounds=(0.0, None)),
    **dict.fromkeys(("r2", "r2_log"), Scale(bounds=(None, 1.0))),
    "confidence": Scale(bounds=(0.0, 1.0)),
    "mae": Scale(bounds=(0.0, None)),
}


def scale_of(metric: str) -> Scale:
    """Return the scale of a metric by its name.

    Example:
        >>> scale_of("accuracy")
        Scale(factor=100.0, unit='%', digits=1, bounds=(0.0, 100.0))
        >>> scale_of("r2").digits, scale_of("r2").bounds
        (2, (None, 1.0))
    """
    return _SCALES.get(metric, Scale())


def clipped(value: float, bounds: Bounds) -> float:
    """Return the value, or the bound that it exceeds.

    Example:
        >>> clipped(113.5, (0.0, 100.0)), clipped(-3.0, (None, 1.0))
        (100.0, -3.0)
    """
    low, high = bounds
    value = value if low is None else max(low, value)
    return value if high is None else min(high, value)


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """Return a number with a fixed number of digits, or a dash if it is missing.

    Example:
        >>> number(84.25, 1), number(1.2, 1, signed=True), number(None, 1), number(-0.04, 1)
        ('84.2', '+1.2', '-', '0.0')
        >>> number(12345.0, 0)
        '12,345'
    """
    if value is None or math.isnan(value):
        return ABSENT
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    value = round(value, digits) + 0.0  # turns -0.0 into 0.0
    return f"{value:{'+' if signed and value else ''},.{digits}f}"


def spread(values: Sequence[float | None], metric: str = "accuracy") -> str:
    """Return mean ± standard deviation over seeds in the unit of the metric.

    Example:
        >>> spread([0.8, 0.9]), spread([0.5]), spread([None])
        ('85.0 ± 7.1', '50.0', '-')
        >>> spread([0.25, 0.75], "confidence ratio")
        '0.50 ± 0.35'
    """
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known:
        return ABSENT
    scale = scale_of(metric)
    mean = f"{scale.factor * statistics.fmean(known):.{scale.digits}f}"
    if len(known) == 1:
        return mean
    return f"{mean} ± {scale.factor * statistics.stdev(known):.{scale.digits}f}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> counted(1, "run"), counted(2, "run")
        ('1 run', '2 runs')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(seeds: Sequence[int]) -> str:
    """Return sorted numbers in words; four or more consecutive ones as a range.

    Example:
        >>> listed([0, 1, 2, 3, 4]), listed([0, 1, 7])
        ('0 to 4', '0, 1, 7')
    """
    consecutive = len(seeds) > 3 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if consecutive else ", ".join(map(str, seeds))
