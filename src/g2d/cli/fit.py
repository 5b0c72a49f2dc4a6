"""``g2d fit``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from g2d.cli.options import Assignments, Quiet, bar


def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A table (CSV, JSON, Parquet, Excel), a file of arrays, a store, or a recipe.",
        ),
    ],
    overrides: Assignments = None,
    target: Annotated[
        str | None,
        typer.Option(help="Column to predict; by default target, label, class or y."),
    ] = None,
    modalities: Annotated[
        str, typer.Option(metavar="NAME,NAME...", help="Modalities to use. Default: all.")
    ] = "",
    budget: Annotated[
        str,
        typer.Option(
            help="fast (2 passes of the training rows per epoch), normal (4), thorough (up to 10), "
            "or a number of seconds."
        ),
    ] = "normal",
    metric: Annotated[
        str | None,
        typer.Option(help="Metric that chooses. Default: the one that selects epochs."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the result. Default: runs/fit-NAME."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="PLAN", help="The plan.json of an earlier fit, to train the same members."
        ),
    ] = None,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Accept raw data of which more than 10 % of the samples cannot be used.",
        ),
    ] = False,
    recipe: Annotated[
        bool, typer.Option("--recipe", help="Print what would be trained, and train nothing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train the best model that a budget allows, from a table to a page, in one command.

    Example: `g2d fit my.csv --target label --budget fast epochs=10 kinds.note=text`

    Prepares raw data, trains a teacher per modality, joint models and what else the budget allows,
    and chooses on the validation rows. KEY=VALUE is a key of the recipe, or an option of the
    preparation (`g2d data list table`). Run the same command again to continue an interrupted fit.
    """
    from inspect import signature

    from g2d.errors import RecipeError
    from g2d.experiment import run_summary
    from g2d.experiment.fitting import fit as fit_data
    from g2d.experiment.fitting import previewed
    from g2d.recipe.reading import read_settings
    from g2d.runs import PAGE

    faults: list[str] = []
    settings = dict(read_settings(overrides or (), faults))
    if target is None:  # several columns are written as a list: target=[a,b]
        target = settings.pop("target", None)
    faults += [
        f"{key} must be an option or argument of the command (g2d fit --help), found {key}=..."
        for key in sorted(settings.keys() & signature(fit_data).parameters.keys())
    ]
    if faults:
        raise RecipeError(faults, "the command line")
    shared: dict[str, Any] = {"modalities": modalities, "budget": budget, "out": out}
    shared |= {"allow_partial": allow_partial} | settings
    preparing = partial(bar, quiet)
    if recipe:
        aside = partial(typer.echo, err=True)
        typer.echo(previewed(data, target, say=aside, preparing=preparing, **shared))
        return
    run = fit_data(
        data,
        target,
        metric=metric,
        plan=plan,
        progress=not quiet,
        say=typer.echo,
        preparing=preparing,
        **shared,
    )
    assert run.result is not None
    assert run.result.fit is not None
    typer.echo(run_summary(run.result))
    typer.echo(f"\n{run.result.fit.paragraph}\n\nPage: {run.folder / PAGE}")
