"""Training from Python: :func:`train`, and the forms in which it takes a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from g2d.errors import ArgumentError, RecipeError
from g2d.experiment.console import Say
from g2d.experiment.loading import Run, load
from g2d.experiment.run import run
from g2d.plainyaml import read_mapping
from g2d.recipe import Recipe
from g2d.runs import RECIPE
from g2d.runs.resuming import essential

RecipeLike = Recipe | str | Path | Mapping[str, Any]
"""A recipe, the name of a packaged one, the path of a YAML file, or its content."""


def train(
    recipe: RecipeLike,
    out: str | Path | None = None,
    *,
    progress: bool = True,
    watch: Sequence[str] = (),
    say: Say = print,
    **overrides: Any,
) -> Run:
    """Train the student of a recipe, with the teachers it needs, and open the finished run.

    Args:
        recipe: A recipe, the name of a packaged one (``"digits"``, ``"crema_d/small"``), the path
            of a YAML file, or its content as a mapping.
        out: The run folder. An unfinished run of the same recipe continues; a finished one is
            opened. None is the first of ``runs/NAME``, ``runs/NAME-2``, ... that does not belong to
            another recipe.
        progress: Show a progress line on standard error.
        watch: Loggers of every epoch: ``tensorboard``, ``wandb``, ``mlflow``.
        say: Receives messages for the user.
        overrides: Values of the recipe by key: ``method="g2d"``, ``epochs=4``,
            ``train={"lr": 0.1}``, ``**{"method.alpha": 2}``.

    Raises:
        RecipeError: The recipe or an override has faults.
        RunError: ``out`` belongs to another recipe.
        UnsupportedError: The method is not defined for this task, number of modalities or fusion.

    Example:
        >>> run = g2d.train("digits", method="g2d", epochs=4)  # doctest: +SKIP
        >>> run.evaluate("test")  # doctest: +SKIP
    """
    ready = as_recipe(recipe, overrides)
    folder = _free_folder(ready) if out is None else Path(out)
    run(ready, folder, progress=progress, watch=watch, say=say)
    return load(folder)


def _free_folder(recipe: Recipe) -> Path:
    """Return the first of ``runs/NAME``, ``runs/NAME-2``, ... not used by another recipe."""
    own = dict(essential(recipe.resolved()))
    for i in count(1):
        folder = Path("runs", recipe.name if i == 1 else f"{recipe.name}-{i}")
        path = folder / RECIPE
        if not path.is_file() or dict(essential(read_mapping(path))) == own:
            return folder
    raise AssertionError("unreachable")


def as_recipe(recipe: RecipeLike, overrides: Mapping[str, Any]) -> Recipe:
    """Return a recipe with overrides.

    Args:
        recipe: A recipe in one of the forms of :data:`RecipeLike`.
        overrides: Values by key. A key may be dotted. A mapping changes single keys of a section,
            unless it has a ``name``: then it replaces the section.

    Raises:
        ArgumentError: ``recipe`` has none of these forms, or an override lacks its section.
        RecipeError: The recipe or an override has faults.

    Example:
        >>> recipe = as_recipe("digits", {"method": "g2d", "train": {"lr": 0.1}, "epochs": 4})
        >>> recipe.method.name, recipe.train.lr, recipe.train.epochs
        ('g2d', 0.1, 4)
    """
    if isinstance(recipe, str | Path):
        base = Recipe.load(recipe)
    elif isinstance(recipe, Mapping):
        base = Recipe.from_mapping(recipe)
    elif isinstance(recipe, Recipe):
        base = recipe
    else:
        raise ArgumentError(
            "recipe must be a Recipe, the name of a packaged recipe, the path of a YAML file or a "
            f"mapping, found {recipe!r}."
        )
    _check_places(base, overrides)
    return base.changed(dict(dotted(overrides))) if overrides else base


def _check_places(recipe: Recipe, overrides: Mapping[str, Any]) -> None:
    """Refuse an option of a section that is given without its section, such as ``lr=0.1``."""
    sections = {"train": vars(recipe.train), "method": recipe.method.options}
    for key, value in overrides.items():
        for section, options in sections.items():
            if key in options and key not in recipe.resolved():
                raise ArgumentError(
                    f"{key} must be in the section {section!r}, found it outside. Write "
                    f'{section}={{"{key}": {value!r}}}.'
                )


def dotted(overrides: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield overrides as dotted keys and values.

    Args:
        overrides: Values by key, sections as mappings.
        prefix: Key of the section, with a dot at its end.

    Example:
        >>> dict(dotted({"seed": 1, "train": {"lr": 0.1}, "method": {"name": "g2d"}}))
        {'seed': 1, 'train.lr': 0.1, 'method': {'name': 'g2d'}}
    """
    for key, value in overrides.items():
        if isinstance(value, Mapping) and value and "name" not in value:
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def method_choices(methods: Iterable[str], recipes: int) -> list[dict[str, Any]]:
    """Return the overrides that run every method; one empty mapping if there are no methods.

    Args:
        methods: Names of methods or variants.
        recipes: Number of recipes that run them. Runs of a single recipe get the method's name.

    Example:
        >>> method_choices(["joint", "g2d"], recipes=1)
        [{'method': 'joint', 'name': 'joint'}, {'method': 'g2d', 'name': 'g2d'}]
    """
    choices: list[dict[str, Any]] = [
        {"method": method, "name": method} if recipes == 1 else {"method": method}
        for method in methods
    ]
    return choices or [{}]


def check_names(recipes: Sequence[Recipe], command: str) -> None:
    """Refuse recipes of which two have the same name: their results would share a folder.

    Args:
        recipes: The recipes of a comparison or a search.
        command: The name of the command, for the error message.

    Raises:
        RecipeError: A name occurs twice.
    """
    names = [recipe.name for recipe in recipes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        fault = f"the names of recipes must differ, found {', '.join(map(repr, twice))} twice."
        raise RecipeError([fault], command)
