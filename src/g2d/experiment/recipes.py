"""Recipes from Python: a recipe, a name, a path or a mapping, with overrides as keywords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from g2d.errors import ArgumentError
from g2d.recipe import Recipe

RecipeLike = Recipe | str | Path | Mapping[str, Any]
"""A recipe, the name of a packaged one, the path of a YAML file, or its content."""


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
