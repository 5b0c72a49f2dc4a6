"""``g2d data``: from raw files to a prepared store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g2d.cli.options import Commands, Quiet
from g2d.errors import DataError, RecipeError

if TYPE_CHECKING:
    from g2d.prepare.preparing import Watch

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Prepare raw files as a store, check one, list what there is to prepare.",
)

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Options of the reader, with YAML values: frames=1"
    ),
]


@app.command()
def prepare(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A data set of `g2d data list`, or manifest for your own."
        ),
    ],
    source: Annotated[
        Path,
        typer.Option(
            "--source",
            help="The folder of raw files, as `g2d data list NAME` describes it; a manifest's file.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the store.")],
    settings: Settings = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that decode. By default one per core, up to eight."),
    ] = None,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Accept a store with less than 90 % of the samples, or without a modality.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Decode raw files once and write a store that trains fast.

    Example: `g2d data prepare crema_d --source CREMA-D --out data/crema_d`

    Killed, the same command goes on where it stopped. What cannot be read is skipped, with its reason.
    """
    from g2d.datasets import find_reader
    from g2d.datasets.opening import read_options
    from g2d.prepare.preparing import default_workers
    from g2d.prepare.preparing import prepare as prepare_store
    from g2d.prepare.starter import write_starter
    from g2d.recipe.reading import override

    reader = find_reader(name)
    if not source.exists():
        raise DataError(
            f"--source must be there, found no {source}.\n{name} needs: {reader.layout}"
        )
    faults: list[str] = []
    given = override({}, settings or (), faults)
    if faults:
        raise RecipeError(faults, "the command line")
    plan = reader.plan(source, read_options(reader, given))
    for line in plan.told:
        typer.echo(line)
    folder = source if source.is_dir() else source.parent
    with _bar(quiet) as watch:
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
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A folder that prepare wrote.")],
) -> None:
    """Verify hashes, shapes, ranges, NaN, ids, class balance, and groups across splits. Exit code 2 if something is wrong.

    Example: `g2d data check data/crema_d`
    """
    from g2d.prepare.checking import check_store

    found = check_store(store)
    typer.echo(str(found))
    if found.errors:
        raise DataError(f"{store} must be sound, found {len(found.errors)} errors.")


@app.command(name="list")
def list_sets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="All about this one.")
    ] = None,
) -> None:
    """What each data set needs, where to ask for it, its licence.

    Example: `g2d data list crema_d`
    """
    from g2d.datasets import READERS, find_reader

    chosen = READERS if name is None else {name: find_reader(name)}
    for known, reader in chosen.items():
        typer.echo(f"{known}: {reader.about}")
        typer.echo(f"  needs: {reader.needs}")
        typer.echo(f"  licence: {reader.licence}")
        if name is not None:
            typer.echo(f"  layout: {reader.layout}")
            for key, field in reader.options.model_fields.items():
                typer.echo(
                    f"  {key}={field.get_default(call_default_factory=True)}: {field.description or ''}"
                )


@contextmanager
def _bar(quiet: bool) -> Iterator[Watch | None]:
    """A progress display on stderr."""
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
