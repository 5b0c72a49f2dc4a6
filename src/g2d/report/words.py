"""What happened, in sentences: each of them can be read off a table of the page."""

from __future__ import annotations

from collections.abc import Sequence

from g2d.report.formatting import number, scale_of
from g2d.report.layouts import Line, baseline_of, counted, lines, listed
from g2d.report.statistics import LEVEL, MINIMUM_SEEDS, Difference, compare_all, summarize
from g2d.runs import RunRecord

SUPPRESSED = 0.9
"""A modality is called held back where its own logits reach less than this share of its teacher's score."""


def run_words(run: RunRecord) -> list[str]:
    """One run: how good, which modality is held back, whether the free controls do better, and what was in doubt."""
    metric = run.headline
    fused = run.fused(metric)
    when = f"epoch {run.result.selected_epoch} of {run.result.epochs}, seed {run.seed}"
    said = [f"All modalities together reach a test {metric} of {_shown(fused, metric)} ({when})."]
    shown = lines([run], metric)
    said += _held_back(shown, run.name, run.modalities, metric)
    better = [
        (line.name, value)
        for line in shown
        if line.kind == "control"
        and (value := _mean(line)) is not None
        and fused is not None
        and value > fused
    ]
    if better:
        said.append(
            f"Controls that need no multimodal training reach more: {_and([f'{name} {_shown(value, metric)}' for name, value in better])}."
        )
    elif any(line.kind == "control" for line in shown):
        said.append("No control that is free once there are teachers reaches more.")
    return said


def comparison_words(runs: Sequence[RunRecord], baseline: str | None = None) -> list[str]:
    """One problem of a comparison: who is highest, what stands against the baseline after correction, which modality is held back."""
    metric, shown = runs[0].headline, lines(runs, runs[0].headline)
    scored = [(line, value) for line in shown if line.fused and (value := _mean(line)) is not None]
    if not scored:
        return []
    base = baseline_of(shown, baseline)
    best, value = max(scored, key=lambda pair: pair[1])
    trained = [pair for pair in scored if pair[0].kind == "run"]
    said = [f"Highest mean: {best.name}, {_shown(value, metric)}."]
    if best.kind == "control" and trained:
        student, reached = max(trained, key=lambda pair: pair[1])
        said[0] = f"The highest mean is that of a control, {best.name}, {_shown(value, metric)}; "
        said[0] += f"the highest of what was trained is {student.name}, {_shown(reached, metric)}."
    said[0] += " A highest mean alone claims nothing."
    if base is not None:
        said += _against(
            compare_all({line.name: line.fused for line in shown if line.fused}, base), base, metric
        )
        said += _held_back(shown, base, runs[0].modalities, metric)
    if any(run.result.select_on == "test" for run in runs):
        said.append(
            "Rows marked (*) selected their epoch on the test split; their values are too good."
        )
    return said


def _against(found: dict[str, Difference | None], base: str, metric: str) -> list[str]:
    tested = {
        name: difference
        for name, difference in found.items()
        if difference is not None and difference.p is not None
    }
    if not tested:
        return (
            [
                f"Fewer than {MINIMUM_SEEDS} seeds: differences to {base} have no interval, and nothing can be claimed."
            ]
            if found
            else []
        )
    up = [
        _difference(name, d, metric) for name, d in tested.items() if d.significant and d.mean > 0
    ]
    down = [
        _difference(name, d, metric) for name, d in tested.items() if d.significant and d.mean < 0
    ]
    rest = len(tested) - len(up) - len(down)
    said = f"Of {counted(len(tested), 'difference')} to {base}, {len(up) + len(down)} stand after correction (p < {LEVEL})"
    said += f"; better: {_and(up)}" if up else ""
    said += f"; worse: {_and(down)}" if down else ""
    return [
        f"{said}."
        + (f" {rest} {'is' if rest == 1 else 'are'} left undecided by these seeds." if rest else "")
    ]


def _held_back(
    shown: Sequence[Line], name: str, modalities: Sequence[str], metric: str
) -> list[str]:
    """Modalities that a model leaves below what their teachers learn alone."""
    teachers = next((line.unimodal for line in shown if line.kind == "teacher"), None)
    line = next((line for line in shown if line.name == name), None)
    if teachers is None or line is None:
        return []
    pairs = [
        (
            m,
            summarize(list(line.unimodal.get(m, {}).values())).mean,
            summarize(list(teachers[m].values())).mean,
        )
        for m in modalities
    ]
    known = [(m, own, taught) for m, own, taught in pairs if own is not None and taught is not None]
    low = [
        f"{m} at {_shown(own, metric)} (its teacher alone: {_shown(taught, metric)})"
        for m, own, taught in known
        if taught > 0 and own < SUPPRESSED * taught
    ]
    if not known:
        return []
    return [
        f"{name} leaves {_and(low)}."
        if low
        else f"{name} leaves no modality clearly below what its teacher learns alone."
    ]


def seeds_words(runs: Sequence[RunRecord]) -> str:
    """How many runs of what.

    Raises:
        IndexError: there is none.
    """
    recipes, seeds = len({run.name for run in runs}), sorted({run.seed for run in runs})
    return f"{counted(len(runs), 'run')} of {counted(recipes, 'recipe')}, seed{'s' if len(seeds) > 1 else ''} {listed(seeds)}"


def _mean(line: Line) -> float | None:
    return summarize(list(line.fused.values())).mean


def _shown(value: float | None, metric: str) -> str:
    scale = scale_of(metric)
    return number(None if value is None else scale.factor * value, scale.digits) + (
        f" {scale.unit}" if scale.unit else ""
    )


def _difference(name: str, difference: Difference, metric: str) -> str:
    scale = scale_of(metric)
    return f"{name} ({number(scale.factor * difference.mean, scale.digits, signed=True)})"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
