"""Figures of a page: charts with a title, a caption and their numbers as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from g2d.files import csv_cell
from g2d.report.charts import Level, Mark, Series, extent, line_chart, plane_chart, row_chart
from g2d.report.drawing import COLORS, Drawing
from g2d.report.formatting import Bounds, Scale, clipped, scale_of
from g2d.report.lines import CONTROL, RUN, TEACHER, TEACHERS, Group
from g2d.report.statistics import MINIMUM_SEEDS, Values, mean_interval, summarize
from g2d.runs import Epoch, Plot, RunRecord

KIND_COLORS = {RUN: 0, TEACHER: 1, CONTROL: 2}
"""Color of a row by its kind."""
Value = Callable[[Epoch], float | None]
"""Reads a value from the record of an epoch."""


@dataclass(frozen=True)
class Figure:
    """Chart with what belongs to it.

    Args:
        name: Short name, used for files.
        title: What it shows.
        caption: How to read it.
        drawing: The chart.
        data: Its numbers as CSV.
    """

    name: str
    title: str
    caption: str
    drawing: Drawing
    data: str

    @property
    def link(self) -> str:
        """The numbers as an address that opens without a network."""
        numbers = quote(self.data, safe=",:;=+-*()/.! ").replace(" ", "%20")
        return f"data:text/csv;charset=utf-8,{numbers}"


@dataclass(frozen=True)
class Curves:
    """Lines over epochs, before they are drawn.

    Args:
        name: Short name, used for files.
        title: What they show.
        caption: How to read them.
        lines: Lines with at least one value.
        y_label: Quantity and unit.
        levels: Dotted levels.
        include: Values that the axis includes in any case.
        bounds: Least and greatest possible value.
        every: Number of epochs from one value to the next.
    """

    name: str
    title: str
    caption: str
    lines: Sequence[Series]
    y_label: str
    levels: Sequence[Level] = ()
    include: Sequence[float] = ()
    bounds: Bounds = (None, None)
    every: int = 1

    @property
    def extent(self) -> list[float]:
        """All positions on the vertical axis."""
        return [*extent(self.lines, self.levels), *self.include]

    def draw(self, include: Sequence[float] = ()) -> Drawing:
        """Draw the chart.

        Args:
            include: Further values that the axis includes, so that several charts share an axis.
        """
        return line_chart(
            self.lines,
            label=f"{self.title}: {', '.join(line.name for line in self.lines)}",
            y_label=self.y_label,
            levels=self.levels,
            include=[*self.include, *include],
            bounds=self.bounds,
            every=self.every,
        )

    def figure(self) -> Figure:
        """Return the chart with its numbers."""
        columns: list[tuple[str, Sequence[float | None]]] = []
        for line in self.lines:
            columns.append((line.name, line.values))
            columns += [(f"{line.name} sd", line.spread)] if line.spread else []
        rows = [
            [1 + self.every * i, *(values[i] if i < len(values) else None for _, values in columns)]
            for i in range(max(len(line.values) for line in self.lines))
        ]
        data = as_csv(["epoch", *(name for name, _ in columns)], rows)
        return Figure(self.name, self.title, self.caption, self.draw(), data)


@dataclass(frozen=True)
class Recorded:
    """Records of the seeds of one recipe.

    Args:
        runs: Runs with at least one epoch.
        every: Number of epochs from one drawn value to the next.
    """

    runs: Sequence[RunRecord]
    every: int = 1

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities."""
        return self.runs[0].modalities

    @property
    def names(self) -> list[str]:
        """Names of everything that was recorded in training."""
        return list(dict.fromkeys(name for epoch in self.runs[0].epochs for name in epoch.train))

    @property
    def origin(self) -> str:
        """Sentences of a caption that name seeds and thinning."""
        words = f"Seed {self.runs[0].seed}."
        if len(self.runs) > 1:
            words = f"Mean of {len(self.runs)} seeds, band: one standard deviation."
        if self.every > 1:
            words += f" Every {self.every} epochs; all of them are in metrics.jsonl."
        return words

    def series(
        self, value: Value, name: str, color: int, factor: float = 1.0, **style: bool
    ) -> Series:
        """Return mean and standard deviation over seeds, per epoch that all of them have.

        Args:
            value: Reads a value from a record.
            name: Name of the line.
            color: Index of its color.
            factor: Number that values are multiplied by.
            style: Further arguments of :class:`~g2d.report.charts.Series`.
        """
        table = [
            [_scaled(value(epoch), factor) for epoch in run.epochs[:: self.every]]
            for run in self.runs
        ]
        epochs = [summarize(column) for column in zip(*table, strict=False)]
        if not any(epoch.n for epoch in epochs):
            return Series(name, ())
        spread = [epoch.sd for epoch in epochs] if len(self.runs) > 1 else []
        return Series(name, [epoch.mean for epoch in epochs], spread, color, **style)

    def trained(self, prefix: str, label: str = "{}", **style: bool) -> list[Series]:
        """Return a line per modality of a value that training recorded."""
        lines = [
            self.series(_train(f"{prefix}/{m}"), label.format(m), i, **style)
            for i, m in enumerate(self.modalities)
        ]
        return [line for line in lines if line.values]

    def curves(
        self,
        name: str,
        title: str,
        caption: str,
        lines: Sequence[Series],
        y_label: str,
        **axis: Any,
    ) -> Curves | None:
        """Return curves with the origin in their caption, or None if all lines are empty.

        Args:
            name: Short name, used for files.
            title: What they show.
            caption: How to read them.
            lines: The lines; empty ones are left out.
            y_label: Quantity and unit.
            axis: Further arguments of :class:`Curves`.
        """
        known = [line for line in lines if any(value is not None for value in line.values)]
        if not known:
            return None
        words = f"{caption} {self.origin}"
        return Curves(name, title, words, known, y_label, every=self.every, **axis)


