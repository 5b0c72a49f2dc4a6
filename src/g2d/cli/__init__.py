"""The command line. Commands import what they need when they run: ``g2d --help`` loads neither torch nor transformers nor matplotlib.

Exit codes: 0 done, 2 the user can mend it (one message, no traceback), 130 interrupted and resumable, 1 our fault.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from g2d.cli import data as preparing
from g2d.cli import diagnose as diagnosing
from g2d.cli import report as reporting
from g2d.cli import tune as tuning
from g2d.cli.options import Assignments, Commands, Quiet, RunFolder, RunFolders
from g2d.errors import RecipeError

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Balanced multimodal learning: Gradient-Guided Distillation (G²D) and the methods it is compared with.",
)


class Watcher(StrEnum):
    """Where the numbers of every epoch can go, beside ``metrics.jsonl``."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


class Listed(StrEnum):
    """What ``g2d list`` can list."""

    methods = "methods"
    fusions = "fusions"
    modulations = "modulations"
    encoders = "encoders"
    datasets = "datasets"
    settings = "settings"


class Split(StrEnum):
    """A split of the data."""

    train = "train"
    valid = "valid"
    test = "test"


@app.command()
def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file; recipes/ holds many.")
    ],
    overrides: Assignments = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The run folder. By default runs/NAME, by the recipe's name."
        ),
    ] = None,
    watch: Annotated[
        list[Watcher] | None,
        typer.Option(help="Log every epoch there too; may be given more than once."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Train the teachers a recipe needs (or reuse them), then the student.

    Example: `g2d train recipes/digits/g2d.yaml method.alpha=2 --out runs/a`

    An existing folder is resumed if its recipe is the same, and refused otherwise.
    """
    from g2d.experiment import run, run_summary
    from g2d.recipe import Recipe

    loaded = Recipe.load(recipe, overrides or ())
    folder = out or Path("runs") / loaded.name
    result = run(
        loaded,
        folder,
        progress=not quiet,
        watch=[watcher.value for watcher in watch or ()],
        say=typer.echo,
    )
    typer.echo(run_summary(result))


@app.command()
def evaluate(
    runs: RunFolders,
    split: Annotated[Split, typer.Option(help="Which rows.")] = Split.test,
    windows: Annotated[
        int,
        typer.Option(
            help="Time windows of long recordings, evenly spread; their logits are averaged.", min=1
        ),
    ] = 1,
) -> None:
    """Evaluate trained runs again: fused and per modality.

    Example: `g2d evaluate runs/a runs/b --split valid`
    """
    from g2d.experiment import evaluation_table, load
    from g2d.runs import DataFacts

    for folder in runs:
        loaded = load(folder)
        found = loaded.evaluate(split.value, windows=windows)
        typer.echo(
            f"{folder} · {loaded.name} · {loaded.source.protocol} · {split.value}"
            + (f" · {windows} windows" if windows > 1 else "")
        )
        typer.echo(
            evaluation_table(found, loaded.task, DataFacts.model_validate(loaded.source.describe()))
        )


@app.command()
def predict(
    run: RunFolder,
    source: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="New rows, in the form the data set reads (g2d list datasets)."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="CSV", help="Where the predictions go.")] = Path(
        "predictions.csv"
    ),
) -> None:
    """Predict new rows: fused and per modality, with ids and probabilities.

    Example: `g2d predict runs/a --source rows.csv --out predictions.csv`
    """
    from g2d.experiment import load, write_predictions

    rows = write_predictions(load(run), source, out)
    typer.echo(f"{rows} rows predicted, written to {out}")


@app.command()
def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE... [KEY=VALUE]...",
            help="Recipes, then overrides that hold for all of them.",
        ),
    ],
    seeds: Annotated[
        int, typer.Option(help="How many seeds, from the recipe's own upwards.", min=1)
    ] = 3,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of all runs.")] = Path(
        "runs/compare"
    ),
    baseline: Annotated[
        str | None,
        typer.Option(
            help="The recipe that others are compared with. By default plain joint training."
        ),
    ] = None,
    controls: Annotated[
        bool,
        typer.Option(
            help="Add the teachers' ensembles, the best of them, and joint training from them."
        ),
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Train several recipes under several seeds, and put them in one table per data set, protocol and task.

    Example: `g2d compare recipes/digits/joint.yaml recipes/digits/g2d.yaml --seeds 3 --out runs/digits`

    Finished runs are not repeated. A method that is not defined for a task is left out, and a sentence says so.
    """
    from g2d.experiment import compare as grid
    from g2d.recipe import Recipe

    files, overrides = (
        [text for text in recipes if "=" not in text],
        [text for text in recipes if "=" in text],
    )
    if not files:
        raise RecipeError(
            ["at least one RECIPE must be given, found only overrides."], "the command line"
        )
    typer.echo(
        grid(
            [Recipe.load(file, overrides) for file in files],
            seeds=seeds,
            out=out,
            baseline=baseline,
            controls=controls,
            progress=not quiet,
            say=typer.echo,
        )
    )


app.command()(diagnosing.diagnose)
app.command()(reporting.report)
app.command()(tuning.tune)
app.add_typer(preparing.app, name="data")


@app.command("list")
def list_(what: Annotated[Listed, typer.Argument(help="What to list.")]) -> None:
    """List what a recipe can name: methods, fusions, modulations, encoders, data sets, and the settings of digits.

    Example: `g2d list methods`
    """
    from g2d.experiment import registered

    for name, meaning in registered(what.value):
        typer.echo(f"{name:<20}{meaning}")


@app.command()
def doctor() -> None:
    """Say what is installed and what would not work here: versions, devices, threads, data folders, optional libraries.

    Example: `g2d doctor`
    """
    from g2d.experiment import examine

    for name, finding in examine():
        typer.echo(f"{name:<20}{finding}")


@app.command()
def demo(
    setting: Annotated[
        str, typer.Option(help="A setting of digits (g2d list settings).")
    ] = "memorizer",
    data_seed: Annotated[
        int | None,
        typer.Option(
            help="Fresh data: another split and other draws (protocol digits/random-v1).", min=0
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 3,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of all runs.")] = Path(
        "runs/demo"
    ),
    quiet: Quiet = False,
) -> None:
    """Show what G²D is about, in a few minutes: teachers, joint training, G²D, and the controls that cost nothing, on built-in data.

    Example: `g2d demo --setting lookalike`
    """
    from g2d.experiment import demonstrate

    typer.echo(
        demonstrate(
            setting, data_seed=data_seed, seeds=seeds, out=out, progress=not quiet, say=typer.echo
        )
    )
