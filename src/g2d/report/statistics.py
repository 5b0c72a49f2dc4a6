"""What may be said about a difference: paired over seeds, with an interval, corrected for how many were looked at.

Two runs of the same seed share their data order and their teachers, so they are compared in pairs: the difference of each seed is one
observation, and Student's t of these observations gives interval and p-value. All comparisons of a table form one family, whose p-values
are corrected by Holm's method: the chance that *any* of them is called a difference where there is none stays below 5 %, whatever the
dependence between them (they share a baseline).

What can be found depends on seeds and on the size of the family. Chance to find a difference of three standard deviations of a run
(simulated, see the tests): one comparison 0.94 with 5 seeds; five comparisons 0.81 with 6; twelve 0.81 with 7 and 0.90 with 8.
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
"""The rate of false alarms per table that is accepted."""


@dataclass(frozen=True)
class Summary:
    """Values of several seeds.

    Args:
        mean: None where there is no value.
        sd: the standard deviation of a sample (n - 1); None below two values.
        n: how many.
    """

    mean: float | None
    sd: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A paired difference to a baseline.

    Args:
        mean: over the seeds that both have.
        n: how many those are.
        low, high: the 95 % interval; None below :data:`MINIMUM_SEEDS`, or where all differences are the same and say nothing about chance.
        p: two-sided, of Student's t; None where there is no interval.
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
        """Whether 0 is excluded after correction."""
        return self.corrected is not None and self.corrected < LEVEL


def summarize(values: Sequence[float | None]) -> Summary:
    """Mean and standard deviation of what is known.

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


def paired_difference(
    values: Mapping[int, float | None], baseline: Mapping[int, float | None]
) -> Difference | None:
    """The difference of values to a baseline, paired by seed; None where they have no seed in common.

    The interval is mean ± t(0.975, n - 1) sd / sqrt(n) of the seeds' differences.

    Args:
        values, baseline: by seed.

    Example:
        >>> found = paired_difference({0: 3.0, 1: 4.0, 2: 6.0}, {0: 1.0, 1: 1.0, 2: 2.0})
        >>> found.mean, found.n, round(found.low, 3), round(found.high, 3), round(found.p, 4)
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
    if n < MINIMUM_SEEDS:
        return Difference(mean, n)
    error = statistics.stdev(differences) / math.sqrt(n)
    if error <= 1e-12 * max(
        1.0, abs(mean)
    ):  # a difference that never varies has no t; one that is always 0 needs none
        return Difference(mean, n, mean, mean, 1.0) if mean == 0 else Difference(mean, n)
    half = float(stdtrit(n - 1, 1 - LEVEL / 2)) * error
    return Difference(
        mean, n, mean - half, mean + half, 2 * float(stdtr(n - 1, -abs(mean) / error))
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction: the i-th smallest of m p-values is multiplied by m - i + 1, and none falls below a smaller one's.

    Those that are None stay None and do not count.

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
    """A family of differences with their corrected p-values."""
    corrected = holm([None if difference is None else difference.p for difference in family])
    return [
        None if difference is None else replace(difference, corrected=p)
        for difference, p in zip(family, corrected, strict=True)
    ]


def compare_all(
    values: Mapping[str, Mapping[int, float | None]], baseline: str
) -> dict[str, Difference | None]:
    """Every row against the baseline's, corrected as one family.

    Args:
        values: per row, by seed.
        baseline: the name of one of them; it gets no difference.
    """
    others = [name for name in values if name != baseline]
    found = correct([paired_difference(values[name], values[baseline]) for name in others])
    return dict(zip(others, found, strict=True))
