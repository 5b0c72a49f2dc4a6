"""A trained run, opened again: model, method, task, data, and predictions for new rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from g2d.data import Source, Split
from g2d.engine import checkpoint as checkpoints
from g2d.engine.checkpoint import BEST, LAST
from g2d.engine.evaluate import Evaluation, evaluate, joined
from g2d.engine.stack import Stack
from g2d.errors import ArgumentError, DataError, RunError
from g2d.experiment.predictions import Prediction
from g2d.experiment.student import untrained_method, untrained_teachers
from g2d.method import Method
from g2d.model import MultimodalModel
from g2d.recipe import Recipe
from g2d.runs import (
    CHECKPOINTS,
    DATA,
    RECIPE,
    STACK,
    Result,
    hashes_of,
    read_result,
    same_data,
)
from g2d.task import Task
from g2d.types import Batch, Inputs, Output


@dataclass(frozen=True)
class Run:
    """A trained run, ready to evaluate and to predict.

    Args:
        folder: The run folder.
        recipe: Its resolved recipe.
        source: Its data.
        model: The trained model, in evaluation mode.
        method: The method, which predicts.
        result: The content of ``result.json``; None if the run is not finished.

    Example::

        run = g2d.load("runs/a")
        run.evaluate("valid")
        run.predict("rows.csv").values
    """

    folder: Path
    recipe: Recipe
    source: Source
    model: MultimodalModel
    method: Method
    result: Result | None

    @property
    def name(self) -> str:
        """The name of the recipe."""
        return self.recipe.name

    @property
    def task(self) -> Task:
        """The kind of target."""
        return self.source.task

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities in the order of the model."""
        return self.source.modalities

    def __repr__(self) -> str:
        source = self.source
        lines = [
            f"Run {self.name!r} in {self.folder}",
            f"  data: {source.name}, {source.protocol}; modalities {', '.join(self.modalities)}",
            f"  method: {self.recipe.method.name}, fusion: {self.recipe.fusion.name}",
        ]
        if self.result is None:
            return "\n".join([*lines, "  not finished"])
        test, metric = self.result.test, self.result.selection_metric
        scores = {"fused": test.fused, **test.unimodal}
        texts = [f"{m} {score[metric]:.3f}" for m, score in scores.items() if metric in score]
        epoch = f"  epoch {self.result.selected_epoch} of {self.result.epochs}"
        last = f"{epoch}, seed {self.result.seed}; test {metric}: {', '.join(texts)}"
        return "\n".join([*lines, last])

    def evaluate(
        self, split: Split = "test", *, keep_rows: bool = False, windows: int = 1
    ) -> Evaluation:
        """Evaluate on a split, fused and per modality.

        Args:
            split: ``train``, ``valid`` or ``test``.
            keep_rows: Also return the logits of every row.
            windows: Number of evenly spread time windows of longer recordings, whose logits are
                averaged.
        """
        return evaluate(
            self.method,
            self.model,
            self.source,
            split,
            batch_size=self.recipe.train.eval_batch_size,
            keep_rows=keep_rows,
            windows=windows,
        )

    @torch.no_grad()
    def predict(self, rows: Inputs | Batch | str | Path) -> Prediction:
        """Predict new rows.

        Args:
            rows: A file in a format that the data set reads, or inputs per modality in the shape
                that the encoders receive, or a batch of such inputs.

        Raises:
            ArgumentError: A modality is missing.
            DataError: The file cannot be read.
        """
        ids: list[str] = []
        if isinstance(rows, (str, Path)):
            ids, rows = self.source.read_rows(Path(rows))
        inputs, present = (rows.inputs, rows.present) if isinstance(rows, Batch) else (rows, None)
        if missing := [m for m in self.modalities if m not in inputs]:
            raise ArgumentError(
                f"rows must have every modality of the run ({', '.join(self.modalities)}), found "
                f"none for {', '.join(missing)}."
            )
        total, size = len(next(iter(inputs.values()))), self.recipe.train.eval_batch_size
        cuts = [slice(start, start + size) for start in range(0, total, size)]
        parts = [self._predict(inputs, present, cut) for cut in cuts]
        return Prediction(ids or [str(i) for i in range(total)], joined(parts), self.task, present)

    def _predict(self, inputs: Inputs, present: Mapping[str, Tensor] | None, rows: slice) -> Output:
        device = next(self.model.parameters()).device
        batch = {m: inputs[m][rows].to(device) for m in self.modalities}
        if present is not None:
            present = {m: values[rows].to(device) for m, values in present.items()}
        return self.method.predict(self.model, batch, present)


def load(folder: str | Path, checkpoint: str = BEST) -> Run:
    """Open a trained run.

    Args:
        folder: A run folder that ``g2d train`` wrote.
        checkpoint: ``"best"``, or ``"last"`` for a run that is not finished.

    Raises:
        ArgumentError: ``checkpoint`` is neither of them.
        RunError: The folder is not a run, has no checkpoint, or the data have changed.
    """
    folder = Path(folder)
    if not (folder / RECIPE).is_file():
        raise RunError(f"cannot open run {folder}: {_no_run(folder)}.")
    if checkpoint not in (BEST, LAST):
        raise ArgumentError(f"checkpoint must be {BEST} or {LAST}, found {checkpoint!r}.")
    if not any((folder / CHECKPOINTS).glob("*")):
        raise RunError(f"cannot open run {folder}: it has no checkpoint yet.")
    recipe, source = _opened(Recipe.load(folder / RECIPE))
    same_data(folder, hashes_of(source))
    model = recipe.build_model(source, recipe.example(source))
    method = untrained_method(recipe, model, source.task)
    if recipe.stack and checkpoint == BEST:
        sets = [untrained_teachers(model, source.task) for _ in range(recipe.stack)]
        method, checkpoint = Stack(method, sets), STACK
    checkpoints.load(folder / CHECKPOINTS / checkpoint, model, method)
    return Run(folder, recipe, source, model.eval(), method.eval(), read_result(folder))


def _no_run(folder: Path) -> str:
    """Return why a folder is no run; runs inside it are named."""
    if not folder.is_dir():
        return "no such folder"
    below = sorted([*folder.glob(f"*/{DATA}"), *folder.glob(f"*/*/{DATA}")])
    inside = [str(path.parent.relative_to(folder)) for path in below]
    if not inside:
        return f"it has no {RECIPE}"
    more = f" and {len(inside) - 5} more" if len(inside) > 5 else ""
    return f"it is not a run but contains some. Open one of them: {', '.join(inside[:5])}{more}"


def _opened(recipe: Recipe) -> tuple[Recipe, Source]:
    """Open the data where the run found them, or in ``G2D_DATA`` if they have moved."""
    try:
        return recipe, recipe.build_source()
    except DataError as error:
        moved = recipe.changed(
            data={key: value for key, value in recipe.data.plain().items() if key != "root"}
        )
        if moved.data == recipe.data:
            raise
        try:
            return moved, moved.build_source()
        except DataError:
            raise DataError(
                f"{error} The data of a run are also searched for in the folder G2D_DATA."
            ) from None


def write_predictions(run: Run, source: str | Path, out: Path) -> int:
    """Predict new rows and write a CSV file; see :meth:`Prediction.write`.

    Args:
        run: The run that predicts.
        source: A file of rows in a format that the data set reads.
        out: The CSV file.

    Returns:
        The number of rows.

    Raises:
        ArgumentError: ``out`` is a folder.
    """
    if out.is_dir():
        raise ArgumentError(f"--out must be a CSV file to write, found the folder {out}.")
    prediction = run.predict(source)
    prediction.write(out)
    return len(prediction)
