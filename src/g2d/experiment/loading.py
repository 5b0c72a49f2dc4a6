"""A finished run, opened again: model, method, task, data, and predictions for rows of the user's own."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g2d.data import Source
from g2d.engine import checkpoint as checkpoints
from g2d.engine.evaluate import Evaluation, evaluate
from g2d.engine.stack import Stack
from g2d.errors import ArgumentError, DataError, RunError
from g2d.method import Method
from g2d.model import MultimodalModel
from g2d.recipe import Recipe
from g2d.runs import CHECKPOINTS, RECIPE, STACK, Result, hashes_of, read_result, same_data
from g2d.task import Classification, Regression, Task
from g2d.types import Batch, Inputs, Output


@dataclass(frozen=True)
class Prediction:
    """What a run says about some rows.

    Args:
        ids: of the rows, as their file names them; numbers where there was no file.
        output: fused and unimodal logits.
        task: what they mean.
        present: per modality which rows have it; None if all do.
    """

    ids: list[str]
    output: Output
    task: Task
    present: Mapping[str, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.output.logits)

    @property
    def values(self) -> list[str] | Tensor:
        """The fused answers: class names, or values ``(B, C)`` in the original unit."""
        return answers(self.output.logits, self.task)

    @property
    def unimodal(self) -> dict[str, list[str] | Tensor]:
        """The same of every modality alone."""
        return {m: answers(z, self.task) for m, z in (self.output.unimodal_logits or {}).items()}

    @property
    def probabilities(self) -> Tensor:
        """``(B, C)`` of the fused prediction; classification only."""
        if not isinstance(self.task, Classification):
            raise ArgumentError(
                f"probabilities must be asked of a classification, found a {self.task.kind} task."
            )
        return self.output.logits.float().softmax(1)


@dataclass(frozen=True)
class Run:
    """A trained run.

    Example::

        run = g2d.load("runs/a")
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
        return self.recipe.name

    @property
    def task(self) -> Task:
        return self.source.task

    @property
    def modalities(self) -> tuple[str, ...]:
        return self.source.modalities

    def evaluate(
        self, split: str = "test", *, keep_rows: bool = False, windows: int = 1
    ) -> Evaluation:
        """Metrics on a split, fused and per modality; of data with time windows, over the mean of several if asked for."""
        size = self.recipe.train.eval_batch_size
        return evaluate(
            self.method,
            self.model,
            self.source,
            split,
            batch_size=size,
            keep_rows=keep_rows,
            windows=windows,
        )

    @torch.no_grad()
    def predict(self, rows: Inputs | Batch | str | Path) -> Prediction:
        """Predict rows of your own.

        Args:
            rows: a file in the form the data set reads; or inputs per modality as the encoders take them (a batch of the
                source, say), or a Batch of them.
        """
        if isinstance(rows, (str, Path)):
            ids, batch = self.source.read_rows(Path(rows))
            inputs, present = batch.inputs, batch.present
        else:
            ids, inputs, present = (
                [],
                *((rows.inputs, rows.present) if isinstance(rows, Batch) else (rows, None)),
            )
        missing = [m for m in self.modalities if m not in inputs]
        if missing:
            raise ArgumentError(
                f"rows must hold every modality of the run ({', '.join(self.modalities)}), found none for {', '.join(missing)}."
            )
        total, size = len(next(iter(inputs.values()))), self.recipe.train.eval_batch_size
        device = next(self.model.parameters()).device
        parts = [
            self._answer(inputs, present, slice(start, start + size), device)
            for start in range(0, total, size)
        ]
        return Prediction(ids or [str(i) for i in range(total)], _joined(parts), self.task, present)

    def _answer(
        self,
        inputs: Inputs,
        present: Mapping[str, Tensor] | None,
        rows: slice,
        device: torch.device,
    ) -> Output:
        there = (
            None
            if present is None
            else {m: values[rows].to(device) for m, values in present.items()}
        )
        return self.method.predict(
            self.model, {m: inputs[m][rows].to(device) for m in self.modalities}, there
        )


