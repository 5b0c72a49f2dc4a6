"""Training from Python: :func:`train`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from g2d.experiment.console import Say
from g2d.experiment.loading import Run, load
from g2d.experiment.recipes import RecipeLike, as_recipe
from g2d.experiment.run import run
from g2d.plainyaml import read_mapping
from g2d.recipe import Recipe
from g2d.runs import RECIPE
from g2d.runs.resuming import essential


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
