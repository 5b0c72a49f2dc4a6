"""The figures of a page: what is drawn of a run, of a recipe's seeds, of a comparison; each with its numbers."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from scipy.special import stdtrit

from g2d.report.charts import Level, Mark, Series, line_chart, plane_chart, row_chart
from g2d.report.formatting import scale_of
from g2d.report.layouts import TEACHERS, Line, Values
from g2d.report.statistics import LEVEL, MINIMUM_SEEDS, summarize
from g2d.runs import Epoch, RunRecord

KIND_COLORS = {"run": 0, "control": 2, "teacher": 1}
"""Which of the page's colors a row has."""


@dataclass(frozen=True)
class Figure:
    """A figure of a page.

    Args:
        title: what it shows.
        caption: how to read it.
        svg: the drawing.
        data: its numbers as CSV.
    """

    title: str
    caption: str
    svg: str
    data: str

    @property
    def link(self) -> str:
        """The numbers as an address that opens without a network."""
        return "data:text/csv;charset=utf-8," + quote(self.data, safe=",:;=+-*()/.! ").replace(
            " ", "%20"
        )

    @property
    def file(self) -> str:
        """A name for the file of numbers."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower()).strip("-") + ".csv"


def epoch_figures(runs: Sequence[RunRecord], points: int | None = None) -> list[Figure]:
    """What was recorded over epochs by the seeds of one recipe: a line is their mean, its band one standard deviation.

    Args:
        points: about how many epochs are kept, evenly; all by default.
    """
    kept = [run for run in runs if run.epochs]
    if not kept:
        return []
    step = 1 if points is None else -(-len(kept[0].epochs) // points)
    modalities, headline = kept[0].modalities, kept[0].headline
    scale, first = scale_of(headline), kept[0].epochs[0]
    unit = f" ({scale.unit})" if scale.unit else ""
    recorded = dict.fromkeys(name for record in kept[0].epochs for name in record.train)
    over = (
        f"Mean of {len(kept)} seeds, band: one standard deviation."
        if len(kept) > 1
        else f"Seed {kept[0].seed}."
    )
    over += f" Every {step} epochs; all of them are in metrics.jsonl." if step > 1 else ""

    def valid(*path: str) -> Callable[[Epoch], Any]:
        return lambda record: _at(record.valid.model_dump(), *path, headline)

    def train(name: str) -> Callable[[Epoch], Any]:
        return lambda record: record.train.get(name)

    found = []
    alone = {
        m: _series(kept, step, valid("unimodal", m), m, i, scale.factor)
        for i, m in enumerate(modalities)
        if m in first.valid.unimodal
    }
    together = _series(kept, step, valid("fused"), "fused", -1, scale.factor)
    levels = _teacher_levels(kept, modalities, headline)
    dotted = " Dotted: what the modality's teacher reaches alone." if levels else ""
    title = f"Validation {headline} per modality"
    found.append(
        _lines(
            title,
            f"Each modality's own logits, and all of them together. {over}{dotted}",
            [together, *alone.values()],
            f"{headline}{unit}",
            levels,
            step=step,
        )
    )
    if any(f"confidence/{m}" in recorded for m in modalities):
        lines = [
            _series(kept, step, train(f"confidence/{m}"), m, i) for i, m in enumerate(modalities)
        ]
        lines += [
            _series(kept, step, train(f"confidence_validation/{m}"), f"{m}, valid.", i, dashed=True)
            for i, m in enumerate(modalities)
        ]
        caption = f"Mean probability that a teacher gives to the truth, on training batches; dashed: on validation rows. Modalities are ranked by it (Eq. 5). {over}"
        found.append(
            _lines(
                "Teachers' confidence",
                caption,
                [line for line in lines if line.values],
                "probability of the truth",
                floor=0.0,
                step=step,
            )
        )
    if any(f"kappa/{m}" in recorded for m in modalities):
        lines = [_series(kept, step, train(f"kappa/{m}"), m, i) for i, m in enumerate(modalities)]
        caption = f"Coefficient κ of each modality's encoder, mean over an epoch's updates: 1 learns in all of them, 0 in none (Eq. 7). {over}"
        found.append(
            _lines(
                "Who learns when",
                caption,
                lines,
                "κ, mean over updates",
                floor=0.0,
                top=1.0,
                step=step,
            )
        )
    if any(f"alignment/{m}" in recorded for m in modalities):
        lines = [
            _series(kept, step, train(f"alignment/{m}"), m, i) for i, m in enumerate(modalities)
        ]
        caption = f"Mean cosine of each modality's features with its teacher's, on training batches. {over}"
        found.append(
            _lines("Alignment with the teachers", caption, lines, "cosine", top=1.0, step=step)
        )
    terms = [name for name in recorded if name.startswith("loss/")]
    if terms:
        lines = [
            _series(
                kept,
                step,
                train(name),
                name.removeprefix("loss/").replace("/", " "),
                i,
                dashed=i >= 6,
            )
            for i, name in enumerate(terms)
        ]
        found.append(
            _lines(
                "Loss by term",
                f"The terms whose sum is minimized, mean over an epoch's training batches. {over}",
                lines,
                "loss",
                floor=0.0,
                step=step,
            )
        )
    return [figure for figure in found if figure is not None]


def fused_figure(lines: Sequence[Line], metric: str, baseline: str | None) -> Figure:
    """Fused test scores of a comparison: mean, 95 % interval, and every seed."""
    scale = scale_of(metric)
    shown = [line for line in lines if line.fused]
    marks, rows = [], []
    for line in shown:
        values = [scale.factor * value for value in line.fused.values() if value is not None]
        found = summarize(values)
        low, high = _interval(values)
        marks.append(
            Mark(
                line.name,
                found.mean,
                low,
                high,
                values if len(values) > 1 else (),
                KIND_COLORS[line.kind],
            )
        )
        rows.append([line.name, found.mean, found.sd, found.n, low, high, *values])
    level = next((mark.value for mark in marks if mark.name == baseline), None)
    levels = [Level(f"{baseline}", level)] if level is not None else []
    whiskers = (
        "line: 95 % interval of the mean"
        if any(mark.low is not None for mark in marks)
        else f"fewer than {MINIMUM_SEEDS} seeds: no interval"
    )
    controls = (
        " Green: controls that need no multimodal training."
        if any(line.kind == "control" for line in shown)
        else ""
    )
    caption = f"Dot: mean over seeds; small dots: seeds; {whiskers}.{controls} "
    caption += "Whether two rows differ is said by the paired differences of the table, not by these intervals."
    title = f"Fused test {metric}"
    svg = row_chart(
        marks,
        label=f"{title}, {len(marks)} rows",
        x_label=f"test {metric}{f' ({scale.unit})' if scale.unit else ''}",
        levels=levels,
    )
    return Figure(title, caption, svg, _csv(["name", "mean", "sd", "n", "low", "high"], rows))


def unimodal_figures(lines: Sequence[Line], modalities: Sequence[str], metric: str) -> list[Figure]:
    """What each modality's own logits are worth inside every trained model, beside its teacher."""
    scale, found = scale_of(metric), []
    teachers = next((line.unimodal for line in lines if line.kind == "teacher"), {})
    for i, m in enumerate(modalities):
        rows = [
            (line.name, _scaled(line.unimodal.get(m, {}), scale.factor))
            for line in lines
            if line.kind == "run"
        ]
        rows = [(name, values) for name, values in rows if values]
        if not rows:
            continue
        taught = _scaled(teachers.get(m, {}), scale.factor)
        levels = [Level(f"teacher of {m}", statistics.fmean(taught))] if taught else []
        summaries = [(name, summarize(values)) for name, values in rows]
        marks = [
            Mark(
                name,
                s.mean,
                s.mean - s.sd if s.mean is not None and s.sd else None,
                s.mean + s.sd if s.mean is not None and s.sd else None,
                (),
                i,
            )
            for name, s in summaries
        ]
        table = [[name, s.mean, s.sd, s.n] for name, s in summaries] + (
            [[TEACHERS, statistics.fmean(taught), None, len(taught)]] if taught else []
        )
        title = f"{m} alone: test {metric}"
        caption = f"The model's own logits of {m}. Line: one standard deviation over seeds." + (
            f" Dotted: its teacher, trained on {m} only." if taught else ""
        )
        svg = row_chart(
            marks,
            label=title,
            x_label=f"test {metric} of {m} alone{f' ({scale.unit})' if scale.unit else ''}",
            bars=scale.unit == "%",
            levels=levels,
        )
        found.append(Figure(title, caption, svg, _csv(["name", "mean", "sd", "n"], table)))
    return found


