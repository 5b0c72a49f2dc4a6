"""One self-contained HTML page for a run or a comparison.

The page opens from disk, requests nothing from a network, and fits a phone and paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from g2d.files import write_text
from g2d.report.comparison import cautions, comparison_table
from g2d.report.curves import Figure, epoch_figures, fused_figure, unimodal_figures
from g2d.report.diagnosis import diagnosis_parts
from g2d.report.drawing import DARK, LIGHT, css_variables
from g2d.report.fitted import fit_tables
from g2d.report.formatting import ABSENT, COUNTS, number, scale_of
from g2d.report.lines import Group, groups_of
from g2d.report.parts import Part
from g2d.report.tables import Cell, Column, Row, Table
from g2d.report.words import comparison_words, run_words, seeds_words
from g2d.runs import FIGURES, PAGE, Cost, LeftOut, RunRecord, read_run

OPEN_RECIPES = 20
"""Up to this number of recipes, their curves are visible at once; beyond, each can be opened."""
POINTS = 12_000
"""Approximate number of epochs of all curves of a page, which keeps it below 10 MB."""


@dataclass(frozen=True)
class Section:
    """Section of one recipe.

    Args:
        name: Name of the recipe.
        figures: Charts over epochs.
        recipe: The resolved recipe as text.
        notices: Warnings of its runs.
        diagnosis: Parts of its diagnosis.
    """

    name: str
    figures: Sequence[Figure]
    recipe: str
    notices: Sequence[str] = ()
    diagnosis: Sequence[Part] = ()


@dataclass(frozen=True)
class Chapter:
    """Chapter of one data set and protocol, or of the only run.

    Args:
        title: Heading.
        words: Summary in sentences.
        tables: Tables.
        figures: Charts of test scores.
        sections: A section per recipe.
        facts: Data, protocol, versions and cost, in words.
        runs: Table of all runs; None for a single run.
        anchor: Name of the chapter in links.
    """

    title: str
    words: Sequence[str]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    sections: Sequence[Section]
    facts: Mapping[str, str]
    runs: Table | None = None
    anchor: str = "run"

    @property
    def all_figures(self) -> Iterator[tuple[str, Figure]]:
        """All charts with the name of their file, without its ending."""
        for figure in self.figures:
            yield figure.name, figure
        for section in self.sections:
            prefix = f"{section.name}-" if self.runs is not None else ""
            parts = [figure for part in section.diagnosis for figure in part.figures]
            for figure in [*section.figures, *parts]:
                yield f"{prefix}{figure.name}", figure


def chapters_of(
    groups: Sequence[Group],
    *,
    baseline: str | None = None,
    tables: Sequence[Table] | None = None,
    first: Sequence[Table] = (),
) -> list[Chapter]:
    """Return the content of a page.

    Args:
        groups: A group per problem.
        baseline: Name of the row that others are compared with.
        tables: The table of each group; by default :func:`comparison_table`.
        first: Further tables at the top of the page.
    """
    if len(groups) == 1 and len(groups[0].runs) == 1 and not first:
        return [_single(groups[0])]
    tables = tables or [comparison_table(group, baseline) for group in groups]
    points = max(20, POINTS // sum(len(group.recipes) for group in groups))
    protocols = [group.data.protocol for group in groups]
    chapters = []
    for i, (group, table) in enumerate(zip(groups, tables, strict=True)):
        title = f"{group.data.name}: {group.data.protocol}"
        if protocols.count(group.data.protocol) > 1:
            kind = group.runs[0].result.task["kind"]
            title += f", {kind} from {', '.join(group.modalities)}"
        chapters.append(
            Chapter(
                title,
                comparison_words(group, baseline),
                [*([] if i else first), table],
                [fused_figure(group, group.baseline(baseline)), *unimodal_figures(group)],
                [_section(name, runs, points) for name, runs in group.recipes.items()],
                facts(group.runs[0]),
                runs_table(group.runs),
                f"problem-{i}",
            )
        )
    return chapters


@cache
def _template() -> Template:
    """Return the template of the page, which a process compiles once."""
    environment = Environment(
        loader=PackageLoader("g2d.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def render_page(
    groups: Sequence[Group],
    chapters: Sequence[Chapter],
    *,
    title: str = "",
    left_out: Sequence[LeftOut] = (),
) -> str:
    """Return the page of one run, or of a comparison of several.

    Args:
        groups: A group per problem.
        chapters: A chapter per group.
        title: Title of the page; by default the name of the run, or "Comparison".
        left_out: Runs that are listed with the reason.
    """
    runs = [run for group in groups for run in group.runs]
    single, result = len(runs) == 1, runs[0].result
    return _template().render(
        title=title or (runs[0].name if single else "Comparison"),
        subtitle=f"{result.method} on {result.data.name}, seed {result.seed}"
        if single
        else seeds_words(runs),
        light=css_variables(LIGHT),
        dark=css_variables(DARK),
        chapters=chapters,
        single=single,
        opened=sum(len(chapter.sections) for chapter in chapters) <= OPEN_RECIPES,
        left_out=[str(one) for one in left_out],
    )


def write_page(
    path: Path,
    groups: Sequence[Group],
    *,
    title: str = "",
    baseline: str | None = None,
    tables: Sequence[Table] | None = None,
    first: Sequence[Table] = (),
    left_out: Sequence[LeftOut] = (),
    figures: str | None = None,
) -> list[Path]:
    """Write a page atomically, and before it its charts as files if wanted.

    Args:
        path: File of the page.
        groups: A group per problem.
        title: Title of the page; by default the name of the run, or "Comparison".
        baseline: Name of the row that others are compared with.
        tables: The table of each group; by default :func:`comparison_table`.
        first: Further tables at the top of the page.
        left_out: Runs that are listed with the reason.
        figures: Format of the charts in the folder ``figures`` next to the page: ``"svg"``,
            ``"png"`` or ``"pdf"``; None for no files.

    Returns:
        The written files.

    Raises:
        MissingDependencyError: PNG or PDF is wanted, and the extra ``figures`` is missing.
    """
    chapters = chapters_of(groups, baseline=baseline, tables=tables, first=first)
    page = render_page(groups, chapters, title=title, left_out=left_out)
    charts = _write_figures(path.parent / FIGURES, chapters, figures) if figures else ()
    drawn = list(charts)
    write_text(path, page)
    return [path, *drawn]


def write_report(folder: Path) -> list[Path]:
    """Write the page of a finished run and its charts as SVG files.

    Args:
        folder: The run folder.

    Returns:
        The written files.
    """
    return write_page(folder / PAGE, groups_of([read_run(folder)]), figures="svg")


def _write_figures(folder: Path, chapters: Sequence[Chapter], form: str) -> Iterator[Path]:
    for chapter in chapters:
        prefix = f"{chapter.anchor}-" if len(chapters) > 1 else ""
        for name, figure in chapter.all_figures:
            file = "".join(c if c.isalnum() or c in "-_+." else "-" for c in f"{prefix}{name}")
            yield figure.drawing.save(folder / f"{file}.{form}")


def _single(group: Group) -> Chapter:
    run = group.runs[0]
    section = Section(
        run.name, epoch_figures([run]), run.recipe_text, run.result.notices, diagnosis_parts(run)
    )
    more = [] if run.result.fit is None else fit_tables(run.result.fit)
    tables = [run_table(run), *more]
    return Chapter(run.name, run_words(group), tables, [], [section], facts(run))


def _section(name: str, runs: Sequence[RunRecord], points: int) -> Section:
    notices = [f"seed {run.seed}: {notice}" for run in runs for notice in run.result.notices]
    parts = [part for run in runs for part in diagnosis_parts(run, several=True)]
    figures = epoch_figures(runs, points)
    return Section(name, figures, runs[0].recipe_text, list(dict.fromkeys(notices)), parts)


def run_table(run: RunRecord) -> Table:
    """Return a run's test metrics: fused, of every modality, and of every teacher."""
    result, test = run.result, run.result.test
    teachers = {m: result.teachers[m] for m in run.modalities if m in result.teachers}
    columns = {
        "fused": test.fused,
        **{m: test.unimodal.get(m, {}) for m in run.modalities},
        **{f"teacher {m}": teacher.test for m, teacher in teachers.items()},
    }
    rows = []
    for name in metrics_of(test.fused, run.headline):
        scale = scale_of(name)
        values = [scale.of(metrics.get(name)) for metrics in columns.values()]
        label = f"{name.replace('_', ' ')}{scale.in_brackets}"
        rows.append(Row(label, tuple(Cell(number(value, scale.digits)) for value in values)))
    if teachers:
        ratios = [teachers[m].confidence_ratio if m in teachers else None for m in run.modalities]
        texts = [ABSENT, *(number(ratio, 2) for ratio in ratios), *("1.00" for _ in teachers)]
        rows.append(Row("confidence ratio", tuple(map(Cell, texts))))
    selected = "" if result.epochs == 0 else ", selected on validation"
    chosen = f"{selected}; the test split was opened once"
    if result.selected_on_test:
        chosen = ", (*) selected on the test split"
    size = "test rows"
    if test.rows is not None:
        size = f"{test.rows} test rows in {test.groups} independent groups"
    epoch = f"{size}. {result.epoch_in_words.capitalize()}{chosen}."
    notes = (epoch, *cautions(result.data))
    return Table("Test metrics", tuple(map(Column, columns)), tuple(rows), notes, "metric")


