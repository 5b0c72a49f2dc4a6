"""Paired differences over seeds, with intervals and corrected p-values.

Two runs of the same seed share their data order and their teachers, so they are compared in pairs:
the difference of each seed is one observation, and Student's t of these observations gives the
interval and the p-value. All comparisons of a table form one family, whose p-values are corrected
by Holm's method: the chance that *any* of them is called a difference although there is none stays
below 5 %, however the comparisons depend on each other (they share a baseline).

The power depends on the number of seeds and on the size of the family. The simulated chance to
detect a difference of three standard deviations of a run is (see the tests): one comparison 0.94
with 5 seeds; five comparisons 0.81 with 6; twelve comparisons 0.81 with 7 and 0.90 with 8.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtr, stdtrit

MINIMUM_SEEDS = 3
"""Fewer pairs give no interval: with two, a 95 % interval is 9 times as wide as their distance."""
LEVEL = 0.05
"""Accepted rate of false alarms per table."""

Values = Mapping[int, float | None]
"""Values by seed."""


@dataclass(frozen=True)
class Summary:
    """Summary of the values of several seeds.

    Args:
        mean: Mean; None without values.
        sd: Standard deviation of the sample (n - 1); None for fewer than two values.
        n: Number of values.
    """

    mean: float | None
    sd: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """Paired difference to a baseline.

    Args:
        mean: Mean over the seeds that both rows have.
        n: Number of these seeds.
        low: Lower end of the 95 % interval; None below :data:`MINIMUM_SEEDS`, or if all
            differences are the same, because they then contain no information about chance.
        high: Upper end of the interval.
        p: Two-sided p-value of Student's t; None without an interval.
        corrected: p after Holm's correction over its family.
    """

    mean: float
    n: int
    low: float | None = None
    high: float | None = None
    p: float | None = None
    corrected: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the corrected test excludes 0."""
        return self.corrected is not None and self.corrected < LEVEL


def summarize(values: Sequence[float | None]) -> Summary:
    """Return mean and standard deviation of the known values.

    Example:
        >>> summarize([1.0, 3.0, None])
        Summary(mean=2.0, sd=1.4142135623730951, n=2)
    """
    known = [value for value in values if value is not None and not math.isnan(value)]
    return Summary(
        statistics.fmean(known) if known else None,
        statistics.stdev(known) if len(known) > 1 else None,
        len(known),
    )


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean, or None for fewer than :data:`MINIMUM_SEEDS` values.

    The interval is mean ± t(0.975, n - 1) sd / sqrt(n).
    """
    n = len(values)
    if n < MINIMUM_SEEDS:
        return None
    mean = statistics.fmean(values)
    half = float(stdtrit(n - 1, 1 - LEVEL / 2)) * statistics.stdev(values) / math.sqrt(n)
    return mean - half, mean + half


def paired_difference(values: Values, baseline: Values) -> Difference | None:
    """Return the difference of values to a baseline, paired by seed.

    The interval is mean ± t(0.975, n - 1) sd / sqrt(n) of the differences of the seeds.

    Args:
        values: Values by seed.
        baseline: Values of the baseline by seed.

    Returns:
        The difference, or None if the two have no seed in common.

    Example:
        >>> d = paired_difference({0: 3.0, 1: 4.0, 2: 6.0}, {0: 1.0, 1: 1.0, 2: 2.0})
        >>> d.mean, d.n, round(d.low, 3), round(d.high, 3), round(d.p, 4)
        (3.0, 3, 0.516, 5.484, 0.0351)
    """
    differences = [
        value - other
        for seed, value in values.items()
        if value is not None and (other := baseline.get(seed)) is not None
    ]
    differences = [difference for difference in differences if not math.isnan(difference)]
    if not differences:
        return None
    mean, n = statistics.fmean(differences), len(differences)
    interval = mean_interval(differences)
    if interval is None:
        return Difference(mean, n)
    error = statistics.stdev(differences) / math.sqrt(n)
    if error <= 1e-12 * max(1.0, abs(mean)):
        # A difference that never varies has no t; one that is always 0 needs none.
        return Difference(mean, n, mean, mean, 1.0) if mean == 0 else Difference(mean, n)
    return Difference(mean, n, *interval, 2 * float(stdtr(n - 1, -abs(mean) / error)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values by Holm's step-down method.

    The i-th smallest of m p-values is multiplied by m - i + 1, and no corrected value is below
    that of a smaller one. Values that are None stay None and are not counted.

    Example:
        >>> holm([0.01, 0.04, None, 0.03])
        [0.03, 0.06, None, 0.06]
    """
    order = sorted(
        (i for i, p in enumerate(p_values) if p is not None), key=lambda i: p_values[i] or 0.0
    )
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * (p_values[i] or 0.0)))
        corrected[i] = largest
    return corrected


def correct(family: Sequence[Difference | None]) -> list[Difference | None]:
    """Return a family of differences with corrected p-values."""
    corrected = holm([None if difference is None else difference.p for difference in family])
    return [
        None if difference is None else replace(difference, corrected=p)
        for difference, p in zip(family, corrected, strict=True)
    ]


def compare_all(values: Mapping[str, Values], baseline: str) -> dict[str, Difference | None]:
    """Compare every row with the baseline and correct the comparisons as one family.

    Args:
        values: Values by row, and within a row by seed.
        baseline: Name of the row that the others are compared with.

    Returns:
        The difference of every other row.
    """
    others = [name for name in values if name != baseline]
    family = correct([paired_difference(values[name], values[baseline]) for name in others])
    return dict(zip(others, family, strict=True))
