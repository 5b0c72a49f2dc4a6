"""``g2d tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2d.cli.options import (
    Jobs,
    Methods,
    Oversubscribe,
    Ray,
    RecipesAndAssignments,
    Script,
    Shard,
    load_recipes,
    words_of,
)


def tune(
    recipes: RecipesAndAssignments,
    methods: Methods = None,
    trials: Annotated[
        int,
        typer.Option(help="Trials per recipe; the first trial uses the recipe unchanged.", min=1),
    ] = 20,
    seeds: Annotated[int, typer.Option(help="Seeds averaged into a trial's score.", min=1)] = 1,
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="A range to search instead of the defaults: KEY=LOW..HIGH, KEY=LOW..HIGH:whole or"
            " KEY=A|B|C. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for trials, tuned recipes and the table.")
    ] = Path("runs/tune"),
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Keep the trials where several commands share them: the path of a journal file, or"
            " the URL of a database, such as sqlite:///trials.db.",
        ),
    ] = None,
    jobs: Jobs = 1,
    shard: Shard = None,
    ray: Ray = None,
    oversubscribe: Oversubscribe = False,
    dry_run: Script = False,
) -> None:
    """Search learning rates and method strengths, with the same number of trials per recipe.

    Example: `g2d tune digits --methods joint,mslr,g2d --trials 20`

    Trials are scored on the validation rows; the test rows are not used. If interrupted, run the
    same command again to continue. With --jobs, recipes are searched at the same time. Compare the
    tuned recipes in the folder next.
    """
    from g2d.experiment import tune as search_all
    from g2d.experiment.tune import read_space

    spaces = dict(read_space(text) for text in search) if search else None
    loaded = load_recipes(recipes, methods)
    if dry_run:
        from g2d.experiment.launching import Launch, threads_of
        from g2d.experiment.slurm import Array

        options = {
            "--methods": methods,
            "--trials": trials,
            "--seeds": seeds,
            "--search": search,
            "--out": out,
            "--storage": storage,
            "--oversubscribe": oversubscribe,
            "--jobs": jobs if jobs > 1 else None,
        }
        command = ["tune", *recipes, *words_of(options)]
        cells = [(f"search of {recipe.name}", False) for recipe in loaded]
        array = Array(command, cells, Launch(jobs, shard), max(map(threads_of, loaded)))
        typer.echo(array.script(), nl=False)
        return
    table = search_all(
        loaded,
        trials=trials,
        seeds=seeds,
        searched=spaces,
        out=out,
        storage=storage,
        jobs=jobs,
        shard=shard,
        ray=ray,
        oversubscribe=oversubscribe,
        progress=jobs > 1,
        say=typer.echo,
    )
    if table:
        typer.echo(table)
