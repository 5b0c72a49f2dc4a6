"""The student of a run: built once, checked before anything is trained, then trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from g2d.data import Loader, Source
from g2d.encoders import HuggingFace
from g2d.engine.callbacks import Callback
from g2d.engine.fit import Fit, fit
from g2d.engine.processes import seed_everything
from g2d.engine.setup import check, training_task
from g2d.errors import DataError
from g2d.fusion import Late
from g2d.method import Method
from g2d.model import MultimodalModel, Teachers, warm_start
from g2d.recipe import Recipe
from g2d.task import Task
from g2d.types import Batch


@dataclass
class Student:
    """Model and method of a recipe, on its data.

    Args:
        recipe: What they are built from.
        source: The data.
        example: Two rows, from which the widths of all encoders are read.
        model: The model.
        method: The method; until :meth:`train`, its teachers are untrained.
        loader: The training rows.
        random: State of torch's generator after the model was built.
    """

    recipe: Recipe
    source: Source
    example: Batch
    model: MultimodalModel
    method: Method
    loader: Loader
    random: Tensor

    @classmethod
    def build(cls, recipe: Recipe, source: Source) -> Self:
        """Build model and method, and refuse what cannot be trained.

        Args:
            recipe: What to build.
            source: Its data.

        Raises:
            UnsupportedError: The method is not defined for this task, number of modalities or
                fusion.
            ArgumentError, DataError: See :func:`g2d.engine.setup.check`.
        """
        _check_test_rows(source)
        example = recipe.example(source)
        model = recipe.build_model(source, example)
        random = torch.get_rng_state()
        method = untrained_method(recipe, model, training_task(source, recipe.train))
        loader = check(method, model, source, recipe.train)
        return cls(recipe, source, example, model, method, loader, random)

    def encoders_taken(self) -> dict[str, str]:
        """Return, per modality with a Hugging Face model, what was taken of the model."""
        encoders = self.model.encoders.items()
        return {m: encoder.taken for m, encoder in encoders if isinstance(encoder, HuggingFace)}

    def train(
        self,
        teachers: Teachers | None,
        folder: Path | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Fit:
        """Train the student.

        Args:
            teachers: Its teachers; None if it needs none.
            folder: The run folder; None keeps everything in memory.
            callbacks: Called after every epoch.
        """
        # Training teachers has used torch's generators: continue as if the model were just built.
        seed_everything(self.recipe.train.seed)
        torch.set_rng_state(self.random)
        if teachers is not None and self.recipe.warm_start:
            warm_start(self.model, teachers.models)
        model, source, options, loader = self.model, self.source, self.recipe.train, self.loader
        self.method = self.recipe.build_method(teachers).build(
            model, training_task(source, options)
        )
        return fit(
            self.method, model, source, options, folder=folder, callbacks=callbacks, loader=loader
        )


def untrained_method(recipe: Recipe, model: MultimodalModel, task: Task) -> Method:
    """Return a recipe's method, bound to a model, with untrained teachers if it needs some.

    Args:
        recipe: Its method is built.
        model: The student.
        task: The kind of target.

    Raises:
        UnsupportedError: The method is not defined for this task, number of modalities or fusion.
    """
    teachers = untrained_teachers(model, task) if recipe.needs_teachers else None
    return recipe.build_method(teachers).build(model, task)


def untrained_teachers(model: MultimodalModel, task: Task) -> Teachers:
    """Return teachers with copies of a student's encoders: right in shape, wrong in weights.

    Args:
        model: The student.
        task: The kind of target.
    """
    heads = {m: Late({m: model.fusion.dims[m]}, task.outputs) for m in model.modalities}
    encoders = {m: copy.deepcopy(model.encoders[m]) for m in model.modalities}
    return Teachers({m: MultimodalModel({m: encoders[m]}, heads[m]) for m in model.modalities})


def _check_test_rows(source: Source) -> None:
    rows, least = len(source.rows("test")), source.task.least_rows
    if rows < least:
        raise DataError(
            f"{source.protocol} of {source.name} must have at least {least} test rows, found "
            f"{rows}. Choose another data.protocol."
        )