def load(folder: str | Path, checkpoint: str = "best") -> Run:
    """Open a trained run.

    Args:
        folder: as ``g2d train`` wrote it.
        checkpoint: ``"best"``, or ``"last"`` of a run that is not finished.

    Raises:
        RunError: it is not a run folder, holds no such checkpoint, or its data are not those it was trained on.
    """
    folder = Path(folder)
    if not (folder / RECIPE).is_file():
        raise RunError(f"a run must be a folder with a {RECIPE}, found none in {folder}.")
    recipe, source = _opened(Recipe.load(folder / RECIPE))
    same_data(folder, hashes_of(source))
    model, method = recipe.build_untrained(source)
    if recipe.stack and checkpoint == "best":
        method, checkpoint = (
            Stack(method, [recipe.untrained_teachers(source) for _ in range(recipe.stack)]),
            STACK,
        )
    checkpoints.load(folder / CHECKPOINTS / checkpoint, model, method)
    return Run(folder, recipe, source, model.eval(), method.eval(), read_result(folder))


def _opened(recipe: Recipe) -> tuple[Recipe, Source]:
    """The data where the run found them, or, should they have moved, where data are looked for else."""
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
                f"{error} Data of a run are also looked for under the environment's G2D_DATA."
            ) from None


def write_predictions(run: Run, source: str | Path, out: Path) -> int:
    """Predictions for new rows as CSV: ``id``, ``prediction``, then ``m.prediction`` per modality, then the probabilities.

    Returns:
        how many rows.
    """
    if out.is_dir():
        raise ArgumentError(f"--out must be a CSV file to write, found the folder {out}.")
    prediction = run.predict(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        columns = dict(_columns(prediction))
        writer.writerow(["id", *columns])
        writer.writerows(zip(prediction.ids, *columns.values(), strict=True))
    aside.replace(out)
    return len(prediction)


def answers(logits: Tensor, task: Task) -> list[str] | Tensor:
    """What a user wants to read: class names, or values in the original unit."""
    predicted = task.predict(logits).cpu()
    return (
        [task.classes[i] for i in predicted.tolist()]
        if isinstance(task, Classification)
        else predicted
    )


def _columns(prediction: Prediction) -> Iterator[tuple[str, list[Any]]]:
    task, tables = (
        prediction.task,
        {"": prediction.output.logits}
        | {f"{m}.": z for m, z in (prediction.output.unimodal_logits or {}).items()},
    )
    for prefix, logits in tables.items():
        values = answers(logits, task)
        if isinstance(values, list):
            yield f"{prefix}prediction", _where_present(values, prefix, prediction)
        else:
            for c in range(values.shape[1]):
                yield (
                    f"{prefix}prediction" + (f"[{c}]" if values.shape[1] > 1 else ""),
                    _where_present(values[:, c].tolist(), prefix, prediction),
                )
    if isinstance(task, Regression):
        return
    assert isinstance(task, Classification)
    for prefix, logits in tables.items():
        for name, column in zip(
            task.classes, logits.float().softmax(1).cpu().T.tolist(), strict=True
        ):
            yield (
                f"{prefix}probability[{name}]",
                _where_present([f"{p:.6f}" for p in column], prefix, prediction),
            )


def _where_present(values: list[Any], prefix: str, prediction: Prediction) -> list[Any]:
    """A modality that a row lacks says nothing about it."""
    there = None if prediction.present is None else prediction.present.get(prefix.removesuffix("."))
    return (
        values
        if there is None
        else [value if has else "" for value, has in zip(values, there.tolist(), strict=True)]
    )


def _joined(parts: list[Output]) -> Output:
    logits = torch.cat([part.logits for part in parts]).cpu()
    features = {m: torch.cat([part.features[m] for part in parts]).cpu() for m in parts[0].features}
    z = [part.unimodal_logits for part in parts if part.unimodal_logits is not None]
    return Output(
        features, logits, {m: torch.cat([part[m] for part in z]).cpu() for m in z[0]} if z else None
    )
