"""Arguments and manners that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from g2d.errors import G2DError


class Commands(TyperGroup):
    """A group of commands that turns what a user can mend into one message and exit code 2."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)  # in the order written here, not that of the alphabet

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except G2DError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("\nInterrupted. The same command goes on from what is complete.", err=True)
            raise typer.Exit(130) from None


Assignments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Dotted overrides of the recipe, with YAML values: method.alpha=2",
    ),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as train wrote it.")]
RunFolders = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run folders, as train wrote them.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")]
