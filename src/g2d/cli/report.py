"""``g2d report``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Format = StrEnum("Format", "html text markdown csv latex json")
"""Formats of a report."""


class Layout(StrEnum):
    """Layouts of tables: the general comparison, and the tables of the paper."""

    compare = "compare"
    table1 = "1"
    table2 = "2"
    table3 = "3"
    table4 = "4"
    table5 = "5"
    table6 = "6"
    table7 = "7"


Figures = StrEnum("Figures", "svg png pdf")
"""Formats of charts."""


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="Run folders, or folders that contain some, such as that of a comparison.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file to write. Default: report.html in the first folder; "
            "other formats are printed.",
        ),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="A page, or the tables alone.")
    ] = Format.html,
    table: Annotated[
        Layout,
        typer.Option(help="The general comparison, or the layout of Tables 1-7 of the paper."),
    ] = Layout.compare,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="ROW", help="Row that others are compared with. Default: joint training."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP,GROUP...",
            help="Groups of columns to keep: fused, difference, unimodal, ratio, cost.",
        ),
    ] = None,
    figures: Annotated[
        Figures | None,
        typer.Option(help="Also write the charts, to the folder figures next to the page."),
    ] = None,
) -> None:
    """Put finished runs in tables with statistics, and on a page that explains them.

    Example: `g2d report runs/compare --format latex --table 4`

    Differences are paired by seed, have 95 % intervals, and are corrected for their number.
    The page needs no network.
    """
    from g2d.errors import ArgumentError
    from g2d.files import is_same, one_line, write_text
    from g2d.paper import build, build_compared
    from g2d.report import FORMATS, groups_of, write_page
    from g2d.report.formatting import counted
    from g2d.runs import ANALYSIS, PAGE, RECORDED, RESULT, find_runs

    runs, left_out = find_runs(folders)
    for one in left_out:
        typer.echo(one_line(str(one)), err=True)
    files = [run.folder / name for run in runs for name in (RESULT, ANALYSIS, *RECORDED)]
    if out is not None and any(is_same(out, path) for path in files):
        raise ArgumentError(
            f"--out must be a file for the report, found {out}, which is a part of a run. Name a "
            "new file."
        )
    groups = groups_of(runs)
    tables = build(groups, table.value, baseline)
    if columns is not None:
        names = [name.strip() for name in columns.split(",") if name.strip()]
        tables = [each.only(*names) for each in tables]
    if form is not Format.html:
        if figures is not None:
            raise ArgumentError(f"--figures must be used with --format html, found {form.value}.")
        text = FORMATS[form.value](tables)
        if out is None:
            typer.echo(text, nl=False)
            return
        write_text(out, text)
    else:
        general = table is Layout.compare
        out = out or folders[0] / PAGE
        write_page(
            out,
            groups,
            baseline=baseline,
            tables=tables if general else build_compared(groups, baseline),
            first=() if general else tables,
            left_out=left_out,
            figures=None if figures is None else figures.value,
        )
    typer.echo(f"{counted(len(runs), 'run')} reported in {out}")