def metrics_of(fused: Mapping[str, float], headline: str) -> list[str]:
    """Return the names of the metrics to print: the headline first, the loss last.

    Args:
        fused: Metrics of all modalities together.
        headline: Metric that selects the epoch.
    """
    others = [
        name
        for name, value in fused.items()
        if name not in (headline, "loss") and (name not in COUNTS or value)
    ]
    return [name for name in (headline, *others, "loss") if name in fused]


def runs_table(runs: Sequence[RunRecord]) -> Table:
    """Return a table with a row per run: seed, score, selected epoch, cost, notices."""
    scale = scale_of(runs[0].headline)
    columns = (
        Column("seed", digits=0),
        Column("fused", scale.unit, scale.digits),
        Column("selected epoch"),
        Column("training", "s"),
        Column("notices", digits=0),
    )
    rows = [
        Row(
            run.name,
            (
                Cell(str(run.seed)),
                Cell(scale.of(run.fused(run.headline))),
                Cell(f"{run.result.selected_epoch} of {run.result.epochs}"),
                Cell(run.result.cost.seconds),
                Cell(float(len(run.result.notices))),
            ),
        )
        for run in runs
    ]
    return Table("Every run", columns, tuple(rows), (), "recipe")


def facts(run: RunRecord) -> dict[str, str]:
    """Return data, protocol, versions and cost of a run, in words."""
    result, data = run.result, run.result.data
    samples = ""
    if data.kept is not None:
        partial = " (partial)" if data.partial else ""
        samples = f"{data.kept:,} of {data.expected:,} prepared{partial}"
    calibrated = ", heads calibrated on validation" if result.calibrated else ""
    threads = f"{result.threads} thread{'' if result.threads == 1 else 's'}"
    texts = {
        "Data": f"{data.name}, content {data.content_hash[:16]}",
        "Protocol": f"{data.protocol}, split {data.protocol_hash[:16]}",
        "Rows": _listed(data.rows),
        "Samples": samples,
        "Modalities": ", ".join(run.modalities),
        "Task": ", ".join(f"{key} {_listed(value)}" for key, value in result.task.items()),
        "Note on the data": " ".join([data.note, *cautions(data)]).strip(),
        "Method, fusion": f"{result.method}, {result.fusion}",
        "Selection": f"by {result.selection_metric} on {result.select_on}{calibrated}",
        "Seeds": f"run {result.seed}, teachers {result.teacher_seed}",
        "Versions": ", ".join(f"{name} {version}" for name, version in result.versions.items()),
        "Machine": f"{result.device}, {threads}",
        "Cost": _cost_words(result.cost),
        "Folder": str(run.folder),
    }
    return {name: text for name, text in texts.items() if text}


def _cost_words(cost: Cost) -> str:
    parts = [f"{number(cost.seconds, 1)} s of training"]
    if cost.teacher_seconds:
        parts.append(f"{number(cost.teacher_seconds, 1)} s for its teachers")
    if cost.updates:
        parts.append(f"{cost.updates:,} updates")
    if cost.flops_per_step:
        parts.append(f"{cost.flops_per_step / 1e9:.3g} GFLOP per step")
    parts += [
        f"{name.replace('_', ' ')} passes {_listed(count)}" for name, count in cost.passes.items()
    ]
    return ", ".join(parts)


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)}: {', '.join(map(str, value[:12]))}{', …' if len(value) > 12 else ''}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_listed(count)}" for key, count in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
