"""The table of a comparison: everything that ran on one problem.

Rows are compared in pairs over seeds, and the comparisons of a table are corrected together
(:mod:`g2d.report.statistics`). Only what the corrected test separates from the baseline is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from g2d.report.formatting import Scale, counted, listed, scale_of
from g2d.report.lines import Group, Line, differences_to
from g2d.report.statistics import MINIMUM_SEEDS, Difference, Values, summarize
from g2d.report.tables import BETTER, TEST_SELECTED, WORSE, Cell, Column, Row, Table
from g2d.runs import DataFacts, RunRecord

COSTS: dict[str, tuple[Column, float]] = {
    "seconds": (Column("training", "s", group="cost"), 1.0),
    "teacher_seconds": (Column("its teachers", "s", group="cost"), 1.0),
    "flops_per_step": (Column("operations per step", "GFLOP", digits=2, group="cost"), 1e-9),
    "encoder_forward": (Column("forward passes", digits=0, group="cost"), 1.0),
    "encoder_backward": (Column("backward passes", digits=0, group="cost"), 1.0),
    "updates": (Column("updates", digits=0, group="cost"), 1.0),
}
"""Columns of cost, and the factor of their unit."""
OTHER_METRICS = {
    "r2": ("r2_log", "mape", "mae"),
    "micro_f1": ("macro_f1", "mean_average_precision", "subset_accuracy"),
}
"""Further metrics that are shown, by headline metric."""
INTERACTION_NOTE = (
    "Interaction not tested by {}: a prediction that is a sum of one part per modality cannot "
    "represent what modalities show only together. A row of joint training with fusion film, mlp "
    "or cross_attention tests it (--controls full)."
)
Cells = tuple[Column, list[Cell]]
"""A column with a cell per row."""


@dataclass(frozen=True)
class Reference:
    """Values of a publication that are shown next to measured ones.

    Args:
        value: Returns the value for a run and a metric in the printed unit, or None.
        note: Sentence that explains the values.
    """

    value: Callable[[RunRecord, str], float | None] = lambda run, metric: None
    note: str = ""


NO_REFERENCE = Reference()


def comparison_table(
    group: Group, baseline: str | None = None, reference: Reference = NO_REFERENCE
) -> Table:
    """Return fused and unimodal test scores, differences to a baseline, ratios and cost.

    Args:
        group: Runs on one problem.
        baseline: Name of a row; by default that of plain joint training.
        reference: Published values.
    """
    metric, lines = group.metric, group.lines
    scale, base = scale_of(metric), group.baseline(baseline)
    differences = differences_to(lines, base)
    fused = [cell(line.fused, scale, difference=differences.get(line.name)) for line in lines]
    columns: list[Cells] = [(Column("fused", scale.unit, scale.digits, group="fused"), fused)]
    if base is not None:
        columns += _difference_columns(base, scale, [differences.get(line.name) for line in lines])
    published = [reference.value(line.runs[0], metric) if line.runs else None for line in lines]
    columns.append((Column("published", scale.unit, 2, group="fused"), [*map(Cell, published)]))
    columns += _other_metrics(group)
    for m in group.modalities:
        column = Column(m, scale.unit, scale.digits, group="unimodal")
        columns.append((column, [cell(line.unimodal.get(m, {}), scale) for line in lines]))
    for m in group.modalities:
        column = Column(f"confidence ratio {m}", digits=2, group="ratio")
        columns.append((column, [cell(line.ratio.get(m, {}), Scale()) for line in lines]))
    for key, (column, factor) in COSTS.items():
        cells = [cell(line.cost.get(key, {}), Scale(factor), spread=False) for line in lines]
        columns.append((column, cells))
    kept = [(column, cells) for column, cells in columns if any(c.value is not None for c in cells)]
    rows = tuple(
        Row(line.name, tuple(cells[i] for _, cells in kept), _row_marks(line), line.kind)
        for i, line in enumerate(lines)
    )
    notes = [
        *protocol_notes(group),
        *difference_notes(differences, base),
        *interaction_notes(group),
    ]
    if any(value is not None for value in published):
        notes.append(reference.note)
    return Table(title_of(group), tuple(column for column, _ in kept), rows, tuple(notes))


def title_of(group: Group) -> str:
    """Return what is measured, on which data, over which seeds."""
    data, seeds, metric = group.data, group.seeds, group.metric
    over = over_seeds(seeds) if len(seeds) > 1 else f"seed {seeds[0]}"
    unit = " in %" if scale_of(metric).unit else ""
    return f"{data.name}, {data.protocol}: test {metric}{unit}, {over}"


def over_seeds(seeds: Sequence[int]) -> str:
    """Return the part of a title that names statistics and seeds."""
    return f"mean ± standard deviation over seeds {listed(seeds)}"


def cautions(data: DataFacts) -> list[str]:
    """Return the sentences that belong to every number that was measured on some data."""
    sentences = [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in data.cautions]
    if data.partial:
        sentences.insert(
            0,
            f"Partial data: {data.kept:,} of {data.expected:,} samples. Compare only results "
            "with the same data hash.",
        )
    return sentences


def protocol_notes(group: Group) -> list[str]:
    """Return the notes on protocol, selection rule and data."""
    data, metric = group.data, group.runs[0].result.selection_metric
    on_test = [run.result.selected_on_test for run in group.runs]
    selection = "validation (the last one of equal epochs), and the test split is opened once"
    if all(on_test):
        selection = "the test split (the last one of equal epochs)"
    notes = [
        f"Protocol {data.protocol} (data {data.content_hash[:12]}, split "
        f"{data.protocol_hash[:12]}): the epoch is selected by {metric} on {selection}.",
        *cautions(data),
    ]
    if any(on_test):
        notes.append(
            "(*) selected on the test split: its value is too good to be compared with others."
        )
    return notes


def difference_notes(
    differences: Mapping[str, Difference | None], baseline: str | None
) -> list[str]:
    """Return the notes on differences, and what their marks mean."""
    known = [difference for difference in differences.values() if difference is not None]
    tested = sum(difference.p is not None for difference in known)
    notes = []
    if tested:
        notes.append(
            f"Differences to {baseline} are paired by seed, with a 95 % interval of Student's t; "
            f"p is corrected for {counted(tested, 'comparison')} (Holm). ↑ better, ↓ worse: "
            "corrected p < 0.05. Nothing else is bold."
        )
    if any(difference.n < MINIMUM_SEEDS for difference in known):
        notes.append(
            f"Fewer than {MINIMUM_SEEDS} seeds in common with the baseline: no interval, no p, "
            "no claim."
        )
    return notes


def interaction_notes(group: Group) -> list[str]:
    """Return the note on predictions that cannot represent an interaction of modalities."""
    if len(group.modalities) < 2:
        return []
    sums = [
        line.name
        for line in group.lines
        if line.runs and all(run.result.additive for run in line.runs)
    ]
    return [INTERACTION_NOTE.format(", ".join(sums))] if sums else []


def cell(
    values: Values, scale: Scale, *, difference: Difference | None = None, spread: bool = True
) -> Cell:
    """Return mean and standard deviation over seeds, marked by a significant difference.

    Args:
        values: Stored values by seed.
        scale: Scale of the column.
        difference: Difference of the row to the baseline.
        spread: Whether the standard deviation is part of the cell.
    """
    summary = summarize(list(values.values()))
    if summary.mean is None:
        return Cell()
    sd = scale.of(summary.sd) if spread else None
    return Cell(scale.of(summary.mean), sd, summary.n, marks=_marks(difference))


def difference_cells(difference: Difference | None, scale: Scale) -> tuple[Cell, Cell]:
    """Return a difference with its interval, and its corrected p-value."""
    if difference is None:
        return Cell(), Cell()
    p = difference.corrected
    value = Cell(
        scale.of(difference.mean),
        n=difference.n,
        low=scale.of(difference.low),
        high=scale.of(difference.high),
        p=p,
        marks=_marks(difference),
    )
    return value, Cell(None if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001")


def difference_column(name: str, scale: Scale, group: str = "difference") -> Column:
    """Return the column of a difference."""
    unit = "points" if scale.unit else ""
    return Column(name, unit, scale.digits, signed=True, group=group)


def _difference_columns(
    base: str, scale: Scale, differences: Sequence[Difference | None]
) -> list[Cells]:
    pairs = [difference_cells(difference, scale) for difference in differences]
    return [
        (difference_column(f"difference to {base}", scale), [pair[0] for pair in pairs]),
        (Column("p", group="difference"), [pair[1] for pair in pairs]),
    ]


def _other_metrics(group: Group) -> Iterator[Cells]:
    """Yield the columns of the other metrics of a regression, or of several labels per row."""
    for metric in OTHER_METRICS.get(group.metric, ()):
        if metric in group.runs[0].result.test.fused:
            scale = scale_of(metric)
            cells = [cell(line.fused, scale) for line in group.under(metric)]
            yield Column(metric, scale.unit, group="fused"), cells


def _row_marks(line: Line) -> tuple[str, ...]:
    return (TEST_SELECTED,) if line.selected_on_test else ()


def _marks(difference: Difference | None) -> tuple[str, ...]:
    if difference is None or not difference.significant:
        return ()
    return (BETTER if difference.mean > 0 else WORSE,)
