"""The recipes that come with the package, by name.

``datasets/NAME/recipe.yaml`` has the name ``NAME``, and ``datasets/NAME/X.yaml`` is ``NAME/X``.
Nothing here loads torch, so that a command line can complete names at once.
"""

from __future__ import annotations

from pathlib import Path

from g2d.errors import RecipeError
from g2d.files import did_you_mean

FOLDER = Path(__file__).parents[1] / "datasets"
MAIN = "/recipe.yaml"
ALIASES = {"avdigits": "av_mnist/canvas", "avdigits/small": "av_mnist/canvas_small"}
"""Earlier names that still work."""


def recipe_names() -> list[str]:
    """Return the names of all packaged recipes, sorted.

    Example:
        >>> {"digits", "digits/mild", "crema_d", "crema_d/small"} <= set(recipe_names())
        True
    """
    return sorted(_files())


def is_path(source: str) -> bool:
    """Return whether a text names a file rather than a packaged recipe.

    Example:
        >>> is_path("mine.yaml"), is_path("./mine"), is_path("digits/mild")
        (True, True, False)
    """
    return source.endswith((".yaml", ".yml")) or source.startswith(("./", "../", "/"))


def packaged(name: str) -> Path:
    """Return the file of a packaged recipe.

    Args:
        name: The recipe's name, such as ``digits`` or ``crema_d/small``.

    Raises:
        RecipeError: No recipe has this name; the message suggests the nearest one.
    """
    known = _files()
    name = ALIASES.get(name, name)
    if name not in known:
        way_out = did_you_mean(name, known) or " The command g2d list recipes shows them all."
        fault = (
            f"RECIPE must be a packaged recipe or a path that ends in .yaml or begins with ./,"
            f" found {name!r}.{way_out}"
        )
        raise RecipeError([fault], "the command")
    return known[name]


def about(name: str) -> str:
    """Return the first comment line of a packaged recipe, without its sign."""
    first = packaged(name).read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip()


def _files() -> dict[str, Path]:
    """Return the file of every packaged recipe by name."""
    return {
        path.relative_to(FOLDER).as_posix().removesuffix(MAIN).removesuffix(".yaml"): path
        for path in FOLDER.glob("*/*.yaml")
    }
