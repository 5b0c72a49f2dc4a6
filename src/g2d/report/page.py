"""One self-contained page for a run or a comparison: it opens from disk, asks for nothing from a network, and fits a phone and paper."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from g2d.report.curves import (
    Figure,
    analysis_figures,
    drawn,
    epoch_figures,
    fused_figure,
    unimodal_figures,
)
from g2d.report.figures import write_figures
from g2d.report.formatting import ABSENT, COUNTS, PERCENT, number, scale_of
from g2d.report.layouts import baseline_of, cautions, lines
from g2d.report.paper import COMPARE, build
from g2d.report.tables import Cell, Column, Row, Table
from g2d.report.words import comparison_words, run_words, seeds_words
from g2d.runs import PAGE, RESULT, Cost, RunRecord, grouped, read_run

OPEN_RECIPES = 20
"""Up to so many recipes, their curves are shown at once; beyond, each is opened when wanted."""
POINTS = 12_000
"""About how many epochs the curves of a page show in all, so that a large comparison stays under 10 MB."""
Facts = dict[str, str]


@dataclass(frozen=True)
class Section:
    """A recipe of a comparison, or the one run: its curves, its recipe, its notices, its diagnosis."""

    name: str
    figures: Sequence[Figure]
    recipe: str
    notices: Sequence[str] = ()
    analyses: Sequence[Analysis] = ()


@dataclass(frozen=True)
class Analysis:
    """A part of a diagnosis, shown as what it looks like: sentences, tables or figures."""

    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    text: str = ""

    @property
    def broad(self) -> bool:
        """Whether it takes the whole width: sentences and wide tables do."""
        return bool(self.words) or any(len(table.columns) > 3 for table in self.tables)


@dataclass(frozen=True)
class Problem:
    """What a comparison found on one data set and protocol."""

    title: str
    words: Sequence[str]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    sections: Sequence[Section]
    facts: Facts
    runs: Table | None = None
    anchor: str = field(default="")


def render_page(
    runs: Sequence[RunRecord],
    *,
    title: str = "",
    baseline: str | None = None,
    layout: str = "compare",
    unfinished: Sequence[Path] = (),
) -> str:
    """The page of one run, or of a comparison of several.

    Args:
        title: by default the run's name, or how many runs there are.
        baseline, layout: as in :func:`g2d.report.paper.build`; for several runs.
        unfinished: folders that are named as left out.
    """
    single = len(runs) == 1
    found = [_run_problem(runs[0])] if single else _comparison(runs, baseline, layout)
    environment = Environment(
        loader=PackageLoader("g2d.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"svg": Markup, "numeric": _is_numeric}
    return environment.get_template("page.html").render(
        title=title or (runs[0].name if single else "Comparison"),
        subtitle=f"{runs[0].result.method} on {runs[0].result.data.name}, seed {runs[0].seed}"
        if single
        else seeds_words(runs),
        problems=found,
        single=single,
        opened=sum(len(problem.sections) for problem in found) <= OPEN_RECIPES,
        unfinished=[str(folder) for folder in unfinished],
    )


def write_report(folder: Path) -> list[Path]:
    """A run's figures as files, and, once it is finished, its page."""
    written = write_figures(folder)
    if (folder / RESULT).is_file():
        written.append(write_page(folder / PAGE, [read_run(folder)]))
    return written


