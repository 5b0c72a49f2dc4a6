"""Tables of the paper with published and measured values, and their difference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from g2d.paper.grid import DATASETS, PROTOCOLS, Cell
from g2d.paper.published import FUSED, NOTE, published, published_teacher
from g2d.report.comparison import cell as over_runs
from g2d.report.comparison import over_seeds, protocol_notes
from g2d.report.formatting import scale_of
from g2d.report.lines import TEACHER, TEACHERS, groups_of
from g2d.report.statistics import Values
from g2d.report.tables import TEST_SELECTED, Column, Row, Table
from g2d.report.tables import Cell as TableCell
from g2d.runs import RunRecord

METRICS = {"3": ("mape", "r2")}
"""Metrics by table; the others have :data:`ACCURACY`."""
ACCURACY = ("accuracy",)
UNIMODAL = ("1", "2")
"""Tables with a column per modality and a row of teachers."""
OTHER_PROTOCOL = (
    "published: measured on {protocol} with the epoch selected on the test split, in part of the "
    "sets without validation rows. The runs here have another protocol: the difference includes "
    "its effect."
)


@dataclass(frozen=True)
class Repetition:
    """A run of the paper, and the runs that repeat it.

    Args:
        cell: The run of the paper.
        problem: Name of the problem that it is repeated on.
        modalities: Names of its modalities on that problem.
        runs: One run per seed; empty if there are none.
    """

    cell: Cell
    problem: str
    modalities: tuple[str, ...]
    runs: Sequence[RunRecord] = ()

    @property
    def own_data(self) -> bool:
        """Whether the problem is the one of the paper, so that its values can be compared."""
        return self.problem == self.cell.dataset

    @property
    def label(self) -> str:
        """Name of the row: the method, or what the table varies."""
        return row_label(self.cell, self.modalities)


def row_label(cell: Cell, modalities: Sequence[str]) -> str:
    """Return the name of a run's row in its table.

    Args:
        cell: The run.
        modalities: Names of its modalities.
    """
    if len(modalities) == 1:
        return f"{modalities[0]} alone"
    return cell.variant or cell.method


def reproduced_tables(repetitions: Iterable[Repetition], same_protocol: bool) -> list[Table]:
    """Return a table per problem, and per combination of modalities where the paper has several.

    Args:
        repetitions: Runs of one table of the paper.
        same_protocol: Whether the runs have the paper's protocol.
    """
    blocks: dict[tuple[str, tuple[str, ...]], list[Repetition]] = {}
    for one in repetitions:
        varied = one.modalities if one.cell.table in UNIMODAL else ()
        blocks.setdefault((one.problem, varied), []).append(one)
    return [_table(block, same_protocol) for block in blocks.values()]


Cells = tuple[Column, Mapping[str, TableCell]]
"""A column, and its cells by the name of the row."""
Published = Callable[[Repetition], float | None]
Measured = Callable[[Repetition], Values]


def _table(block: Sequence[Repetition], same_protocol: bool) -> Table:
    cell, runs = block[0].cell, [run for one in block for run in one.runs]
    metrics = METRICS.get(cell.table) or ((runs[0].headline,) if runs else ACCURACY)
    columns = [column for metric in metrics for column in _columns(block, metric)]
    rows = [
        Row(
            name,
            tuple(cells.get(name, TableCell()) for _, cells in columns),
            _marks(block, name),
            TEACHER if name == TEACHERS else "run",
        )
        for name in dict.fromkeys(name for _, cells in columns for name in cells)
    ]
    seeds = sorted({run.seed for run in runs})
    modalities = f", {' + '.join(block[0].modalities)}" if cell.table in UNIMODAL else ""
    over = f", {over_seeds(seeds)}" if len(seeds) > 1 else f", seed {seeds[0]}" if seeds else ""
    title = f"Table {cell.table}, {block[0].problem}{modalities}: test {', '.join(metrics)}{over}"
    groups = sorted(groups_of(runs), key=lambda group: len(group.modalities))
    by_protocol = {group.data.protocol: group for group in groups}  # the most modalities last
    notes = [note for group in by_protocol.values() for note in protocol_notes(group)]
    if block[0].own_data:
        protocol = PROTOCOLS[cell.dataset]["data.protocol"]
        notes.append(NOTE if same_protocol else OTHER_PROTOCOL.format(protocol=protocol))
    else:
        paper = ", ".join(DATASETS[cell.table])
        notes.append(f"The paper has no values of {block[0].problem}; its table is of {paper}.")
    unique = tuple(dict.fromkeys(notes))
    return Table(title, tuple(column for column, _ in columns), tuple(rows), unique, "run")


def _marks(block: Sequence[Repetition], name: str) -> tuple[str, ...]:
    runs = (run for one in block if name in (one.label, TEACHERS) for run in one.runs)
    return (TEST_SELECTED,) if any(run.result.selected_on_test for run in runs) else ()


def _columns(block: Sequence[Repetition], metric: str) -> Iterator[Cells]:
    """Yield published, measured and difference of every modality and of the fused prediction."""
    unimodal = block[0].modalities if block[0].cell.table in UNIMODAL else ()
    for of in (*unimodal, FUSED):
        name = f"{of} {metric}" if metric in METRICS.get(block[0].cell.table, ()) else of
        lines: dict[str, tuple[float | None, Values]] = {}
        if unimodal and _has_teachers(block):
            lines[TEACHERS] = _teacher(block, metric, of)
        for one in block:
            printed = published(one.cell, metric, of) if one.own_data else None
            lines[one.label] = printed, {run.seed: _score(run, metric, of) for run in one.runs}
        yield from _compared(name, metric, lines)


def _compared(
    name: str, metric: str, lines: Mapping[str, tuple[float | None, Values]]
) -> Iterator[Cells]:
    """Yield the columns of published and measured values and of their difference.

    Columns without values are left out, but for that of measured values.
    """
    scale = scale_of(metric)
    printed = {row: value for row, (value, _) in lines.items()}
    measured = {row: over_runs(values, scale) for row, (_, values) in lines.items()}
    column = Column(f"{name} measured", scale.unit, 2, group=name)
    if any(value is not None for value in printed.values()):
        published_column = Column(f"{name} published", scale.unit, 2, group=name)
        yield published_column, {row: TableCell(value) for row, value in printed.items()}
        yield column, measured
        difference = Column(f"{name} difference", scale.unit, 2, signed=True, group=name)
        yield difference, {row: _difference(printed[row], measured[row]) for row in lines}
    else:
        yield column, measured


def _difference(printed: float | None, measured: TableCell) -> TableCell:
    """Return measured minus published."""
    if printed is None or not isinstance(measured.value, float):
        return TableCell()
    return TableCell(measured.value - printed, n=measured.n)


def _score(run: RunRecord, metric: str, of: str) -> float | None:
    return run.fused(metric) if of == FUSED else run.unimodal(of, metric)


def _has_teachers(block: Sequence[Repetition]) -> bool:
    """Return whether a row of teachers has a published or a measured value."""
    return block[0].own_data or any(run.result.teachers for one in block for run in one.runs)


def _teacher(block: Sequence[Repetition], metric: str, of: str) -> tuple[float | None, Values]:
    """Return the published and the measured values of the teacher of a modality."""
    printed = published_teacher(block[0].cell, metric, of) if block[0].own_data else None
    measured: dict[int, float | None] = {}
    for run in (run for one in block for run in one.runs):
        if of in run.result.teachers:
            measured.setdefault(run.seed, run.result.teachers[of].test.get(metric))
    return printed, measured
