"""The commands ``g2d data``: prepare raw files, check a store, list the data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from g2d.cli.options import Commands, Quiet, bar
from g2d.errors import DataError, RecipeError

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Turn raw files into a store, check a store, list the data sets.",
)

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Options of the reader, with YAML values: frames=1 (`g2d data list NAME`).",
    ),
]


@app.command()
def prepare(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of a data set (`g2d data list`); table or arrays for your own data.",
        ),
    ],
    source: Annotated[
        Path,
        typer.Option(
            "--source",
            help="Folder of raw files, as `g2d data list NAME` describes it; for your own data, "
            "the table or the file of arrays.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the store to write.")],
    settings: Settings = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of processes that decode; by default one per core, at most eight."
        ),
    ] = None,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Accept a store that has less than 90 % of the samples, or lacks a modality.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Decode raw files once and write a store, from which training is fast.

    Examples: `g2d data prepare crema_d --source CREMA-D --out data/crema_d`,
    `g2d data prepare table --source my.csv --out data/mine`

    If interrupted, run the same command again to continue. Unreadable samples are skipped, each
    with its reason.
    """
    from g2d.datasets import find_dataset
    from g2d.datasets.base import read_options
    from g2d.prepare import default_workers, write_starter
    from g2d.prepare import prepare as prepare_store
    from g2d.recipe.reading import override

    reader = find_dataset(name).reader
    if reader is None:
        raise DataError(f"{name} needs no preparation: name it in a recipe (data: {name}).")
    if not source.exists():
        raise DataError(f"--source does not exist: {source}.\n{name} needs: {reader.layout}")
    faults: list[str] = []
    given = override({}, settings or (), faults)
    if faults:
        raise RecipeError(faults, "the command line")
    plan = reader.plan(source, read_options(reader, given))
    for line in plan.inferred:
        typer.echo(line)
    folder = source if source.is_dir() else source.parent
    with bar(quiet) as watch:
        summary = prepare_store(
            plan,
            folder,
            out,
            workers=workers or default_workers(),
            allow_partial=allow_partial,
            watch=watch,
        )
    typer.echo(str(summary))
    typer.echo(f"starter recipe {write_starter(out, summary.facts)}")


@app.command()
def check(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder that prepare wrote.")],
) -> None:
    """Verify hashes, shapes, ranges, NaN, ids, class balance, and groups across splits.

    The exit code is 2 if something is wrong.

    Example: `g2d data check data/crema_d`
    """
    from g2d.prepare import check_store

    findings = check_store(store)
    typer.echo(str(findings))
    if findings.errors:
        raise DataError(f"{store} must be sound, found {len(findings.errors)} errors.")


@app.command(name="list")
def list_sets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show everything about this data set.")
    ] = None,
) -> None:
    """List the data sets: what each needs, where to request it, and its license.

    Example: `g2d data list crema_d`
    """
    from g2d.datasets import DATASETS, find_dataset

    chosen = DATASETS if name is None else {name: find_dataset(name)}
    for known, dataset in chosen.items():
        typer.echo(f"{known}: {dataset.about}")
        typer.echo(f"  needs: {dataset.needs}")
        typer.echo(f"  license: {dataset.license}")
        if name is not None and dataset.reader is not None:
            typer.echo(f"  layout: {dataset.reader.layout}")
            for key, field in dataset.reader.options.model_fields.items():
                default = field.get_default(call_default_factory=True)
                typer.echo(f"  {key}={default}: {field.description or ''}")
