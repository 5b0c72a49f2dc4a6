"""Tables from run folders: the comparison of everything, and the layouts of the paper's Tables 1-7.

All of them compare in pairs over seeds and correct for the number of comparisons in the table (:mod:`g2d.report.statistics`);
nothing is marked, and so nothing is bold, unless the corrected test excludes that there is no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from g2d.report.formatting import Scale, scale_of
from g2d.report.published import NOTE, published
from g2d.report.statistics import MINIMUM_SEEDS, Difference, compare_all, summarize
from g2d.report.tables import BETTER, TEST_SELECTED, WORSE, Cell, Column, Row, Table
from g2d.runs import DataFacts, Result, RunRecord, grouped

Values = dict[int, float | None]
"""One value per seed."""
BASELINES = ("joint",)
"""Methods that others are compared with where no baseline is named: plain joint training."""
CONTROLS = {
    "best_teacher": "best teacher",
    "ensemble": "teacher ensemble",
    "ensemble_calibrated": "teacher ensemble, calibrated",
}
"""What a result holds under ``controls``, and what its rows are called."""
TEACHERS = "teachers alone"


@dataclass(frozen=True)
class Line:
    """A row in the making: values by seed."""

    name: str
    kind: str
    fused: Values = field(default_factory=dict)
    unimodal: dict[str, Values] = field(default_factory=dict)
    ratio: dict[str, Values] = field(default_factory=dict)
    cost: dict[str, Values] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    runs: tuple[RunRecord, ...] = ()


COSTS: dict[str, tuple[Column, float]] = {
    "seconds": (Column("training", "s", group="cost"), 1.0),
    "teacher_seconds": (Column("its teachers", "s", group="cost"), 1.0),
    "flops_per_step": (Column("operations per step", "GFLOP", digits=2, group="cost"), 1e-9),
    "encoder_forward": (Column("forward passes", digits=0, group="cost"), 1.0),
    "encoder_backward": (Column("backward passes", digits=0, group="cost"), 1.0),
    "updates": (Column("updates", digits=0, group="cost"), 1.0),
}
"""Columns of what a run cost, and what a stored value is multiplied by."""


def lines(runs: Sequence[RunRecord], metric: str) -> list[Line]:
    """Teachers first, then every recipe in the order given, then the controls.

    Args:
        runs: of one problem.
        metric: which test metric.
    """
    modalities = runs[0].modalities
    taught = _one_per_teacher_seed(runs, "teachers")
    controlled = _one_per_teacher_seed(runs, "controls")
    found = []
    if taught:
        alone = {
            m: {seed: result.teachers[m].test.get(metric) for seed, result in taught.items()}
            for m in modalities
        }
        seconds: Values = {seed: result.cost.teacher_seconds for seed, result in taught.items()}
        found.append(
            Line(
                TEACHERS,
                "teacher",
                unimodal=alone,
                ratio={m: {0: 1.0} for m in modalities},
                cost={"teacher_seconds": seconds},
            )
        )
    for name, same in grouped(runs)[0].recipes.items():
        found.append(
            Line(
                name,
                "run",
                {run.seed: run.fused(metric) for run in same},
                {m: {run.seed: run.unimodal(m, metric) for run in same} for m in modalities},
                {m: {run.seed: _ratio(run, taught, m) for run in same} for m in modalities},
                {key: {run.seed: _cost(run.result, key) for run in same} for key in COSTS},
                (TEST_SELECTED,) if any(selected_on_test(run) for run in same) else (),
                tuple(same),
            )
        )
    for key, name in CONTROLS.items():
        if controlled:
            values = {
                seed: result.controls[key].test.get(metric) if key in result.controls else None
                for seed, result in controlled.items()
            }
            cost: Values = {
                seed: result.cost.teacher_seconds for seed, result in controlled.items()
            }
            found.append(Line(name, "control", values, cost={"teacher_seconds": cost}))
    return found


def comparison_table(runs: Sequence[RunRecord], baseline: str | None = None) -> Table:
    """Everything that ran on one problem: fused and per-modality test scores, differences to a baseline, confidence ratios, cost.

    Args:
        runs: of one problem.
        baseline: the name of a row; by default joint training, where it is among them.
    """
    metric, modalities = runs[0].headline, runs[0].modalities
    scale, shown = scale_of(metric), lines(runs, metric)
    base = baseline_of(shown, baseline)
    differences = _differences(shown, base)
    columns: list[tuple[Column, list[Cell]]] = []
    fused = Column("fused", scale.unit, scale.digits, group="fused")
    columns.append(
        (fused, [cell(line.fused, scale, difference=differences.get(line.name)) for line in shown])
    )
    if base is not None:
        columns += _difference_columns(
            f"difference to {base}", scale, [differences.get(line.name) for line in shown]
        )
    columns += _published_column(shown, metric)
    if metric != "accuracy":
        others = [name for name in ("mape", "mae") if name in runs[0].result.test.fused]
        for other in others:
            by_name = {line.name: line for line in lines(runs, other)}
            columns.append(
                (
                    Column(other, scale_of(other).unit, group="fused"),
                    [cell(by_name[line.name].fused, scale_of(other)) for line in shown],
                )
            )
    columns += [
        (
            Column(m, scale.unit, scale.digits, group="unimodal"),
            [cell(line.unimodal.get(m, {}), scale) for line in shown],
        )
        for m in modalities
    ]
    ratio = Scale()
    columns += [
        (
            Column(f"confidence ratio {m}", digits=2, group="ratio"),
            [cell(line.ratio.get(m, {}), ratio) for line in shown],
        )
        for m in modalities
    ]
    for key, (column, factor) in COSTS.items():
        columns.append(
            (column, [cell(line.cost.get(key, {}), Scale(factor), spread=False) for line in shown])
        )
    kept = [
        (column, cells)
        for column, cells in columns
        if any(found.value is not None for found in cells)
    ]
    rows = tuple(
        Row(line.name, tuple(cells[i] for _, cells in kept), line.marks, line.kind)
        for i, line in enumerate(shown)
    )
    return Table(
        title_of(runs, metric),
        tuple(column for column, _ in kept),
        rows,
        notes_of(runs, differences, base),
    )


def title_of(runs: Sequence[RunRecord], metric: str) -> str:
    """What is measured, on which data, over which seeds."""
    data, seeds = runs[0].result.data, sorted({run.seed for run in runs})
    over = (
        f"mean ± standard deviation over seeds {listed(seeds)}"
        if len(seeds) > 1
        else f"seed {seeds[0]}"
    )
    return f"{data.name}, {data.protocol}: test {metric}{' in %' if scale_of(metric).unit else ''}, {over}"


def cautions(data: DataFacts) -> list[str]:
    """What must stand beside every figure that was measured on the data: how much of them there is, and what their makers did."""
    partial = (
        [
            f"Partial data: {data.kept:,} of {data.expected:,} samples. Only results of the same data hash compare."
        ]
        if data.partial
        else []
    )
    return [
        *partial,
        *(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in data.cautions),
    ]


def notes_of(
    runs: Sequence[RunRecord],
    differences: dict[str, Difference | None] | None = None,
    baseline: str | None = None,
) -> tuple[str, ...]:
    """Protocol, selection rule, and what the marks mean."""
    data, on_test = runs[0].result.data, [run for run in runs if selected_on_test(run)]
    chosen = f"the epoch is selected by {runs[0].result.selection_metric} on validation, the later one of equals, and the test split is opened once"
    notes = [
        f"Protocol {data.protocol} (data {data.content_hash[:12]}, split {data.protocol_hash[:12]}): {chosen}."
    ]
    notes += cautions(data)
    if on_test:
        notes.append(
            "(*) selected on the test split: its value is too good to be compared with others."
        )
    found = {
        name: difference
        for name, difference in (differences or {}).items()
        if difference is not None
    }
    if baseline is not None and found:
        tested = [difference for difference in found.values() if difference.p is not None]
        if tested:
            notes.append(
                f"Differences to {baseline} are paired by seed, with a 95 % interval of Student's t; p is corrected "
                f"for {counted(len(tested), 'comparison')} (Holm). "
                "↑ better, ↓ worse: corrected p < 0.05. Nothing else is bold."
            )
        if any(difference.n < MINIMUM_SEEDS for difference in found.values()):
            notes.append(
                f"Fewer than {MINIMUM_SEEDS} seeds in common with the baseline: no interval, no p, no claim."
            )
    if any(
        published(protocol_of(run), run.result.method, run.headline) is not None for run in runs
    ):
        notes.append(NOTE)
    return tuple(notes)


def baseline_of(shown: Sequence[Line], name: str | None) -> str | None:
    """The row that others are compared with: the one named, where it is among them, else plain joint training; None where neither is."""
    if any(line.name == name and line.fused for line in shown):
        return name
    plain = [
        line.name for line in shown if line.runs and all(is_plain_joint(run) for run in line.runs)
    ]
    return plain[0] if plain else None


def is_plain_joint(run: RunRecord) -> bool:
    """Joint training from scratch, of which nothing is held back."""
    return run.result.method in BASELINES and not (
        run.recipe.get("warm_start") or run.recipe.get("stack") or modulation_of(run)
    )


def selected_on_test(run: RunRecord) -> bool:
    return bool(run.result.select_on == "test")


def protocol_of(run: RunRecord) -> str:
    return str(run.result.data.protocol)


def cell(
    values: Values, scale: Scale, *, difference: Difference | None = None, spread: bool = True
) -> Cell:
    """Mean and standard deviation over seeds, in the unit shown, marked where it differs from the baseline."""
    found = summarize(list(values.values()))
    if found.mean is None:
        return Cell()
    sd = scale.factor * found.sd if spread and found.sd is not None else None
    return Cell(scale.factor * found.mean, sd, found.n, marks=_marks(difference))


def difference_cells(difference: Difference | None, scale: Scale) -> tuple[Cell, Cell]:
    """The difference with its interval, and its corrected p-value."""
    if difference is None:
        return Cell(), Cell()
    low, high = (
        None if end is None else scale.factor * end for end in (difference.low, difference.high)
    )
    shown = Cell(
        scale.factor * difference.mean,
        None,
        difference.n,
        low,
        high,
        difference.corrected,
        _marks(difference),
    )
    return shown, Cell(
        None
        if difference.corrected is None
        else f"{difference.corrected:.3f}"
        if difference.corrected >= 0.001
        else "<0.001"
    )


def listed(seeds: Sequence[int]) -> str:
    """Numbers in words: runs of neighbours are shortened.

    Example:
        >>> listed([0, 1, 2, 3, 4]), listed([0, 1, 7])
        ('0 to 4', '0, 1, 7')
    """
    neighbors = len(seeds) > 3 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if neighbors else ", ".join(map(str, seeds))


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _differences(shown: Sequence[Line], base: str | None) -> dict[str, Difference | None]:
    return (
        {}
        if base is None
        else compare_all({line.name: line.fused for line in shown if line.fused}, base)
    )


def _difference_columns(
    name: str, scale: Scale, found: Sequence[Difference | None]
) -> list[tuple[Column, list[Cell]]]:
    pairs = [difference_cells(difference, scale) for difference in found]
    column = Column(
        name, "points" if scale.unit else "", scale.digits, signed=True, group="difference"
    )
    return [
        (column, [pair[0] for pair in pairs]),
        (Column("p", group="difference"), [pair[1] for pair in pairs]),
    ]


def _published_column(shown: Sequence[Line], metric: str) -> list[tuple[Column, list[Cell]]]:
    known = [
        published(protocol_of(line.runs[0]), line.runs[0].result.method, metric)
        if line.runs
        else None
        for line in shown
    ]
    return [
        (
            Column("published", scale_of(metric).unit, 2, group="fused"),
            [Cell(value) for value in known],
        )
    ]


def _marks(difference: Difference | None) -> tuple[str, ...]:
    if difference is None or not difference.significant:
        return ()
    return (BETTER if difference.mean > 0 else WORSE,)


def modulation_of(run: RunRecord) -> dict[str, Any]:
    """What is laid over a method, by the recipe; empty where nothing is."""
    return run.recipe.get("method", {}).get("modulation") or {}


def _cost(result: Result, key: str) -> float | None:
    """A number of a result's cost; passes are summed over modalities."""
    if key in ("encoder_forward", "encoder_backward"):
        passes = result.cost.passes.get(key)
        return None if passes is None else float(sum(passes.values()))
    value: float | None = getattr(result.cost, key)
    return value


def _ratio(run: RunRecord, taught: dict[int, Result], modality: str) -> float | None:
    """The student's mean confidence from a modality over that of its teacher; teachers of the same seed lend theirs to runs without any."""
    own = run.result if run.result.teachers else taught.get(run.result.teacher_seed)
    confidence = run.unimodal(modality, "confidence")
    return (
        None
        if own is None or confidence is None
        else confidence / float(own.teachers[modality].confidence["test"])
    )


def _one_per_teacher_seed(runs: Sequence[RunRecord], key: str) -> dict[int, Result]:
    """The first result of every teacher seed that has something: teachers and controls are the same in all runs of a seed."""
    found: dict[int, Result] = {}
    for run in runs:
        if getattr(run.result, key):
            found.setdefault(run.result.teacher_seed, run.result)
    return found
