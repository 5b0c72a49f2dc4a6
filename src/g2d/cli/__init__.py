"""The command line.

Commands import what they need when they run, so that ``g2d --help`` and shell completion load
neither torch nor another large library.

Exit codes: 0 done, 1 a bug of g2d, 2 a mistake that the user can correct or a fault of the machine
(one message, no traceback), 130 interrupted and resumable.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from g2d.cli import compare as comparing
from g2d.cli import data as preparing
from g2d.cli import diagnose as diagnosing
from g2d.cli import export as exporting
from g2d.cli import fit as fitting
from g2d.cli import report as reporting
from g2d.cli import reproduce as reproducing
from g2d.cli import tune as tuning
from g2d.cli.options import (
    Assignments,
    Commands,
    ManyRuns,
    OnError,
    Quiet,
    RecipeName,
    RunFolder,
    RunFolders,
    Split,
    Verify,
    chosen,
    chosen_error,
    print_pairs,
)

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Balanced multimodal learning: Gradient-Guided Distillation (G²D) and the methods it is"
    " compared with.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from g2d import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Accept the options that come before any command."""


Watcher = StrEnum("Watcher", "tensorboard wandb mlflow")
"""Services that can receive the numbers of every epoch, in addition to ``metrics.jsonl``."""
Listed = StrEnum("Listed", "recipes methods fusions modulations encoders datasets settings")
"""Kinds of names that ``g2d list`` shows."""


@app.command()
def train(
    recipe: RecipeName,
    overrides: Assignments = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run folder; runs/NAME by default, NAME of the recipe."),
    ] = None,
    watch: Annotated[
        list[Watcher] | None, typer.Option(help="Also log every epoch there. Repeatable.")
    ] = None,
    verify: Verify = False,
    quiet: Quiet = False,
) -> None:
    """Train the teachers that a recipe needs, or reuse them, then the student.

    Example: `g2d train digits method=g2d method.alpha=2 --out runs/a`

    An existing run folder is resumed if its recipe is the same, and refused otherwise.
    """
    from g2d.data.store.opening import verify_store
    from g2d.experiment import run, run_summary
    from g2d.recipe import Recipe

    loaded = Recipe.load(recipe, overrides or ())
    if verify:
        verify_store(loaded.data_options)
    result = run(
        loaded,
        out or Path("runs") / loaded.name,
        progress=not quiet,
        watch=[watcher.value for watcher in watch or ()],
        say=typer.echo,
    )
    typer.echo(run_summary(result))


@app.command()
def evaluate(
    runs: RunFolders,
    split: Annotated[Split, typer.Option(help="Rows to evaluate.")] = Split.test,
    windows: Annotated[
        int,
        typer.Option(
            help="Time windows per long recording, evenly spaced; their logits are averaged.", min=1
        ),
    ] = 1,
    source: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Evaluate on new rows with their target instead."),
    ] = None,
    verify: Verify = False,
) -> None:
    """Evaluate trained runs on a split or on new rows: the fused prediction and each modality.

    Example: `g2d evaluate runs/a runs/b --split valid`, or `g2d evaluate model --source rows.csv`
    """
    from g2d.data.store.opening import verify_store
    from g2d.experiment import evaluation_table, load
    from g2d.runs import DataFacts

    for folder in runs:
        loaded = load(folder)
        if verify and not loaded.exported:  # the files of a bundle are always verified
            verify_store(loaded.recipe.data_options)
        rows = None if source is None else loaded.labeled(source)
        for remark in loaded.source.remarks:
            typer.echo(f"warning: {remark}")
        evaluation = loaded.evaluate(chosen(split), rows=rows, windows=windows)
        where = f"{loaded.source.protocol} · {split.value}" if source is None else str(source)
        typer.echo(
            f"{folder} · {loaded.name} · {where}" + (f" · {windows} windows" if windows > 1 else "")
        )
        facts = (rows or loaded.source).describe()
        typer.echo(evaluation_table(evaluation, loaded.task, DataFacts.model_validate(facts)))


@app.command()
def predict(
    run: RunFolder,
    source: Annotated[
        Path, typer.Option(metavar="FILE", help="New rows, in the format that the data set reads.")
    ],
    out: Annotated[Path, typer.Option(metavar="CSV", help="File for the predictions.")] = Path(
        "predictions.csv"
    ),
    on_error: Annotated[
        OnError,
        typer.Option(
            help="What a cell that cannot be read does: stop with an error, absent (its row is "
            "predicted without the modality) or skip (its row is left out; the file says why)."
        ),
    ] = OnError.stop,
) -> None:
    """Predict new rows: the fused prediction and each modality's, with ids and probabilities.

    Example: `g2d predict runs/a --source rows.csv --out predictions.csv`
    """
    from g2d.experiment import load, write_predictions

    loaded = load(run)
    rows = write_predictions(loaded, source, out, chosen_error(on_error))
    for remark in rows.remarks:
        typer.echo(f"warning: {remark}")
    for count, what in (
        (len(rows.faults), "predicted without a cell that cannot be read"),
        (len(rows.left_out), "left out"),
    ):
        if count:
            typer.echo(f"warning: rows {what}: {count}; the column problem of {out} says why")
    typer.echo(f"{len(rows)} row{'' if len(rows) == 1 else 's'} predicted, written to {out}")


app.command(cls=ManyRuns)(comparing.compare)
app.command(cls=ManyRuns)(comparing.teachers)
app.command()(fitting.fit)
app.command()(diagnosing.diagnose)
app.command()(reporting.report)
app.command()(exporting.export)
app.command(cls=ManyRuns)(reproducing.reproduce)
app.command(cls=ManyRuns)(tuning.tune)
app.add_typer(preparing.app, name="data")


@app.command("list")
def list_(what: Annotated[Listed, typer.Argument(help="The kind of names.")]) -> None:
    """List the packaged recipes, or the names that a recipe can contain.

    Example: `g2d list recipes`
    """
    from g2d.experiment import registered

    print_pairs(registered(what.value))


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, with which editors complete and check them.

    Example: `g2d schema > recipe.schema.json`
    """
    import json

    from g2d.experiment.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=1))


@app.command()
def doctor() -> None:
    """Show what is installed: versions, devices, threads, data folders, optional libraries.

    Example: `g2d doctor`
    """
    from g2d.experiment import examine

    print_pairs(examine())


@app.command()
def demo(
    setting: Annotated[
        str, typer.Option(help="A setting of the built-in data (g2d list settings).")
    ] = "memorizer",
    data_seed: Annotated[
        int | None,
        typer.Option(help="Draw other data with another split (digits/random-v1).", min=0),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all runs.")] = Path(
        "runs/demo"
    ),
    quiet: Quiet = False,
) -> None:
    """Compare G²D with joint training and free controls on built-in data, in a few minutes.

    Example: `g2d demo --setting lookalike`
    """
    from g2d.experiment import demonstrate

    typer.echo(
        demonstrate(
            setting, data_seed=data_seed, seeds=seeds, out=out, progress=not quiet, say=typer.echo
        )
    )