def recorded(runs: Sequence[RunRecord], points: int | None = None) -> Recorded | None:
    """Return the records of the seeds of one recipe, or None if none of them has an epoch.

    Args:
        runs: The seeds of one recipe.
        points: Approximate number of epochs that are kept, evenly spaced; None for all.
    """
    kept = [run for run in runs if run.epochs]
    if not kept:
        return None
    return Recorded(kept, 1 if points is None else -(-len(kept[0].epochs) // points))


def epoch_figures(runs: Sequence[RunRecord], points: int | None = None) -> list[Figure]:
    """Return charts of everything that the seeds of one recipe recorded over epochs.

    Args:
        runs: The seeds of one recipe.
        points: Approximate number of epochs that are kept, evenly spaced; None for all.
    """
    records = recorded(runs, points)
    if records is None:
        return []
    made = [make(records) for make in CURVES.values()]
    return [curves.figure() for curves in made if curves is not None]


def unimodal_curves(records: Recorded) -> Curves | None:
    """Return validation scores of each modality alone and of all together (Fig. 1 of the paper)."""
    metric = records.runs[0].headline
    scale = scale_of(metric)

    def alone(m: str) -> Value:
        return lambda epoch: epoch.valid.unimodal.get(m, {}).get(metric)

    lines = [records.series(lambda epoch: epoch.valid.fused.get(metric), "fused", -1, scale.factor)]
    lines += [
        records.series(alone(m), m, i, scale.factor) for i, m in enumerate(records.modalities)
    ]
    levels = _teacher_levels(records, metric)
    dotted = " Dotted: the modality's teacher alone." if levels else ""
    return records.curves(
        "unimodal",
        f"Validation {metric} per modality",
        f"The model's own logits of each modality, and all modalities together.{dotted}",
        lines,
        f"{metric}{scale.in_brackets}",
        levels=levels,
        bounds=scale.bounds,
    )


def confidence_curves(records: Recorded) -> Curves | None:
    """Return the teachers' confidence, by which modalities are ranked (Eq. 5, Fig. 3)."""
    return records.curves(
        "confidence",
        "Teachers' confidence",
        "Mean probability that a teacher gives to the true class, on training batches; dashed: "
        "on validation rows. Modalities are ranked by it (Eq. 5).",
        [
            *records.trained("confidence"),
            *records.trained("confidence_validation", "{}, valid.", dashed=True),
        ],
        "probability of the true class",
        include=(0.0,),
        bounds=(0.0, 1.0),
    )


def prioritized_curves(records: Recorded) -> Curves | None:
    """Return the coefficient of each modality's encoder (Eq. 7)."""
    return records.curves(
        "prioritized",
        "Prioritized modalities",
        "Coefficient κ of each modality's encoder, mean over the updates of an epoch: 1 means "
        "that it learns in all of them, 0 in none (Eq. 7).",
        records.trained("kappa", steps=True),
        "κ, mean over updates",
        include=(0.0, 1.0),
    )


def alignment_curves(records: Recorded) -> Curves | None:
    """Return the cosine between the features of students and teachers (Fig. 5)."""
    return records.curves(
        "alignment",
        "Alignment with the teachers",
        "Mean cosine of each modality's features with its teacher's, on training batches.",
        records.trained("alignment"),
        "cosine",
        include=(1.0,),
        bounds=(-1.0, 1.0),
    )


def loss_curves(records: Recorded) -> Curves | None:
    """Return the terms of the loss."""
    terms = [name for name in records.names if name.startswith("loss/")]
    labels = [name.removeprefix("loss/").replace("/", " ") for name in terms]
    return records.curves(
        "loss",
        "Loss by term",
        "The terms whose sum is minimized, mean over the training batches of an epoch.",
        [
            records.series(_train(name), label, i, dashed=i >= COLORS)
            for i, (name, label) in enumerate(zip(terms, labels, strict=True))
        ],
        "loss",
        include=(0.0,),
    )


CURVES: dict[str, Callable[[Recorded], Curves | None]] = {
    "unimodal": unimodal_curves,
    "confidence": confidence_curves,
    "prioritized": prioritized_curves,
    "alignment": alignment_curves,
    "loss": loss_curves,
}
"""Charts over epochs by name; each returns None if nothing was recorded for it."""


def fused_figure(group: Group, baseline: str | None) -> Figure:
    """Return fused test scores of a comparison: mean, 95 % interval, and every seed.

    Args:
        group: Runs on one problem.
        baseline: Name of the row that is drawn as a level too.
    """
    scale, title = scale_of(group.metric), f"Fused test {group.metric}"
    lines = [line for line in group.lines if line.fused]
    marks, rows = [], []
    for line in lines:
        values = _printed(line.fused, scale)
        summary, (low, high) = summarize(values), mean_interval(values) or (None, None)
        points = values if len(values) > 1 else ()
        marks.append(Mark(line.name, summary.mean, low, high, points, KIND_COLORS[line.kind]))
        rows.append([line.name, summary.mean, summary.sd, summary.n, low, high, *values])
    level = next((mark.value for mark in marks if mark.name == baseline), None)
    caption = "Dot: mean over seeds; small dots: seeds; " + (
        "line: 95 % interval of the mean."
        if any(mark.low is not None for mark in marks)
        else f"fewer than {MINIMUM_SEEDS} seeds: no interval."
    )
    if any(line.kind == CONTROL for line in lines):
        caption += " Green: controls that need no multimodal training."
    caption += " Compare rows by the paired differences in the table, not by these intervals."
    drawing = row_chart(
        marks,
        label=f"{title}, {len(marks)} rows",
        x_label=f"test {group.metric}{scale.in_brackets}",
        levels=[Level(f"{baseline}", level)] if level is not None else [],
        bounds=scale.bounds,
    )
    header = ["name", "mean", "sd", "n", "low", "high"]
    return Figure("fused", title, caption, drawing, as_csv(header, rows))


def unimodal_figures(group: Group) -> Iterator[Figure]:
    """Yield, per modality, the scores of the models' own logits next to that of its teacher."""
    scale, metric = scale_of(group.metric), group.metric
    teachers = next((line.unimodal for line in group.lines if line.kind == TEACHER), {})
    for i, m in enumerate(group.modalities):
        scores = {
            line.name: _printed(line.unimodal.get(m, {}), scale)
            for line in group.lines
            if line.kind == RUN
        }
        summaries = {name: summarize(values) for name, values in scores.items() if values}
        if not summaries:
            continue
        teacher = summarize(_printed(teachers.get(m, {}), scale))
        marks = [
            Mark(name, s.mean, *_ends(s.mean, s.sd, scale.bounds), color=i)
            for name, s in summaries.items()
        ]
        rows = [[name, s.mean, s.sd, s.n] for name, s in summaries.items()]
        caption = f"The models' own logits of {m}. Line: one standard deviation over seeds."
        if teacher.mean is not None:
            rows.append([TEACHERS, teacher.mean, None, teacher.n])
            caption += f" Dotted: its teacher, trained on {m} only."
        title = f"{m} alone: test {metric}"
        drawing = row_chart(
            marks,
            label=title,
            x_label=f"test {metric} of {m} alone{scale.in_brackets}",
            bars=scale.unit == "%",
            levels=[] if teacher.mean is None else [Level(f"teacher of {m}", teacher.mean)],
            bounds=scale.bounds,
        )
        yield Figure(
            f"{m}-alone", title, caption, drawing, as_csv(["name", "mean", "sd", "n"], rows)
        )


def plot_figure(
    name: str, title: str, plot: Plot, y: Scale | None = None, x: Scale | None = None
) -> Figure:
    """Return a plot of a diagnosis as a figure.

    Args:
        name: Short name, used for files.
        title: What it shows.
        plot: The plot.
        y: Scale of the vertical axis.
        x: Scale of the horizontal axis.
    """
    across, up = x or Scale(), y or Scale()
    clouds = {
        key: [(across.factor * a, up.factor * b) for a, b in points]
        for key, points in plot.points.items()
        if points
    }
    x_label, y_label = plot.x + across.in_brackets, plot.y + up.in_brackets
    drawing = plane_chart(
        clouds,
        label=f"{title}: {', '.join(clouds)}",
        x_label=x_label,
        y_label=y_label,
        joined=plot.joined,
        diagonal=plot.diagonal,
        bounds=up.bounds,
    )
    rows = [[key, a, b] for key, points in clouds.items() for a, b in points]
    return Figure(name, title, plot.caption, drawing, as_csv(["name", x_label, y_label], rows))


def as_csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return CSV with six significant digits; None becomes an empty field."""

    def plain(value: Any) -> Any:
        return f"{value:.6g}" if isinstance(value, float) else "" if value is None else value

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [csv_cell(cell) for cell in row] for row in (header, *([*map(plain, row)] for row in rows))
    )
    return out.getvalue()


def _train(name: str) -> Value:
    return lambda epoch: epoch.train.get(name)


def _teacher_levels(records: Recorded, metric: str) -> list[Level]:
    scale, levels = scale_of(metric), []
    for i, m in enumerate(records.modalities):
        teachers = [run.result.teachers[m] for run in records.runs if m in run.result.teachers]
        mean = summarize([teacher.valid.get(metric) for teacher in teachers]).mean
        if mean is not None:
            levels.append(Level(f"teacher {m}", scale.factor * mean, i))
    return levels


def _ends(
    mean: float | None, sd: float | None, bounds: Bounds
) -> tuple[float | None, float | None]:
    if mean is None or not sd:
        return None, None
    return clipped(mean - sd, bounds), clipped(mean + sd, bounds)


def _printed(values: Values, scale: Scale) -> list[float]:
    return [scale.factor * value for value in values.values() if value is not None]


def _scaled(value: float | None, factor: float) -> float | None:
    return factor * value if value is not None and math.isfinite(value) else None
