"""The command ``g2d export``: a model that leaves its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2d.cli.options import RunFolder


def export(
    run: RunFolder,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write; new or empty.")],
) -> None:
    """Write a trained model as a folder that predicts without its data, also elsewhere.

    Example: `g2d export runs/a --to model`, then `g2d predict model --source rows.csv`

    It is opened and compared with the run before it is put in its place.
    """
    from g2d.experiment import export as write

    write(run, to)
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file()) / 1e6
    typer.echo(f"{to} predicts exactly as {run} does ({size:.1f} MB); its card is {to}/README.md")
