"""``g2d reproduce``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from g2d.cli.options import Assignments, Jobs, Oversubscribe, Quiet, Ray, Shard, end, words_of

Protocol = StrEnum("Protocol", {"paper": "paper", "leak_free": "leak-free"})
"""Protocols of a reproduction."""


def complete_table(incomplete: str) -> list[str]:
    """Return the names of tables that begin with a text."""
    from g2d.paper.grid import TABLES

    return [name for table in TABLES if (name := f"table{table}").startswith(incomplete)]


def reproduce(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE", help="table1 to table7 of the paper.", autocompletion=complete_table
        ),
    ],
    overrides: Assignments = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="One of the table's data sets; or any other problem, such as digits, on which each"
            " distinct run of the table is repeated once. Default: all data sets of the table.",
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            "-m",
            metavar="NAME,NAME...",
            help="Methods of the table to run, instead of all.",
        ),
    ] = None,
    protocol: Annotated[
        Protocol | None,
        typer.Option(
            help="The paper's split, frames and selection on the test split; or a split without"
            " leaks, with selection on validation rows. Default: the paper's for its data sets."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 1,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the runs and the tables.")
    ] = Path("runs/reproduce"),
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List the runs and what is missing; run nothing. With --shard, print a SLURM"
            " script with an array of N tasks instead.",
        ),
    ] = False,
    jobs: Jobs = 1,
    shard: Shard = None,
    ray: Ray = None,
    oversubscribe: Oversubscribe = False,
    quiet: Quiet = False,
) -> None:
    """Rerun a table of the paper: published and measured values, and their difference.

    Example: `g2d reproduce table4 --data digits --seeds 2`

    Finished runs are not repeated. A run that fails is reported, and the rest is finished; the exit
    code is then 2. If interrupted, run the same command again to continue.
    """
    from g2d.errors import RecipeError
    from g2d.experiment import reproduce as reproduce_table
    from g2d.recipe.reading import read_settings

    faults: list[str] = []
    settings = dict(read_settings(overrides or (), faults))
    if faults:
        raise RecipeError(faults, "the command line")
    chosen = None if protocol is None else protocol.value
    reproduction = reproduce_table(
        table,
        data=data,
        methods=methods or (),
        protocol=chosen,
        seeds=seeds,
        out=out,
        dry_run=dry_run,
        jobs=jobs,
        shard=shard,
        ray=ray,
        oversubscribe=oversubscribe,
        progress=not quiet,
        say=typer.echo,
        **settings,
    )
    if dry_run and shard is not None:
        from g2d.experiment.grids import array_of
        from g2d.experiment.launching import Launch

        options = {
            "--data": data,
            "--methods": methods,
            "--protocol": chosen,
            "--seeds": seeds,
            "--out": out,
            "--jobs": jobs if jobs > 1 else None,
            "--oversubscribe": oversubscribe,
            "--quiet": quiet,
        }
        command = ["reproduce", table, *(overrides or ()), *words_of(options)]
        array = array_of(reproduction.planned, command, Launch(jobs, shard))
        typer.echo(array.script(), nl=False)
        return
    if text := str(reproduction):
        typer.echo(text)
    end(reproduction.failures)