def analysis_figures(name: str, section: Any) -> list[Figure]:
    """A section of ``analysis.json`` that is a mapping of names to equally long lists of numbers, as lines; nothing otherwise."""
    if not isinstance(section, Mapping) or not section:
        return []
    columns = {
        str(key): value
        for key, value in section.items()
        if isinstance(value, list)
        and len(value) > 2
        and all(_is_number(v) or v is None for v in value)
    }
    if (
        not columns
        or len({len(value) for value in columns.values()}) > 1
        or len(columns) < len(section)
    ):
        return []
    lines = [
        Series(key, value, color=i, dashed=i >= 6) for i, (key, value) in enumerate(columns.items())
    ]
    figure = _lines(name, "In the order of the list.", lines, "value", x_name="entry")
    return [] if figure is None else [figure]


def drawn(name: str, section: Any) -> Figure | None:
    """A section of ``analysis.json`` that says how it is drawn: ``points`` by name, axes, a caption, whether they are ``joined``; None otherwise."""
    if not isinstance(section, Mapping) or not isinstance(section.get("points"), Mapping):
        return None
    clouds = {
        str(key): [(float(x), float(y)) for x, y in points]
        for key, points in section["points"].items()
        if points
    }
    if not clouds:
        return None
    x_label, y_label = str(section.get("x", "")), str(section.get("y", ""))
    joined, diagonal = bool(section.get("joined")), bool(section.get("diagonal"))
    svg = plane_chart(
        clouds,
        label=f"{name}: {', '.join(clouds)}",
        x_label=x_label,
        y_label=y_label,
        joined=joined,
        diagonal=diagonal,
    )
    rows = [[key, x, y] for key, points in clouds.items() for x, y in points]
    return Figure(
        name, str(section.get("caption", "")), svg, _csv(["name", x_label, y_label], rows)
    )


