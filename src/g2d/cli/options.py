"""Arguments that several commands share, and how errors become exit codes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from g2d.errors import INTERRUPTED, G2DError, RecipeError, Terminated
from g2d.files import one_line
from g2d.machine import machine_fault

if TYPE_CHECKING:
    from g2d import data
    from g2d.data import gaps
    from g2d.experiment import comparing
    from g2d.experiment.cells import Failure
    from g2d.prepare import Watch
    from g2d.recipe import Recipe


Split = StrEnum("Split", "train valid test")
"""A split of the data."""
Controls = StrEnum("Controls", "none cheap full")
"""Controls of a comparison."""
OnError = StrEnum("OnError", "stop absent skip")
"""Ways to treat a new row that cannot be read."""


def chosen(split: Split) -> data.Split:
    """Return the name of a chosen split, as the library takes it."""
    return cast("data.Split", split.value)


def chosen_controls(controls: Controls) -> comparing.Controls:
    """Return which controls a comparison gets, as the library takes it."""
    return cast("comparing.Controls", controls.value)


def chosen_error(on_error: OnError) -> gaps.OnError:
    """Return what a new row does that cannot be read, as the library takes it."""
    return cast("gaps.OnError", on_error.value)


class Commands(TyperGroup):
    """A group of commands that turns mistakes of a user into one message and exit code 2.

    Faults of the machine, such as a full disk, are treated in the same way.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands in the order in which they were added, not alphabetically."""
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; print expected errors without a traceback."""
        try:
            with terminable():
                return super().invoke(ctx)
        except G2DError as error:
            raise _refusal(str(error)) from None
        except typer.BadParameter as error:
            # A prefix of the library that checks choices, which means nothing to a user.
            error.message = error.message.replace("Value error, ", "")
            raise
        except KeyboardInterrupt:
            typer.echo(f"\n{INTERRUPTED}", err=True)
            raise typer.Exit(130) from None
        except Terminated as error:
            typer.echo("\nTerminated. Run the same command again to continue.", err=True)
            raise typer.Exit(cast("int", error.code)) from None
        except Exception as error:
            sentence = machine_fault(error)
            if sentence is None:
                raise
            raise _refusal(sentence) from None


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, unless something handles them.

    Raises:
        Terminated: One of them was received.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    own = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in own:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in own:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


class ManyRuns(TyperCommand):
    """A command with many runs, whose option ``--ray`` can be written without an address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of the command line, with the address filled in."""
        return super().parse_args(ctx, with_address(args))


def with_address(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with an address after every ``--ray`` that lacks one.

    Example:
        >>> with_address(["digits", "--ray", "seed=1"])
        ['digits', '--ray', 'auto', 'seed=1']
        >>> with_address(["--ray", "ray://head:10001", "digits"])
        ['--ray', 'ray://head:10001', 'digits']
    """
    completed: list[str] = []
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        completed.append(word)
        is_address = following in ("auto", "local") or (":" in following and "=" not in following)
        if word == "--ray" and not is_address:
            completed.append("auto")
    return completed


def words_of(options: Mapping[str, Any]) -> list[str]:
    """Return options as words of a command line.

    Args:
        options: Values by option. None and False are left out, and a list repeats its option.

    Example:
        >>> words_of({"--seeds": 2, "--quiet": True, "--data": None, "--search": ["a=1|2"]})
        ['--seeds', '2', '--quiet', '--search', 'a=1|2']
    """
    words: list[str] = []
    for option, value in options.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None and one is not False:
                words += [option] if one is True else [option, str(one)]
    return words


def end(failures: Iterable[Failure]) -> None:
    """End a command that finished what it could.

    Args:
        failures: What failed. The exit code is 2, or 1 if an error was unexpected.
    """
    if codes := [1 if failure.trace else 2 for failure in failures]:
        raise typer.Exit(min(codes))


def _refusal(message: str) -> typer.Exit:
    """Print a message without control characters, and return the end of the command."""
    for line in f"Error: {message}".split("\n"):
        typer.echo(one_line(line), err=True)
    return typer.Exit(2)


def complete_recipe(incomplete: str) -> list[str]:
    """Return the packaged recipes whose names begin with a text."""
    from g2d.recipe.packaged import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A packaged recipe (g2d list recipes), or a path to a YAML file.",
        autocompletion=complete_recipe,
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Overrides with dotted keys and YAML values: method.alpha=2. KEY=default removes one.",
    ),
]
RecipesAndAssignments = Annotated[
    list[str],
    typer.Argument(
        metavar="RECIPE... [KEY=VALUE]...",
        help="Recipes, by name or path, then overrides for all of them.",
        autocompletion=complete_recipe,
    ),
]
Methods = Annotated[
    str | None,
    typer.Option(
        "--methods",
        "-m",
        metavar="NAME,NAME...",
        help="Methods or variants to run on every recipe (g2d list methods), instead of its own.",
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder, or what export wrote.")
]
RunFolders = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run folders, or what export wrote.")
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="First compare every file of the prepared data with its recorded hash.",
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", help="Runs at the same time, in processes of this machine.", min=1
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Carry out the I-th of N shares, for arrays of jobs; the same command without it"
        " gathers the table.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS]",
        help="Carry out the runs on a Ray cluster: an address, auto (the default) for the cluster"
        " of this machine, or local to start one here.",
    ),
]
Oversubscribe = Annotated[
    bool,
    typer.Option("--oversubscribe", help="Allow more jobs than cores for their threads."),
]
Script = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Run nothing; print a SLURM script with an array of the missing runs."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and texts in two columns; long texts are wrapped at the terminal's width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for name, text in pairs:
        table.add_row(Text(name), Text(text))
    Console().print(table)


def load_recipes(words: Sequence[str], methods: str | None = None) -> list[Recipe]:
    """Load the recipes of a command line: names or paths, and ``KEY=VALUE`` words for all of them.

    Args:
        words: The words in any order; those with an equals sign are overrides.
        methods: Names of methods or variants, separated by commas: each is run on every recipe.

    Raises:
        RecipeError: There is no recipe, or one has faults.
    """
    from g2d.experiment.training import method_choices
    from g2d.recipe import Recipe

    sources = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word]
    if not sources:
        fault = "at least one RECIPE must be given, found only overrides."
        raise RecipeError([fault], "the command line")
    names = [name.strip() for name in (methods or "").split(",") if name.strip()]
    choices = [
        [f"{key}={value}" for key, value in choice.items()]
        for choice in method_choices(names, len(sources))
    ]
    return [Recipe.load(source, [*choice, *overrides]) for source in sources for choice in choices]


@contextmanager
def bar(quiet: bool) -> Iterator[Watch | None]:
    """Show progress on stderr, and yield the function that updates it."""
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
