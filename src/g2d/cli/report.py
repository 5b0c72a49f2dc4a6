"""``g2d report``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What a report can be written as."""

    html = "html"
    text = "text"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"
    json = "json"


class Layout(StrEnum):
    """Which table: the general comparison, or one laid out as a table of the paper."""

    compare = "compare"
    table1 = "1"
    table2 = "2"
    table3 = "3"
    table4 = "4"
    table5 = "5"
    table6 = "6"
    table7 = "7"


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="Run folders, or folders that hold some, such as a comparison's.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file. By default report.html in the first folder; other formats are printed.",
        ),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="A page, or the tables alone.")
    ] = Format.html,
    table: Annotated[
        Layout,
        typer.Option(help="The general comparison, or the layout of the paper's Tables 1-7."),
    ] = Layout.compare,
    baseline: Annotated[
        str | None,
        typer.Option(help="The row that others are compared with. By default joint training."),
    ] = None,
) -> None:
    """Put finished runs in tables with their statistics, and on one page that explains them.

    Example: `g2d report runs/compare --format latex --table 4`

    Differences are paired by seed, with 95 % intervals, and corrected for how many there are. The page needs no network.
    """
    from g2d.report import FORMATS, build
    from g2d.report.page import write_page
    from g2d.runs import PAGE, find_runs

    runs, unfinished = find_runs(folders)
    for folder in unfinished:
        typer.echo(f"{folder} is not finished and left out.", err=True)
    if form is Format.html:
        path = write_page(
            out or folders[0] / PAGE,
            runs,
            baseline=baseline,
            layout=table.value,
            unfinished=unfinished,
        )
        typer.echo(f"{len(runs)} run{'' if len(runs) == 1 else 's'} reported in {path}")
        return
    text = FORMATS[form.value](build(runs, table.value, baseline))
    if out is None:
        typer.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    typer.echo(f"{len(runs)} run{'' if len(runs) == 1 else 's'} reported in {out}")