def _lines(
    title: str,
    caption: str,
    lines: Sequence[Series],
    y_label: str,
    levels: Sequence[Level] = (),
    *,
    floor: float | None = None,
    top: float | None = None,
    x_name: str = "epoch",
    step: int = 1,
) -> Figure | None:
    lines = [line for line in lines if any(value is not None for value in line.values)]
    if not lines:
        return None
    svg = line_chart(
        lines,
        label=f"{title}: {', '.join(line.name for line in lines)}",
        x_label=x_name,
        y_label=y_label,
        levels=levels,
        floor=floor,
        top=top,
        step=step,
    )
    header = [
        x_name,
        *(
            name
            for line in lines
            for name in ([line.name, f"{line.name} sd"] if line.spread else [line.name])
        ),
    ]
    columns = [
        column
        for line in lines
        for column in ([line.values, line.spread] if line.spread else [line.values])
    ]
    rows = [
        [1 + step * i, *(column[i] if i < len(column) else None for column in columns)]
        for i in range(max(len(line.values) for line in lines))
    ]
    return Figure(title, caption, svg, _csv(header, rows))


def _series(
    runs: Sequence[RunRecord],
    step: int,
    value: Callable[[Epoch], Any],
    name: str,
    color: int,
    factor: float = 1.0,
    *,
    dashed: bool = False,
) -> Series:
    """Mean and standard deviation over seeds, per epoch that all of them have."""
    table = [
        [_scaled_number(value(record), factor) for record in run.epochs[::step]] for run in runs
    ]
    epochs = [summarize(column) for column in zip(*table, strict=False)]
    if not any(epoch.n for epoch in epochs):
        return Series(name, ())
    spread = [epoch.sd for epoch in epochs] if len(runs) > 1 else []
    return Series(name, [epoch.mean for epoch in epochs], spread, color, dashed)


def _teacher_levels(
    runs: Sequence[RunRecord], modalities: Sequence[str], metric: str
) -> list[Level]:
    factor, found = scale_of(metric).factor, []
    for i, m in enumerate(modalities):
        values = [
            run.result.teachers[m].valid.get(metric) for run in runs if m in run.result.teachers
        ]
        mean = summarize(values).mean
        if mean is not None:
            found.append(Level(f"teacher {m}", factor * mean, i))
    return found


def _interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % interval of the mean, of Student's t."""
    if len(values) < MINIMUM_SEEDS:
        return None, None
    mean, half = (
        statistics.fmean(values),
        float(stdtrit(len(values) - 1, 1 - LEVEL / 2))
        * statistics.stdev(values)
        / math.sqrt(len(values)),
    )
    return mean - half, mean + half


def _scaled(values: Values, factor: float) -> list[float]:
    return [factor * value for value in values.values() if value is not None]


def _scaled_number(value: Any, factor: float) -> float | None:
    return factor * float(value) if _is_number(value) and math.isfinite(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _at(record: Any, *path: str) -> Any:
    for key in path:
        record = record.get(key, {}) if isinstance(record, Mapping) else {}
    return record if record != {} else None


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(
        [
            [
                f"{value:.6g}" if isinstance(value, float) else "" if value is None else value
                for value in row
            ]
            for row in rows
        ]
    )
    return out.getvalue()
