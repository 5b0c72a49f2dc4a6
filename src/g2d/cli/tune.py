"""``g2d tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2d.cli.options import Methods, RecipesAndAssignments, load_recipes


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
) -> None:
    """Search learning rates and method strengths, with the same number of trials per recipe.

    Example: `g2d tune digits --methods joint,mslr,g2d --trials 20`

    Trials are scored on the validation rows; the test rows are not used. If interrupted, run the
    same command again to continue. Compare the tuned recipes in the folder next.
    """
    from g2d.experiment import tune as search_all
    from g2d.experiment.tune import read_space

    spaces = dict(read_space(text) for text in search) if search else None
    typer.echo(
        search_all(
            load_recipes(recipes, methods),
            trials=trials,
            seeds=seeds,
            searched=spaces,
            out=out,
            say=typer.echo,
        )
    )
