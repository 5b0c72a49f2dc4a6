"""Layouts of the paper's Tables 1-7.

Tables 1 and 2 have methods in rows and, per data set, every modality and the fused prediction in
columns; Table 3 does so for regression. Tables 4-6 cross two properties of a recipe (objective and
SMP, fusion and method, data set and kind of suppression) and compare along the columns. Table 7
has a row per schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from g2d.errors import ArgumentError
from g2d.files import one_of
from g2d.paper.grid import COMPLETE, PARTIAL
from g2d.paper.matching import NO_SUPPRESSION, printed_for, suppression_of, tau_of
from g2d.paper.published import NOTE
from g2d.report.comparison import (
    Reference,
    cell,
    comparison_table,
    difference_cells,
    difference_column,
    over_seeds,
    protocol_notes,
    title_of,
)
from g2d.report.formatting import counted, scale_of
from g2d.report.lines import (
    CONTROL,
    RUN,
    TEACHER,
    Group,
    Line,
    baseline_of,
    differences_to,
    is_plain_joint,
    modulation_of,
)
from g2d.report.statistics import Difference, Values, correct, paired_difference
from g2d.report.tables import Cell, Column, Row, Table
from g2d.runs import RunRecord

COMPARE = "compare"
"""Layout of everything that ran on one problem."""
PAPER = Reference(printed_for, NOTE)
"""Published values, next to what was measured on the same data set and protocol."""
Groups = Sequence[Group]


def build(groups: Groups, layout: str = COMPARE, baseline: str | None = None) -> list[Table]:
    """Return the tables of a layout.

    Args:
        groups: A group per problem.
        layout: A key of :data:`LAYOUTS`.
        baseline: Name of a row; by default that of plain joint training.

    Raises:
        ArgumentError: The layout or row does not exist, or no run fits the layout.
    """
    one_of("--table", layout, LAYOUTS)
    if baseline is not None:
        rows = [line.name for group in groups for line in group.lines if line.fused]
        one_of("--baseline", baseline, dict.fromkeys(rows))
    rule, make = LAYOUTS[layout]
    tables = list(make(groups, baseline))
    if not tables:
        raise ArgumentError(
            f"--table {layout} must get {rule}, found none. Use --table compare for everything."
        )
    return tables


def build_compared(groups: Groups, baseline: str | None = None) -> list[Table]:
    """Return the table of each group with everything that ran, and published values.

    Args:
        groups: A group per problem.
        baseline: Name of a row; by default that of plain joint training.
    """
    return [comparison_table(group, baseline, PAPER) for group in groups]


def method_table(groups: Groups, baseline: str | None, metrics: Sequence[str]) -> Iterator[Table]:
    """Yield a table with methods in rows, and modalities and fused scores in columns (Tables 1-3).

    Args:
        groups: A group per problem.
        baseline: Name of a row.
        metrics: Names of test metrics.
    """
    if not groups:
        return
    columns: list[tuple[Column, Mapping[str, Cell]]] = []
    kinds: dict[str, str] = {}
    for group in groups:
        before = f"{group.data.name}: " if len(groups) > 1 else ""
        for metric in metrics:
            lines = _by_label(group, metric)
            kinds |= {line.name: line.kind for line in lines if line.name not in kinds}
            name = f"{before}{{}}" if len(metrics) == 1 else f"{before}{{}} {metric}"
            columns += _method_columns(group, lines, metric, baseline, name)
    rows = tuple(
        Row(name, tuple(cells.get(name, Cell()) for _, cells in columns), kind=kinds[name])
        for name in sorted(kinds, key=lambda name: (TEACHER, RUN, CONTROL).index(kinds[name]))
    )
    notes = [note for group in groups for note in protocol_notes(group)]
    if any(column.name.endswith("published") for column, _ in columns):
        notes.append(NOTE)
    if any(cell.marks for row in rows for cell in row.cells):
        notes.append(
            "↑ and ↓: fused differs from the baseline, paired by seed, Holm-corrected p < 0.05 per "
            "data set."
        )
    seeds = sorted({seed for group in groups for seed in group.seeds})
    title = f"Test {', '.join(metrics)} per modality and fused, {over_seeds(seeds)}"
    unique = tuple(dict.fromkeys(notes))
    yield Table(title, tuple(column for column, _ in columns), rows, unique, "method")


def _method_columns(
    group: Group, lines: Sequence[Line], metric: str, baseline: str | None, name: str
) -> Iterator[tuple[Column, Mapping[str, Cell]]]:
    """Yield the columns of a problem and metric; the metric that selects has marks."""
    scale = scale_of(metric)
    base = None
    if metric == group.metric:
        renamed = dict(zip((line.name for line in group.lines), lines, strict=True))
        base = baseline_of(lines, renamed[baseline].name if baseline in renamed else baseline)
    differences = differences_to(lines, base)

    def column(what: str, digits: int = scale.digits) -> Column:
        return Column(name.format(what), scale.unit, digits, group=name)

    for m in group.modalities:
        yield column(m), {line.name: cell(line.unimodal.get(m, {}), scale) for line in lines}
    fused = ((n.name, cell(n.fused, scale, difference=differences.get(n.name))) for n in lines)
    yield column("fused"), dict(fused)
    values = {line.name: PAPER.value(line.runs[0], metric) for line in lines if line.runs}
    if any(value is not None for value in values.values()):
        yield column("published", 2), {row: Cell(value) for row, value in values.items()}


@dataclass(frozen=True)
class Crossing:
    """Two properties of a recipe that are crossed in a table.

    Args:
        title: Title of the table.
        corner: Heading of the rows.
        row_of: Returns the row of a run; None leaves the run out.
        column_of: Returns the column of a run; None leaves the run out.
        base: Column that the others are compared with.
        published: Returns the value of the paper for a run.
    """

    title: str
    corner: str
    row_of: Callable[[RunRecord], str | None]
    column_of: Callable[[RunRecord], str | None]
    base: str
    published: Callable[[RunRecord], float | None] = lambda run: None


def crossed_table(groups: Groups, crossing: Crossing) -> Iterator[Table]:
    """Yield a table of fused test scores, with differences of every column to the base column.

    Args:
        groups: A group per problem.
        crossing: The two properties.

    Raises:
        ArgumentError: Two recipes have the same row and column.
    """
    grid = _grid(groups, crossing)
    names = dict.fromkeys(column for cells in grid.values() for column in cells)
    headings = sorted(names, key=lambda name: name != crossing.base)
    if len(headings) < 2:
        return
    lines = [line for cells in grid.values() for line in cells.values()]
    metric = lines[0].runs[0].headline
    scale, others = scale_of(metric), headings[1:]
    family = _family(grid, headings[0], others)
    columns = [Column(name, scale.unit, scale.digits, group="fused") for name in headings]
    for name in others:
        difference = difference_column(f"{name} - {headings[0]}", scale, name)
        columns += [difference, Column("p", group=name)]
    rows = [
        [
            *(
                cell(_fused(cells, name), scale, difference=family.get((row, name)))
                for name in headings
            ),
            *(c for name in others for c in difference_cells(family[row, name], scale)),
        ]
        for row, cells in grid.items()
    ]
    notes = [note for group in groups for note in protocol_notes(group)]
    tested = sum(d is not None and d.p is not None for d in family.values())
    notes.append(
        "Differences are paired by seed, with a 95 % interval of Student's t; p is corrected for "
        f"{counted(tested, 'comparison')} (Holm). ↑ better, ↓ worse: p < 0.05."
    )
    for name in headings:
        runs = [cells[name].runs[0] if name in cells else None for cells in grid.values()]
        values = [None if run is None else crossing.published(run) for run in runs]
        if any(value is not None for value in values):
            columns.append(Column(f"{name}, published", scale.unit, 2, group="published"))
            for cells_of_row, value in zip(rows, values, strict=True):
                cells_of_row.append(Cell(value))
            notes = [*(note for note in notes if note != NOTE), NOTE]
    seeds = sorted({run.seed for line in lines for run in line.runs})
    title = f"{crossing.title}: test {metric}, {over_seeds(seeds)}"
    named = tuple(Row(name, tuple(cells)) for name, cells in zip(grid, rows, strict=True))
    yield Table(title, tuple(columns), named, tuple(dict.fromkeys(notes)), crossing.corner)


def _grid(groups: Groups, crossing: Crossing) -> dict[str, dict[str, Line]]:
    """Return the line of every row and column."""
    grid: dict[str, dict[str, Line]] = {}
    for line in (line for group in groups for line in group.lines if line.runs):
        row, column = crossing.row_of(line.runs[0]), crossing.column_of(line.runs[0])
        if row is None or column is None:
            continue
        cells = grid.setdefault(row, {})
        if column in cells:
            raise ArgumentError(
                f"a table must have one recipe per cell, found {cells[column].runs[0].name!r} and "
                f"{line.name!r} at ({row}, {column}). Pass the folders of one of them."
            )
        cells[column] = line
    return grid


def _family(
    grid: Mapping[str, Mapping[str, Line]], base: str, others: Sequence[str]
) -> dict[tuple[str, str], Difference | None]:
    """Return the differences of all cells to the base column of their row, corrected together."""
    pairs = [(row, column) for row in grid for column in others]
    fused = ((_fused(grid[row], column), _fused(grid[row], base)) for row, column in pairs)
    return dict(zip(pairs, correct([paired_difference(*pair) for pair in fused]), strict=True))


def _fused(cells: Mapping[str, Line], column: str) -> Values:
    return cells[column].fused if column in cells else {}


def schedule_table(group: Group) -> Iterator[Table]:
    """Yield a table with a row per schedule tau (Table 7).

    The schedule with the fewest exclusive epochs is the baseline.

    Args:
        group: Runs on one problem.
    """
    by_tau: dict[tuple[int, ...], list[RunRecord]] = {}
    for runs in group.recipes.values():
        if tau := tau_of(runs[0]):
            by_tau.setdefault(tau, []).extend(runs)
    if len(by_tau) < 2:
        return
    taus = {str(tau): tau for tau in sorted(by_tau, key=lambda tau: (sum(tau[:-1]), tau))}
    recipes = {name: by_tau[tau] for name, tau in taus.items()}
    scheduled = Group([run for runs in recipes.values() for run in runs], recipes)
    reference = Reference(partial(printed_for, table="7"), NOTE)
    table = comparison_table(scheduled, next(iter(taus)), reference)
    epochs = {name: Cell(float(sum(tau))) for name, tau in taus.items()}
    rows = [replace(row, cells=(epochs.get(row.name, Cell()), *row.cells)) for row in table.rows]
    notes = [*table.notes]
    if len({sum(tau) for tau in taus.values()}) > 1:
        notes.append("Schedules of different length also differ in their number of epochs.")
    title = f"Prioritization epochs tau. {title_of(scheduled)}"
    columns = (Column("epochs", digits=0, group="fused"), *table.columns)
    yield Table(title, columns, tuple(rows), tuple(notes), "tau")


def _method(run: RunRecord) -> str:
    return run.result.method


def _fusion(run: RunRecord) -> str:
    return run.result.fusion


def _printed(run: RunRecord) -> float | None:
    return printed_for(run, run.headline)


def _label(run: RunRecord) -> str:
    """Return what a run does, without the name of its recipe."""
    modulation = modulation_of(run).get("name")
    label = f"{_method(run)} + {modulation}" if modulation else _method(run)
    return f"{label}, from teachers" if run.recipe.get("warm_start") else label


def _by_label(group: Group, metric: str) -> list[Line]:
    """Return the rows named after what they do, because recipe names differ between data sets.

    Rows that do the same keep the name of their recipe.
    """
    lines = group.under(metric)
    labels = [_label(line.runs[0]) if line.runs else line.name for line in lines]
    return [
        replace(line, name=label) if labels.count(label) == 1 else line
        for line, label in zip(lines, labels, strict=True)
    ]


def _smp(groups: Groups, baseline: str | None) -> Iterator[Table]:
    names = {NO_SUPPRESSION: "without SMP", COMPLETE: "with SMP"}

    def column(run: RunRecord) -> str | None:
        return names.get(suppression_of(run))

    for group in groups:
        title = f"SMP on and off, per objective. {group.data.protocol}"
        base = names[NO_SUPPRESSION]
        crossing = Crossing(title, "objective", _method, column, base, _printed)
        yield from crossed_table([group], crossing)


def _fusions(groups: Groups, baseline: str | None) -> Iterator[Table]:
    for group in groups:
        bases = (r for r in group.runs if (r.name == baseline if baseline else is_plain_joint(r)))
        base = _label(next(bases, group.runs[0]))
        title = f"Fusions. {group.data.protocol}"
        crossing = Crossing(title, "fusion", _fusion, _label, base, _printed)
        yield from crossed_table([group], crossing)


def _suppression(groups: Groups, baseline: str | None) -> Iterator[Table]:
    def key(run: RunRecord) -> tuple[str, str]:
        return run.result.data.protocol_hash, _method(run)

    runs = [run for group in groups for run in group.runs]
    partly = {key(run) for run in runs if suppression_of(run) == PARTIAL}

    def row(run: RunRecord) -> str | None:
        suppressed = suppression_of(run) != NO_SUPPRESSION and key(run) in partly
        return f"{run.result.data.name}, {_method(run)}" if suppressed else None

    title = "Partial and complete suppression"
    crossing = Crossing(title, "data", row, suppression_of, PARTIAL, _printed)
    return crossed_table([g for g in groups if any(map(row, g.runs))], crossing)


def _methods(
    groups: Groups, baseline: str | None, accept: Callable[[int], bool]
) -> Iterator[Table]:
    """Yield the table of classification with an accepted number of modalities."""
    accepted = [g for g in groups if g.metric == "accuracy" and accept(len(g.modalities))]
    yield from method_table(accepted, baseline, ["accuracy"])


def _regression(groups: Groups, baseline: str | None) -> Iterator[Table]:
    return method_table([g for g in groups if g.metric == "r2"], baseline, ["mape", "r2"])


def _schedules(groups: Groups, baseline: str | None) -> Iterator[Table]:
    return (table for group in groups for table in schedule_table(group))


LAYOUTS: dict[str, tuple[str, Callable[[Groups, str | None], Iterable[Table]]]] = {
    COMPARE: ("finished runs", build_compared),
    "1": ("classification with two modalities", partial(_methods, accept=lambda k: k <= 2)),
    "2": (
        "classification with three modalities or more",
        partial(_methods, accept=lambda k: k > 2),
    ),
    "3": ("regression runs", _regression),
    "4": ("objectives with and without SMP", _smp),
    "5": ("two methods or more under a fusion", _fusions),
    "6": ("runs with partial and with complete suppression", _suppression),
    "7": ("two schedules tau or more", _schedules),
}
"""By layout: which runs it shows, and the function that makes its tables."""
