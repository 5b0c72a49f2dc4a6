"""A trained model, built again from its recipe and its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from g2d.data import Source
from g2d.encoders import HUGGING_FACE
from g2d.engine import checkpoint as checkpoints
from g2d.engine.stack import Stack
from g2d.experiment.student import untrained_method, untrained_teachers
from g2d.method import Method
from g2d.model import MultimodalModel
from g2d.recipe import Recipe
from g2d.runs import StackFacts


def rebuilt(
    recipe: Recipe, source: Source, checkpoint: Path, stack: StackFacts | None = None
) -> tuple[MultimodalModel, Method]:
    """Return a trained model and its method, in evaluation mode.

    Args:
        recipe: Its recipe.
        source: Its data.
        checkpoint: The folder of its checkpoint.
        stack: The members of a stack; None for a model that is no stack.

    Raises:
        RunError: There is no such checkpoint, or it is damaged.
    """
    model = recipe.build_model(source, recipe.example(source))
    method = untrained_method(recipe, model, source.task)
    if stack is not None:
        sets = [untrained_teachers(model, source.task) for _ in range(recipe.stack)]
        others = {}
        for name, content in stack.students.items():
            own = Recipe.from_mapping(content, f"the member {name}")
            student = own.build_model(source, recipe.example(source))
            others[name] = student, untrained_method(own, student, source.task)
        method = Stack(method, sets, others, name=stack.name)
    checkpoints.load(checkpoint, model, method)
    return model.eval(), method.eval()


def relocated(recipe: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """Return a resolved recipe whose Hugging Face models are in other places.

    Args:
        recipe: The recipe.
        places: Path of every such model by the name that the recipe gives it.
    """
    encoders = {m: dict(encoder) for m, encoder in recipe["encoders"].items()}
    for encoder in encoders.values():
        if (name := encoder["name"]).startswith(HUGGING_FACE):
            encoder["name"] = HUGGING_FACE + places[name.removeprefix(HUGGING_FACE)]
    return {**recipe, "encoders": encoders}
