"""``g2d diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2d.cli.options import RunFolders, Split, chosen


def diagnose(
    runs: RunFolders,
    split: Annotated[Split, typer.Option(help="Rows to diagnose.")] = Split.test,
    teachers: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Compare with the teachers of this run. Default: those of the run's own recipe.",
        ),
    ] = None,
) -> None:
    """Report whether a modality is ignored, how much, how certain that is, and what to try.

    Example: `g2d diagnose runs/a runs/b`

    The results are written to analysis.json in the run folder and appear on its page
    (report.html).
    """
    from g2d.experiment.diagnosing import described, diagnose_run
    from g2d.runs import DataFacts

    for folder in runs:
        run, diagnosis, content = diagnose_run(folder, split=chosen(split), teachers=teachers)
        facts = DataFacts.model_validate(run.source.describe())
        typer.echo(f"{folder} · {run.name} · {run.source.protocol} · {split.value}\n")
        typer.echo(f"{diagnosis}\n\n{described(diagnosis, content, facts)}\n")
