"""Sections of a page that show a diagnosis. Scores are in percent, as in every other table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from g2d.report.curves import plot_figure
from g2d.report.formatting import POINTS, Scale, number, scale_of
from g2d.report.parts import PLAIN, SHARE, Part, estimated
from g2d.report.tables import Cell, Column, Row, Table
from g2d.report.use import use_parts
from g2d.runs import Analysis, Plot, RunRecord


def diagnosis_parts(run: RunRecord, *, several: bool = False) -> list[Part]:
    """Return the parts of a run's diagnosis; an empty list without one.

    Args:
        run: A finished run.
        several: Whether the titles name the seed, because other seeds follow.
    """
    if run.analysis is None:
        return []
    seed = f", seed {run.seed}" if several else ""
    return list(_parts(run.analysis, scale_of(run.headline), seed))


def _parts(analysis: Analysis, scale: Scale, seed: str) -> Iterator[Part]:
    if analysis.verdict:
        rows = "" if analysis.split in ("", "test") else f" on the rows of {analysis.split}"
        yield Part(f"Verdict{rows}{seed}", words=analysis.verdict)
    if analysis.modalities:
        yield Part(f"Modalities{seed}", tables=[modality_table(analysis)])
    yield from use_parts(analysis, seed)
    for title, values, unit in (
        ("Share of the score (Shapley)", analysis.shapley_shares, SHARE),
        ("Score of every subset", analysis.subset_scores, SHARE),
        ("Calibration error", analysis.calibration_errors, SHARE),
        ("Alignment with the teacher", analysis.alignment, PLAIN),
        ("Distance between modalities", analysis.modality_gaps, PLAIN),
    ):
        if values:
            yield Part(f"{title}{seed}", tables=[_list(values, unit)])
    for title, records, unit in (
        ("Recall by class", analysis.class_recalls, SHARE),
        ("Gradient of every encoder", analysis.gradients, PLAIN),
    ):
        if records:
            yield Part(f"{title}{seed}", tables=[_records(records, unit)])
    if analysis.calibrated_heads:
        yield Part(f"Calibrated heads{seed}", tables=[_heads(analysis.calibrated_heads)])
    yield from _plots(analysis, scale, seed)


def _plots(analysis: Analysis, scale: Scale, seed: str) -> Iterator[Part]:
    plots: list[tuple[str, str, Plot | None, Scale, Scale]] = [
        ("reliability", "Reliability", analysis.reliability, POINTS, POINTS),
        ("noise", "Score under noise", analysis.noise, scale, PLAIN),
        ("plane", "Modalities in a plane", analysis.plane, PLAIN, PLAIN),
        ("contributions", "Contribution to rows", analysis.contributions, POINTS, PLAIN),
    ]
    for name, title, plot, up, across in plots:
        if plot is not None and any(plot.points.values()):
            figure = plot_figure(name, f"{title}{seed}", plot, up, across)
            yield Part(figure.title, figures=[figure])


def modality_table(analysis: Analysis) -> Table:
    """Return a table with a row per modality.

    Args:
        analysis: A diagnosis.
    """
    columns = (
        Column("inside the model", "%", group="score"),
        Column("teacher alone", "%", group="score"),
        Column("gap", "points", group="gap"),
        Column("confidence ratio", digits=2, group="ratio"),
        Column("loss without it", "points", group="use"),
        Column("Shapley value", digits=2, group="use"),
        Column("linear probe", "%", group="use"),
        Column("state", group="state"),
    )
    rows = [
        Row(
            m,
            (
                Cell(SHARE.of(d.own)),
                Cell(SHARE.of(d.teacher)),
                estimated(d.gap, SHARE),
                estimated(d.ratio, PLAIN),
                estimated(d.drop, SHARE),
                Cell(d.shapley),
                Cell(SHARE.of(d.probe)),
                Cell(d.state or None),
            ),
        )
        for m, d in analysis.modalities.items()
    ]
    return Table("", columns, tuple(rows), corner="modality")


def _list(values: Mapping[str, float | None], scale: Scale) -> Table:
    """Return a table with one value per row."""
    rows = tuple(Row(name, (Cell(scale.of(value)),)) for name, value in values.items())
    return Table("", (Column("value", scale.unit, scale.digits),), rows)


def _records(records: Mapping[str, Mapping[str, float | None]], scale: Scale) -> Table:
    """Return a table with one record per row."""
    names = list(dict.fromkeys(name for record in records.values() for name in record))
    columns = tuple(Column(name, scale.unit, scale.digits) for name in names)
    rows = tuple(
        Row(key, tuple(Cell(scale.of(record.get(name))) for name in names))
        for key, record in records.items()
    )
    return Table("", columns, rows)


def _heads(values: Mapping[str, float | None]) -> Table:
    """Return the weights of heads as they are, and scores in percent."""

    def cell(name: str, value: float | None) -> Cell:
        if name.startswith("fused"):
            return Cell(f"{number(SHARE.of(value), 1)} %")
        return Cell(number(value, 2))

    rows = tuple(Row(name, (cell(name, value),)) for name, value in values.items())
    return Table("", (Column("value"),), rows)
