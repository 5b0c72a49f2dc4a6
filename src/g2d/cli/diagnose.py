"""``g2d diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2d.cli.options import RunFolders


def diagnose(
    runs: RunFolders,
    split: Annotated[str, typer.Option(help="Which rows: train, valid or test.")] = "test",
    teachers: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Compare with the teachers of this run. By default with its own recipe's.",
        ),
    ] = None,
) -> None:
    """Say whether a modality is ignored, how much, and how sure that is; and what to try.

    Example: `g2d diagnose runs/a runs/b`

    The figures are kept as analysis.json in the run folder, and shown on its page (report.html).
    """
    from g2d.experiment.diagnosing import described, diagnose_run
    from g2d.runs import DataFacts

    for folder in runs:
        run, found = diagnose_run(folder, split=split, teachers=teachers)
        typer.echo(
            f"{folder} · {run.name} · {run.source.protocol} · {split}\n\n{found}\n\n{described(found, DataFacts.model_validate(run.source.describe()))}\n"
        )
