"""``g2d tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2d.errors import RecipeError


def tune(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE... [KEY=VALUE]...",
            help="Recipes, then overrides that hold for all of them.",
        ),
    ],
    trials: Annotated[
        int, typer.Option(help="Trials per recipe; the first is the recipe as it stands.", min=1)
    ] = 20,
    seeds: Annotated[int, typer.Option(help="Seeds whose mean is a trial's score.", min=1)] = 1,
    search: Annotated[
        list[str] | None,
        typer.Option(
            help="KEY=LOW..HIGH, KEY=LOW..HIGH:whole or KEY=A|B|C, instead of the defaults. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where trials, tuned recipes and the table go.")
    ] = Path("runs/tune"),
) -> None:
    """Search learning rate and strengths of several recipes with the same number of trials each, on the validation rows alone.

    Example: `g2d tune recipes/digits/joint.yaml recipes/digits/mslr.yaml recipes/digits/g2d.yaml --trials 20`

    An interrupted search goes on with the same command. The tuned recipes are written to the folder: compare them next.
    """
    from g2d.experiment import tune as search_all
    from g2d.experiment.tune import read_space
    from g2d.recipe import Recipe

    files, overrides = (
        [text for text in recipes if "=" not in text],
        [text for text in recipes if "=" in text],
    )
    if not files:
        raise RecipeError(
            ["at least one RECIPE must be given, found only overrides."], "the command line"
        )
    spaces = dict(read_space(text) for text in search) if search else None
    typer.echo(
        search_all(
            [Recipe.load(file, overrides) for file in files],
            trials=trials,
            seeds=seeds,
            searched=spaces,
            out=out,
            say=typer.echo,
        )
    )
