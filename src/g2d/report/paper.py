"""The layouts of the paper's Tables 1-7, and the choice among all layouts.

Tables 1 and 2 put methods in rows and, per data set, every modality and the fused prediction in columns; Table 3 does so for regression.
Tables 4-6 cross two properties of a recipe (objective and SMP, fusion and method, data set and kind of suppression) and compare along the
columns; Table 7 has a row per schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from g2d.errors import ArgumentError
from g2d.report.formatting import scale_of
from g2d.report.layouts import (
    Line,
    Values,
    baseline_of,
    cell,
    comparison_table,
    counted,
    difference_cells,
    is_plain_joint,
    lines,
    listed,
    modulation_of,
    notes_of,
    protocol_of,
    title_of,
)
from g2d.report.published import NOTE, PARTIAL, published, published_schedule
from g2d.report.statistics import compare_all, correct, paired_difference
from g2d.report.tables import Cell, Column, Row, Table
from g2d.runs import RunRecord, grouped

Problems = Sequence[Sequence[RunRecord]]
"""Runs of one problem each."""
COMPARE = "compare"
"""The layout of everything."""
NO_SUPPRESSION, PARTIAL_SUPPRESSION, COMPLETE_SUPPRESSION = "none", "partial", "complete"


def build(
    runs: Sequence[RunRecord], layout: str = COMPARE, baseline: str | None = None
) -> list[Table]:
    """The tables of a layout.

    Args:
        layout: a key of :data:`LAYOUTS`.
        baseline: the name of a row; by default joint training, where it is among them.

    Raises:
        ArgumentError: no such layout or row, or no run that the layout shows.
    """
    if layout not in LAYOUTS:
        raise ArgumentError(f"--table must be one of {', '.join(LAYOUTS)}, found {layout!r}.")
    groups = [problem.runs for problem in grouped(runs)]
    names = list(
        dict.fromkeys(
            line.name for group in groups for line in lines(group, group[0].headline) if line.fused
        )
    )
    if baseline is not None and baseline not in names:
        raise ArgumentError(
            f"--baseline must be a row of the table ({', '.join(names)}), found {baseline!r}."
        )
    rule, make = LAYOUTS[layout]
    tables = make(groups, baseline)
    if not tables:
        raise ArgumentError(
            f"--table {layout} must be given {rule}, found none. Use --table compare for everything."
        )
    return tables


def method_table(groups: Problems, baseline: str | None, metrics: Sequence[str]) -> list[Table]:
    """Methods in rows; per problem, every modality alone and all of them together (Tables 1-3)."""
    if not groups:
        return []
    columns: list[tuple[Column, dict[str, Cell]]] = []
    kinds: dict[str, str] = {}
    for group in groups:
        before = f"{group[0].result.data.name}: " if len(groups) > 1 else ""
        for metric in metrics:
            shown = _by_method(group, metric)
            kinds |= {line.name: line.kind for line in shown if line.name not in kinds}
            columns += _method_columns(
                shown,
                group,
                metric,
                baseline,
                f"{before}{{}}" if len(metrics) == 1 else f"{before}{{}} {metric}",
            )
    order = sorted(kinds, key=lambda name: ("teacher", "run", "control").index(kinds[name]))
    rows = tuple(
        Row(name, tuple(cells.get(name, Cell()) for _, cells in columns), kind=kinds[name])
        for name in order
    )
    title = f"Test {', '.join(metrics)} per modality and fused, mean ± standard deviation over seeds {listed(sorted({run.seed for g in groups for run in g}))}"
    notes = list(dict.fromkeys(note for group in groups for note in notes_of(group)))
    if any(found.marks for row in rows for found in row.cells):
        notes.append(
            "↑ and ↓: fused differs from joint training (or the baseline named), paired by seed, Holm-corrected p < 0.05 per data set."
        )
    return [Table(title, tuple(column for column, _ in columns), rows, tuple(notes), "method")]


def _by_method(group: Sequence[RunRecord], metric: str) -> list[Line]:
    """The rows of a problem, called by what they do: the recipes of two data sets have different names."""
    labels = {run.name: label for label, runs in _by_label(group).items() for run in runs}
    return [replace(line, name=labels.get(line.name, line.name)) for line in lines(group, metric)]


def _method_columns(
    shown: Sequence[Line], group: Sequence[RunRecord], metric: str, baseline: str | None, name: str
) -> list[tuple[Column, dict[str, Cell]]]:
    """Columns of one problem and metric, with their cells by row; the fused ones are marked under the metric that selects."""
    scale, modalities = scale_of(metric), group[0].modalities
    labels = {run.name: label for label, runs in _by_label(group).items() for run in runs}
    base = (
        baseline_of(shown, labels.get(baseline or "", baseline))
        if metric == group[0].headline
        else None
    )
    found = (
        {}
        if base is None
        else compare_all({line.name: line.fused for line in shown if line.fused}, base)
    )

    def column(what: str, digits: int = scale.digits) -> Column:
        return Column(name.format(what), scale.unit, digits, group=name)

    columns = [
        (column(m), {line.name: cell(line.unimodal.get(m, {}), scale) for line in shown})
        for m in modalities
    ]
    columns.append(
        (
            column("fused"),
            {line.name: cell(line.fused, scale, difference=found.get(line.name)) for line in shown},
        )
    )
    reported = {
        line.name: published(protocol_of(group[0]), line.runs[0].result.method, metric)
        for line in shown
        if line.runs
    }
    if any(value is not None for value in reported.values()):
        columns.append(
            (column("published", 2), {row: Cell(value) for row, value in reported.items()})
        )
    return columns


def crossed_table(
    runs: Sequence[RunRecord],
    row_of: Callable[[RunRecord], str | None],
    column_of: Callable[[RunRecord], str | None],
    base: str,
    *,
    title: str,
    corner: str,
    reported: Callable[[RunRecord], float | None] = lambda run: None,
) -> Table | None:
    """Two properties of a recipe crossed: fused test scores, and differences of every column to the base column.

    Args:
        row_of, column_of: where a run stands; None leaves it out.
        base: the column that others are compared with.
        reported: what the paper reports for a run.
    """
    grid: dict[str, dict[str, list[RunRecord]]] = {}
    for name, same in _recipes(runs).items():
        row, column = row_of(same[0]), column_of(same[0])
        if row is None or column is None:
            continue
        there = grid.setdefault(row, {}).setdefault(column, [])
        if there:
            raise ArgumentError(
                f"a table must have one recipe per cell, found {there[0].name!r} and {name!r} at ({row}, {column}). Give the folders of one of them."
            )
        there += same
    headings = sorted(
        {column for row in grid.values() for column in row}, key=lambda name: name != base
    )
    if len(headings) < 2:
        return None
    metric = next(iter(next(iter(grid.values())).values()))[0].headline
    scale = scale_of(metric)
    values: dict[tuple[str, str], Values] = {
        (row, c): {run.seed: run.fused(metric) for run in found}
        for row, cs in grid.items()
        for c, found in cs.items()
    }
    pairs = [(row, column) for row in grid for column in headings if column != base]
    family = dict(
        zip(
            pairs,
            correct(
                [
                    paired_difference(values.get(pair, {}), values.get((pair[0], base), {}))
                    for pair in pairs
                ]
            ),
            strict=True,
        )
    )
    columns = [Column(column, scale.unit, scale.digits, group="fused") for column in headings]
    columns += [
        c
        for column in headings[1:]
        for c in (
            Column(f"{column} - {base}", "points" if scale.unit else "", scale.digits, True),
            Column("p"),
        )
    ]
    rows = []
    for row, across in grid.items():
        cells = [
            cell(values.get((row, column), {}), scale, difference=family.get((row, column)))
            for column in headings
        ]
        for column in headings[1:]:
            cells += difference_cells(family[row, column], scale)
        rows.append((row, cells, {column: reported(found[0]) for column, found in across.items()}))
    for column in headings:
        if any(known.get(column) is not None for _, _, known in rows):
            columns.append(Column(f"{column}, published", scale.unit, 2))
            for _, cells, known in rows:
                cells.append(Cell(known.get(column)))
    shown = [run for there in grid.values() for found in there.values() for run in found]
    tested = sum(
        difference is not None and difference.p is not None for difference in family.values()
    )
    notes = [
        note
        for group in [p.runs for p in grouped(shown)]
        for note in notes_of(group)
        if note != NOTE
    ]
    notes.append(
        f"Differences are paired by seed, with a 95 % interval of Student's t; p is corrected for "
        f"{counted(tested, 'comparison')} (Holm). ↑ better, ↓ worse: p < 0.05."
    )
    notes += [NOTE] if any("published" in column.name for column in columns) else []
    caption = f"{title}: test {metric}, mean ± standard deviation over seeds {listed(sorted({run.seed for run in shown}))}"
    return Table(
        caption,
        tuple(columns),
        tuple(Row(name, tuple(cells)) for name, cells, _ in rows),
        tuple(dict.fromkeys(notes)),
        corner,
    )


def schedule_table(runs: Sequence[RunRecord]) -> Table | None:
    """One row per schedule tau (Table 7), compared with the one that has the fewest exclusive epochs."""
    scheduled = [run for run in runs if tau_of(run)]
    by_tau: dict[tuple[int, ...], list[RunRecord]] = {}
    for same in _recipes(scheduled).values():
        by_tau.setdefault(tau_of(same[0]), []).extend(same)
    if len(by_tau) < 2:
        return None
    order = sorted(by_tau, key=lambda tau: (sum(tau[:-1]), tau))
    renamed = [
        RunRecord(
            run.folder,
            run.result.model_copy(update={"name": f"({', '.join(map(str, tau))})"}),
        )
        for tau in order
        for run in by_tau[tau]
    ]
    table = comparison_table(renamed, renamed[0].name)
    epochs = Column("epochs", digits=0, group="fused")
    totals = {f"({', '.join(map(str, tau))})": sum(tau) for tau in order}
    rows = [
        replace(
            row, cells=(Cell(float(totals[row.name])) if row.name in totals else Cell(), *row.cells)
        )
        for row in table.rows
    ]
    known = {
        f"({', '.join(map(str, tau))})": published_schedule(protocol_of(runs[0]), tau)
        for tau in order
    }
    columns = [epochs, *table.columns]
    if any(value is not None for value in known.values()):
        columns = [column for column in columns if column.name != "published"]
        gone = [
            i for i, column in enumerate([epochs, *table.columns]) if column.name == "published"
        ]
        rows = [
            replace(
                row,
                cells=(
                    *(c for i, c in enumerate(row.cells) if i not in gone),
                    Cell(known.get(row.name)),
                ),
            )
            for row in rows
        ]
        columns.append(Column("published", "%", 2))
    budget = (
        ("Schedules of different length also differ in their number of epochs.",)
        if len({sum(tau) for tau in order}) > 1
        else ()
    )
    return Table(
        f"Prioritization epochs tau. {title_of(renamed, renamed[0].headline)}",
        tuple(columns),
        tuple(rows),
        (*table.notes, *budget),
        "tau",
    )


def tau_of(run: RunRecord) -> tuple[int, ...]:
    """The prioritization epochs of a run; empty where it has none."""
    tau = modulation_of(run).get("tau") or run.recipe.get("method", {}).get("tau")
    return tuple(tau) if isinstance(tau, list) else ()


def suppression_of(run: RunRecord) -> str:
    """Whether modalities are held back, and how: a schedule suppresses completely, other modulations in part."""
    if tau_of(run):
        return COMPLETE_SUPPRESSION
    return PARTIAL_SUPPRESSION if modulation_of(run) else NO_SUPPRESSION


def _recipes(runs: Sequence[RunRecord]) -> dict[str, Sequence[RunRecord]]:
    """Return all runs by recipe."""
    return {name: same for p in grouped(runs) for name, same in p.recipes.items()}


def _objective(run: RunRecord) -> str:
    return str(run.result.method)


def _label(run: RunRecord) -> str:
    """What a run does, without the name of its recipe."""
    modulation = modulation_of(run).get("name")
    return (
        _objective(run)
        + (f" + {modulation}" if modulation else "")
        + (", from teachers" if run.recipe.get("warm_start") else "")
    )


def _by_label(group: Sequence[RunRecord]) -> dict[str, Sequence[RunRecord]]:
    """Recipes by what they do; by their name where two of a problem do the same."""
    recipes = grouped(group)[0].recipes
    labels = [_label(runs[0]) for runs in recipes.values()]
    return {
        label if labels.count(label) == 1 else name: runs
        for (name, runs), label in zip(recipes.items(), labels, strict=True)
    }


def _tables(found: Sequence[Table | None]) -> list[Table]:
    return [table for table in found if table is not None]


def _classification(group: Sequence[RunRecord]) -> bool:
    return "accuracy" in group[0].result.test.fused


def _smp(groups: Problems, baseline: str | None) -> list[Table]:
    names = {NO_SUPPRESSION: "without SMP", COMPLETE_SUPPRESSION: "with SMP"}
    title = "SMP on and off, per objective"
    return _tables(
        [
            crossed_table(
                group,
                _objective,
                lambda run: names.get(suppression_of(run)),
                names[NO_SUPPRESSION],
                title=f"{title}. {protocol_of(group[0])}",
                corner="objective",
            )
            for group in groups
        ]
    )


def _fusions(groups: Problems, baseline: str | None) -> list[Table]:
    def fusion(run: RunRecord) -> str:
        return str(run.result.fusion)

    found = []
    for group in groups:
        base = next(
            (
                _label(run)
                for run in group
                if (run.name == baseline if baseline else is_plain_joint(run))
            ),
            _label(group[0]),
        )
        found.append(
            crossed_table(
                group,
                fusion,
                _label,
                base,
                title=f"Fusions. {protocol_of(group[0])}",
                corner="fusion",
            )
        )
    return _tables(found)


def _suppression(groups: Problems, baseline: str | None) -> list[Table]:
    def problem(run: RunRecord) -> str | None:
        return (
            f"{run.result.data.name}, {_objective(run)}"
            if (run.result.data.protocol_hash, _objective(run)) in partly
            else None
        )

    def reported(run: RunRecord) -> float | None:
        complete = suppression_of(run) == COMPLETE_SUPPRESSION
        return (
            published(protocol_of(run), _objective(run), run.headline)
            if complete
            else PARTIAL.get(protocol_of(run))
        )

    every = [run for group in groups for run in group if suppression_of(run) != NO_SUPPRESSION]
    partly = {
        (run.result.data.protocol_hash, _objective(run))
        for run in every
        if suppression_of(run) == PARTIAL_SUPPRESSION
    }
    title = "Partial and complete suppression"
    return (
        _tables(
            [
                crossed_table(
                    every,
                    problem,
                    suppression_of,
                    PARTIAL_SUPPRESSION,
                    title=title,
                    corner="data",
                    reported=reported,
                )
            ]
        )
        if every
        else []
    )


def _of_width(groups: Problems, accept: Callable[[int], bool]) -> Problems:
    return [
        group for group in groups if _classification(group) and accept(len(group[0].modalities))
    ]


LAYOUTS: dict[str, tuple[str, Callable[[Problems, str | None], list[Table]]]] = {
    COMPARE: (
        "finished runs",
        lambda groups, baseline: [comparison_table(group, baseline) for group in groups],
    ),
    "1": (
        "classification with two modalities",
        lambda groups, baseline: method_table(
            _of_width(groups, lambda k: k <= 2), baseline, ["accuracy"]
        ),
    ),
    "2": (
        "classification with three modalities or more",
        lambda groups, baseline: method_table(
            _of_width(groups, lambda k: k > 2), baseline, ["accuracy"]
        ),
    ),
    "3": (
        "regression runs",
        lambda groups, baseline: method_table(
            [group for group in groups if not _classification(group)], baseline, ["mape", "r2"]
        ),
    ),
    "4": ("objectives with and without SMP", _smp),
    "5": ("two methods or more under a fusion", _fusions),
    "6": ("runs with partial and with complete suppression", _suppression),
    "7": (
        "two schedules tau or more",
        lambda groups, baseline: _tables([schedule_table(group) for group in groups]),
    ),
}
"""Per layout, what it shows, and how it is made."""