def write_page(path: Path, runs: Sequence[RunRecord], **options: Any) -> Path:
    """Write a page so that a reader sees the old one or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(render_page(runs, **options), encoding="utf-8")
    aside.replace(path)
    return path


def _run_problem(run: RunRecord) -> Problem:
    table = run_table(run)
    section = Section(
        run.name, epoch_figures([run]), run.recipe_text, run.result.notices, _analyses(run)
    )
    return Problem(run.name, run_words(run), [table], [], [section], facts(run))


def _comparison(runs: Sequence[RunRecord], baseline: str | None, layout: str) -> list[Problem]:
    groups, asked = [p.runs for p in grouped(runs)], build(runs, layout, baseline)
    protocols = [group[0].result.data.protocol for group in groups]
    points = max(20, POINTS // len({run.name for run in runs}))
    found = []
    for i, (group, compared) in enumerate(zip(groups, build(runs, baseline=baseline), strict=True)):
        metric, result = group[0].headline, group[0].result
        shown = lines(group, metric)
        sections = []
        for name, same in grouped(group)[0].recipes.items():
            notices = list(
                dict.fromkeys(
                    f"seed {run.seed}: {notice}" for run in same for notice in run.result.notices
                )
            )
            analyses = [
                analysis for run in same for analysis in _analyses(run, f", seed {run.seed}")
            ]
            sections.append(
                Section(name, epoch_figures(same, points), same[0].recipe_text, notices, analyses)
            )
        figures = [
            fused_figure(shown, metric, baseline_of(shown, baseline)),
            *unimodal_figures(shown, group[0].modalities, metric),
        ]
        title = f"{result.data.name}: {protocols[i]}"
        if (
            protocols.count(protocols[i]) > 1
        ):  # the same protocol with another task or other modalities
            title += f", {result.task['kind']} from {', '.join(group[0].modalities)}"
        tables = [compared] if i or layout == COMPARE else [*asked, compared]
        found.append(
            Problem(
                title,
                comparison_words(group, baseline),
                tables,
                figures,
                sections,
                facts(group[0]),
                runs_table(group),
                f"problem-{i}",
            )
        )
    return found


def run_table(run: RunRecord) -> Table:
    """A run's test metrics: fused, every modality, and every modality's teacher."""
    test, modalities, teachers = run.result.test, run.modalities, run.result.teachers
    metrics = [
        run.headline,
        *(
            name
            for name in test.fused
            if name not in (run.headline, "loss") and (name not in COUNTS or test.fused[name])
        ),
        "loss",
    ]
    columns = [
        Column("fused"),
        *(Column(m) for m in modalities),
        *(Column(f"teacher {m}") for m in modalities if m in teachers),
    ]
    rows = []
    for name in [name for name in metrics if name in test.fused]:
        scale = scale_of(name)
        sources = [
            test.fused,
            *(test.unimodal.get(m, {}) for m in modalities),
            *(teachers[m].test for m in modalities if m in teachers),
        ]
        values = [source.get(name) for source in sources]
        shown = [
            number(None if value is None else scale.factor * value, scale.digits)
            for value in values
        ]
        rows.append(
            Row(
                f"{name.replace('_', ' ')} (%)"
                if name in PERCENT or scale.unit
                else name.replace("_", " "),
                tuple(Cell(text) for text in shown),
            )
        )
    ratios = {m: teachers[m].confidence_ratio for m in modalities if m in teachers}
    if ratios:
        cells = [
            Cell(ABSENT),
            *(Cell(number(ratios.get(m), 2)) for m in modalities),
            *(Cell(number(1.0, 2)) for _ in ratios),
        ]
        rows.append(Row("confidence ratio", tuple(cells)))
    chosen = (
        "(*) selected on the test split"
        if run.result.select_on == "test"
        else "selected on validation; the test split was opened once"
    )
    size = (
        f"{test.rows} test rows in {test.groups} independent groups"
        if test.rows is not None
        else "test rows"
    )
    notes = (
        f"{size}. Epoch {run.result.selected_epoch} of {run.result.epochs}, {chosen}.",
        *cautions(run.result.data),
    )
    return Table("Test metrics", tuple(columns), tuple(rows), notes, "metric")


def runs_table(runs: Sequence[RunRecord]) -> Table:
    """Every run on its own: seed, fused score, selected epoch, cost, notices."""
    scale = scale_of(runs[0].headline)
    columns = (
        Column("seed", digits=0),
        Column("fused", scale.unit, scale.digits),
        Column("selected epoch"),
        Column("training", "s"),
        Column("notices", digits=0),
    )
    rows = []
    for run in runs:
        fused, seconds = run.fused(run.headline), run.result.cost.seconds
        epoch = f"{run.result.selected_epoch} of {run.result.epochs}"
        cells = (
            Cell(str(run.seed)),
            Cell(None if fused is None else scale.factor * fused),
            Cell(epoch),
            Cell(seconds),
            Cell(float(len(run.result.notices))),
        )
        rows.append(Row(run.name, cells))
    return Table("Every run", columns, tuple(rows), (), "recipe")


def facts(run: RunRecord) -> dict[str, str]:
    """Data, protocol, versions and cost of a run, in words."""
    result, data, cost = run.result, run.result.data, run.result.cost
    rows = data.rows
    samples = f"{data.kept:,} of {data.expected:,} prepared" if data.kept is not None else ""
    found = {
        "Data": f"{data.name}, content {data.content_hash[:16]}",
        "Protocol": f"{data.protocol}, split {data.protocol_hash[:16]}",
        "Rows": ", ".join(f"{split} {count:,}" for split, count in rows.items()),
        "Samples": samples + (" (partial)" if data.partial else ""),
        "Modalities": ", ".join(run.modalities),
        "Task": ", ".join(f"{key} {_listed(value)}" for key, value in result.task.items()),
        "Note on the data": " ".join([data.note, *cautions(data)]).strip(),
        "Method, fusion": f"{result.method}, {result.fusion}",
        "Selection": f"by {result.selection_metric} on {result.select_on}"
        + (", heads calibrated on validation" if result.calibrated else ""),
        "Seeds": f"run {result.seed}, teachers {result.teacher_seed}",
        "Versions": ", ".join(f"{name} {version}" for name, version in result.versions.items()),
        "Machine": f"{result.device}, {result.threads} thread{'' if result.threads == 1 else 's'}",
        "Cost": _cost_words(cost),
        "Folder": str(run.folder),
    }
    return {name: text for name, text in found.items() if text}


def _cost_words(cost: Cost) -> str:
    said = [f"{number(cost.seconds, 1)} s of training"]
    if cost.teacher_seconds:
        said.append(f"{number(cost.teacher_seconds, 1)} s for its teachers")
    said += [f"{cost.updates:,} updates"] if cost.updates else []
    said += [f"{cost.flops_per_step / 1e9:.3g} GFLOP per step"] if cost.flops_per_step else []
    said += [
        f"{name.replace('_', ' ')} passes {_listed(count)}" for name, count in cost.passes.items()
    ]
    return ", ".join(said)


def _analyses(run: RunRecord, suffix: str = "") -> list[Analysis]:
    """What ``analysis.json`` holds, section by section; a list of sentences, of records, or of numbers is recognized, all else is shown as it is."""
    found = []
    for name, content in ({} if run.analysis is None else run.analysis.plain()).items():
        title = f"{name.replace('_', ' ').capitalize()}{suffix}"
        if isinstance(content, str | int | float | bool) or content is None:
            found.append(Analysis(title, words=[str(content)]))
        elif (
            isinstance(content, list) and content and all(isinstance(item, str) for item in content)
        ):
            found.append(Analysis(title, words=content))
        elif figure := drawn(title, content):
            found.append(Analysis(title, figures=[figure]))
        elif figures := analysis_figures(title, content):
            found.append(Analysis(title, figures=figures))
        elif table := _records_table(title, content):
            found.append(Analysis(title, tables=[table]))
        else:
            found.append(Analysis(title, text=json.dumps(content, indent=1, ensure_ascii=False)))
    return found


def _records_table(title: str, content: Any) -> Table | None:
    """Named records, or a list of them, as a table; a mapping of plain values as one of two columns."""
    if (
        isinstance(content, Mapping)
        and content
        and all(_is_plain(value) for value in content.values())
    ):
        return Table(
            "",
            (Column("value", digits=3),),
            tuple(
                Row(str(key).replace("_", " "), (_plain_cell(value),))
                for key, value in content.items()
            ),
        )
    if isinstance(content, list):
        content = {str(i + 1): item for i, item in enumerate(content)}
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(
            isinstance(item, Mapping) and all(map(_is_plain, item.values()))
            for item in content.values()
        )
    ):
        return None
    names = list(dict.fromkeys(str(key) for item in content.values() for key in item))
    rows = tuple(
        Row(str(key), tuple(_plain_cell(item.get(name)) for name in names))
        for key, item in content.items()
    )
    return Table("", tuple(Column(name.replace("_", " "), digits=3) for name in names), rows)


def _is_plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str | int | float | bool)
        or (
            isinstance(value, list)
            and len(value) <= 3
            and all(isinstance(v, int | float) for v in value)
        )
    )


def _plain_cell(value: Any) -> Cell:
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, list):
        if len(value) == 3 and value[1] <= value[0] <= value[2]:  # an estimate with its interval
            return Cell(float(value[0]), low=float(value[1]), high=float(value[2]))
        return Cell(f"[{', '.join(f'{v:.3g}' for v in value)}]")
    return Cell(float(value) if isinstance(value, int | float) else value)


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)}: {', '.join(map(str, value[:12]))}{', …' if len(value) > 12 else ''}"
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} {count:,}" if isinstance(count, int) else f"{key} {count}"
            for key, count in value.items()
        )
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_numeric(cell: Cell, column: Column) -> bool:
    """Whether a cell stands at the right."""
    return not isinstance(cell.value, str) or cell.value[:1] in "+-0123456789<["


__all__ = ["PAGE", "render_page", "write_page", "write_report"]
