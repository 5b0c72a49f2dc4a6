"""Sentences about results; each of them can be verified in a table of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from g2d.report.formatting import counted, listed, number, scale_of
from g2d.report.lines import CONTROL, CONTROLS, LINEAR, RUN, TEACHER, Group, differences_to
from g2d.report.statistics import (
    LEVEL,
    MINIMUM_SEEDS,
    Difference,
    Values,
    paired_difference,
    summarize,
)
from g2d.runs import RunRecord

SHARES_OF_ROWS = ("accuracy", "subset_accuracy")
"""Metrics that are a share of right rows."""
SUPPRESSED = 0.9
"""A modality is called suppressed if its own logits reach less than this share of its teacher's
score."""


def run_words(group: Group) -> list[str]:
    """Return sentences about one run: its score, its suppressed modalities, and its controls.

    Args:
        group: A group of one run.
    """
    metric, run = group.metric, group.runs[0]
    if run.result.fit is not None:
        return [run.result.fit.paragraph]
    fused = run.fused(metric)
    sentences = [
        f"All modalities together reach a test {metric} of {_score(fused, metric)} (epoch "
        f"{run.result.selected_epoch} of {run.result.epochs}, seed {run.seed})."
    ]
    sentences += _suppressed(group, run.name)
    controls = {line.name: _mean(line.fused) for line in group.lines if line.kind == CONTROL}
    better = [
        f"{name} {_score(value, metric)}"
        for name, value in controls.items()
        if value is not None and fused is not None and value > fused
    ]
    if better:
        sentences.append(f"Controls that need no multimodal training reach more: {_and(better)}.")
    elif controls:
        sentences.append("No control without multimodal training reaches more.")
    return [*sentences, *_against_linear(group)]


def comparison_words(group: Group, baseline: str | None = None) -> list[str]:
    """Return sentences about a comparison: highest mean, differences, suppressed modalities.

    Args:
        group: Runs on one problem.
        baseline: Name of a row; by default that of plain joint training.
    """
    metric, base = group.metric, group.baseline(baseline)
    means = {line.name: value for line in group.lines if (value := _mean(line.fused)) is not None}
    if not means:
        return []
    kinds = {line.name: line.kind for line in group.lines}
    best = max(means, key=means.__getitem__)
    trained = [name for name in means if kinds[name] == RUN]
    highest = f"Highest mean: {best}, {_score(means[best], metric)}."
    if kinds[best] == CONTROL and trained:
        student = max(trained, key=means.__getitem__)
        highest = (
            f"The highest mean is that of a control, {best}, {_score(means[best], metric)}; the "
            f"highest of the trained recipes is {student}, {_score(means[student], metric)}."
        )
    sentences = [f"{highest} A highest mean alone is no evidence."]
    if base is not None:
        sentences += _against(differences_to(group.lines, base), base, metric)
        sentences += _suppressed(group, base)
    sentences += _against_linear(group)
    if any(run.result.selected_on_test for run in group.runs):
        sentences.append(
            "Rows marked (*) selected their epoch on the test split; their values are too good."
        )
    return sentences


def seeds_words(runs: Sequence[RunRecord]) -> str:
    """Return the number of runs and recipes, and the seeds.

    Args:
        runs: At least one run.
    """
    recipes, seeds = len({run.name for run in runs}), sorted({run.seed for run in runs})
    plural = "s" if len(seeds) > 1 else ""
    return (
        f"{counted(len(runs), 'run')} of {counted(recipes, 'recipe')}, seed{plural} {listed(seeds)}"
    )


def _against(differences: Mapping[str, Difference | None], base: str, metric: str) -> list[str]:
    """Return a sentence about the differences to the baseline."""
    tested = {name: d for name, d in differences.items() if d is not None and d.p is not None}
    if not tested:
        few = f"Fewer than {MINIMUM_SEEDS} seeds: differences to {base} have no interval"
        return [f"{few}, and nothing can be claimed."] if differences else []
    significant = {name: d for name, d in tested.items() if d.significant}
    sentence = (
        f"Of {counted(len(tested), 'difference')} to {base}, {len(significant)} "
        f"{'is' if len(significant) == 1 else 'are'} significant after correction (p < {LEVEL})"
    )
    for word, sign in (("better", 1), ("worse", -1)):
        named = [_change(name, d, metric) for name, d in significant.items() if sign * d.mean > 0]
        sentence += f"; {word}: {_and(named)}" if named else ""
    rest = len(tested) - len(significant)
    undecided = f" {rest} {'remains' if rest == 1 else 'remain'} undecided with these seeds."
    return [f"{sentence}.{undecided if rest else ''}"]


def _against_linear(group: Group) -> list[str]:
    """Return a sentence if the best trained row is not clearly above the linear model."""
    metric = group.metric
    linear = next((line for line in group.lines if line.name == CONTROLS[LINEAR]), None)
    trained = {
        line.name: mean
        for line in group.lines
        if line.kind == RUN and (mean := _mean(line.fused)) is not None
    }
    if linear is None or not trained or (reached := _mean(linear.fused)) is None:
        return []
    best = max(trained, key=trained.__getitem__)
    own = next(line.fused for line in group.lines if line.name == best)
    lead = _lead(own, linear.fused, group)
    if lead is None or lead > 0:
        return []
    return [
        f"{best}, the best trained row, is not clearly above the {linear.name}: "
        f"{_score(trained[best], metric)} against {_score(reached, metric)}. Repair the encoders, "
        "the training or the data before methods are compared."
    ]


def _lead(own: Values, other: Values, group: Group) -> float | None:
    """Return the lower end of the 95 % interval of a lead.

    It comes from the seeds that both have; of fewer than :data:`MINIMUM_SEEDS`, for shares of right
    rows, from the standard error over the independent groups of test rows. None if neither can be
    computed.
    """
    difference = paired_difference(own, other)
    if difference is None:
        return None
    if difference.low is not None or difference.n >= MINIMUM_SEEDS:
        return difference.mean if difference.low is None else difference.low
    groups = group.runs[0].result.test.groups
    shares = [_mean(own), _mean(other)]
    if group.metric not in SHARES_OF_ROWS or not groups:
        return None
    variances = [(share or 0.0) * (1 - (share or 0.0)) / groups for share in shares]
    return difference.mean - 1.96 * math.sqrt(sum(variances))


def _suppressed(group: Group, name: str) -> list[str]:
    """Return a sentence about modalities that a model uses less than their teachers do.

    Where a diagnosis judges them with intervals, its verdict on the same page is the only one.
    """
    teachers = next((line for line in group.lines if line.kind == TEACHER), None)
    line = next((line for line in group.lines if line.name == name), None)
    if teachers is None or line is None:
        return []
    if any(run.analysis is not None and run.analysis.modalities for run in line.runs):
        return []
    metric = group.metric
    pairs = {
        m: (own, alone)
        for m in group.modalities
        if (own := _mean(line.unimodal.get(m, {}))) is not None
        and (alone := _mean(teachers.unimodal[m])) is not None
    }
    low = [
        f"{m} at {_score(own, metric)} (its teacher alone: {_score(alone, metric)})"
        for m, (own, alone) in pairs.items()
        if alone > 0 and own < SUPPRESSED * alone
    ]
    if not pairs:
        return []
    if low:
        return [f"{name} leaves {_and(low)}."]
    return [f"{name} leaves no modality clearly below what its teacher learns alone."]


def _mean(values: Values) -> float | None:
    return summarize(list(values.values())).mean


def _score(value: float | None, metric: str) -> str:
    scale = scale_of(metric)
    text = number(scale.of(value), scale.digits)
    return f"{text} {scale.unit}" if scale.unit else text


def _change(name: str, difference: Difference, metric: str) -> str:
    scale = scale_of(metric)
    return f"{name} ({number(scale.of(difference.mean), scale.digits, signed=True)})"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
