"""A trained run, opened again: model, method, task, data, and predictions for new rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g2d.data import Source, Split
from g2d.data.gaps import OnError
from g2d.data.new_rows import absent_sentence, may_lack, zero_rows
from g2d.data.store.facts import DATASET
from g2d.data.unrowed import labeled_source, source_from
from g2d.datasets.table.opening import TableReader
from g2d.engine.checkpoint import BEST, LAST
from g2d.engine.evaluate import Evaluation, evaluate, joined
from g2d.errors import ArgumentError, DataError, RunError
from g2d.experiment.new_rows import read_given
from g2d.experiment.predictions import Prediction
from g2d.experiment.rebuilding import rebuilt, relocated
from g2d.experiment.students import stack_facts
from g2d.files import is_same
from g2d.method import Method
from g2d.model import MultimodalModel
from g2d.recipe import Recipe
from g2d.runs import (
    CHECKPOINTS,
    DATA,
    RECIPE,
    STACK,
    STORE,
    Result,
    hashes_of,
    read_result,
    require_whole,
    same_data,
)
from g2d.runs.bundle import BUNDLE, WEIGHTS, Bundle, is_bundle, read_bundle
from g2d.task import Task
from g2d.types import Batch, Inputs, Output, Present, Sequence

A_RUN = (
    "A run is the folder that g2d train or g2d fit has written (--out), or g2d export; data become "
    "one by g2d fit DATA --target NAME"
)
"""Sentence about a folder that is no run."""


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
        exported: Whether it was opened from what :func:`g2d.export` wrote, which has no rows.

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
    exported: bool = False

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
        facts = f"{self.result.epoch_in_words}, seed {self.result.seed}"
        return "\n".join([*lines, f"  {facts}; test {metric}: {', '.join(texts)}"])

    def evaluate(
        self,
        split: Split = "test",
        *,
        rows: str | Path | Source | None = None,
        on_error: OnError = "stop",
        keep_rows: bool = False,
        windows: int = 1,
    ) -> Evaluation:
        """Evaluate on a split or on new rows with targets, fused and per modality.

        Args:
            split: ``train``, ``valid`` or ``test``; not used with ``rows``.
            rows: A file of new rows in a format that the data set reads, with the target; or
                :meth:`labeled` rows.
            on_error: What a cell of the file that cannot be read does, as in :meth:`predict`.
            keep_rows: Also return the logits of every row.
            windows: Number of evenly spread time windows of longer recordings, whose logits are
                averaged.

        Raises:
            DataError: The file cannot be read, or has no targets.
            RunError: The model was exported, and no rows are given.
        """
        source = self.source
        if rows is not None:
            source = rows if isinstance(rows, Source) else self.labeled(rows, on_error)
            split = "test"
        elif self.exported:
            raise RunError(
                f"{self.folder} has no rows to evaluate. Give a file of rows with targets: "
                "g2d evaluate --source FILE, or evaluate(rows=...)."
            )
        return evaluate(
            self.method,
            self.model,
            source,
            split,
            batch_size=self.recipe.train.eval_batch_size,
            keep_rows=keep_rows,
            windows=windows,
        )

    def labeled(self, rows: str | Path, on_error: OnError = "stop") -> Source:
        """Return new rows with their targets, on which :meth:`evaluate` works.

        Sentences about the file are in ``source.remarks`` of the run.

        Args:
            rows: A table or a file of arrays, in a format that the data set reads.
            on_error: See :meth:`predict`.

        Raises:
            DataError: The file cannot be read, or has no targets.
        """
        return labeled_source(self.source, Path(rows), on_error)

    @torch.no_grad()
    def predict(self, rows: Any, on_error: OnError = "stop") -> Prediction:
        """Predict new rows, in the form of the data that the run was trained on.

        A modality that is not given is absent in every row, if some training rows lack it; the
        remarks of the prediction say so.

        Args:
            rows: New rows, with or without their target:

                - a file in a format that the data set reads;
                - a pandas data frame, or a list of mappings, of the columns of the table or of the
                  modalities;
                - a mapping of NumPy arrays or lists, one entry per row: the columns of the table,
                  or modalities as :func:`g2d.fit` takes them and as they are stored;
                - a mapping of tensors or a batch: inputs as the encoders receive them, after the
                  views. Turn a tensor of raw values into an array first.
            on_error: What a cell of a table that cannot be read does: ``"stop"`` raises an error,
                ``"absent"`` lets its row lack the modality, ``"skip"`` leaves its row out.

        Raises:
            ArgumentError: The rows have none of these forms, or tensors lack a modality that every
                training row has.
            DataError: The rows cannot be read, or do not fit the data of the run.
        """
        if not _are_inputs(rows):
            new = read_given(self.source, rows, on_error)
            output = self._outputs(new.batch.inputs, new.batch.present, len(new.ids))
            present, remarks = new.batch.present, tuple(self.source.remarks)
            return Prediction(
                new.ids, output, self.task, present, new.left_out, new.faults, remarks
            )
        inputs, present = (rows.inputs, rows.present) if isinstance(rows, Batch) else (rows, None)
        missing = self._missing(inputs)
        count = len(next(iter(inputs.values())))
        if missing:
            known = self.source.gather(np.arange(1))
            seen = self.source.view(known, seed=0, epoch=0, train=False).inputs
            inputs = {m: inputs.get(m, zero_rows(seen[m], count)) for m in self.modalities}
            nowhere = torch.zeros(count, dtype=torch.bool)
            present = dict(present or {}) | dict.fromkeys(missing, nowhere)
        output = self._outputs(inputs, present, count)
        remarks = tuple(map(absent_sentence, missing))
        return Prediction(
            [str(i) for i in range(count)], output, self.task, present, remarks=remarks
        )

    def _missing(self, inputs: Inputs) -> list[str]:
        """Return the modalities that are not given and may be absent.

        Raises:
            ArgumentError: A modality is missing that every training row has, or all are.
        """
        missing = [m for m in self.modalities if m not in inputs]
        needed = [m for m in missing if not may_lack(self.source, m)]
        if needed or len(missing) == len(self.modalities):
            raise ArgumentError(
                f"rows must have every modality of the run ({', '.join(self.modalities)}), found "
                f"none for {', '.join(needed or missing)}. Only a modality that some training "
                "rows lack can be left out."
            )
        return missing

    def _outputs(self, inputs: Inputs, present: Present, count: int) -> Output:
        """Return the outputs for all rows, computed batch by batch."""
        size = self.recipe.train.eval_batch_size
        cuts = [slice(start, start + size) for start in range(0, count, size)]
        return joined([self._predict(inputs, present, cut) for cut in cuts])

    def _predict(self, inputs: Inputs, present: Mapping[str, Tensor] | None, rows: slice) -> Output:
        device = next(self.model.parameters()).device
        batch = {m: inputs[m][rows].to(device) for m in self.modalities}
        if present is not None:
            present = {m: values[rows].to(device) for m, values in present.items()}
        return self.method.predict(self.model, batch, present)


def _are_inputs(rows: Any) -> bool:
    """Return whether rows are what encoders receive.

    Raises:
        ArgumentError: Some modalities are, and others are not.
    """
    if isinstance(rows, Batch):
        return True
    if not isinstance(rows, Mapping):
        return False
    seen = [m for m, values in rows.items() if isinstance(values, Tensor | Sequence)]
    if seen and len(seen) < len(rows):
        raise ArgumentError(
            "inputs must be tensors, as the encoders receive them, or arrays, as rows are stored, "
            f"found tensors for {', '.join(seen)} alone. Turn them into arrays: values.numpy()."
        )
    return len(seen) == len(rows)


def load(folder: str | Path, checkpoint: str = BEST) -> Run:
    """Open a trained run.

    Args:
        folder: A run folder that ``g2d train`` wrote, or what :func:`g2d.export` wrote.
        checkpoint: ``"best"``, or ``"last"`` for a run that is not finished.

    Raises:
        ArgumentError: ``checkpoint`` is neither of them.
        RunError: The folder is not a run, has no checkpoint or is damaged, or the data have
            changed.
    """
    folder = Path(folder)
    if is_bundle(folder):
        return _opened_bundle(folder, read_bundle(folder))
    if not (folder / RECIPE).is_file() or (folder / DATASET).is_file():
        raise RunError(f"cannot open run {folder}: {_no_run(folder)}.")
    if checkpoint not in (BEST, LAST):
        raise ArgumentError(f"checkpoint must be {BEST} or {LAST}, found {checkpoint!r}.")
    if not any((folder / CHECKPOINTS).glob("*")):
        raise RunError(f"cannot open run {folder}: it has no checkpoint yet.")
    result = read_result(folder)
    if result is not None:
        require_whole(folder, result.files)
    recipe, source = _opened(Recipe.load(folder / RECIPE), folder)
    same_data(folder, hashes_of(source))
    stack = None
    if checkpoint == BEST and (recipe.is_stack or (result is not None and result.fit is not None)):
        stack = stack_facts(recipe, folder, {}) if result is None else result.stack
    place = checkpoint if stack is None else STACK
    model, method = rebuilt(recipe, source, folder / CHECKPOINTS / place, stack)
    return Run(folder, recipe, source, model, method, result)


def _opened_bundle(folder: Path, bundle: Bundle) -> Run:
    """Open an exported model, whose files have been verified."""
    places = {place: str((folder / place).resolve()) for place in bundle.pretrained}
    recipe = Recipe.from_mapping(relocated(bundle.recipe, places), str(folder / BUNDLE))
    source = source_from(bundle.data, places)
    if bundle.data["table"] is not None:
        source.read_table = TableReader(source, **bundle.data["table"])
    stack = bundle.result.stack if bundle.stacked else None
    if stack is not None:
        students = {name: relocated(one, places) for name, one in stack.students.items()}
        stack = stack.model_copy(update={"students": students})
    model, method = rebuilt(recipe, source, folder / WEIGHTS, stack)
    return Run(folder, recipe, source, model, method, bundle.result, exported=True)


def _no_run(folder: Path) -> str:
    """Return why a folder is no run; runs inside it are named."""
    if (folder / DATASET).is_file():
        return f"it holds prepared data. {A_RUN}"
    if not folder.is_dir():
        return f"it is a file. {A_RUN}" if folder.exists() else "no such folder"
    below = sorted([*folder.glob(f"*/{DATA}"), *folder.glob(f"*/*/{DATA}")])
    inside = [str(path.parent.relative_to(folder)) for path in below]
    if not inside:
        return f"it has no {RECIPE}. {A_RUN}"
    more = f" and {len(inside) - 5} more" if len(inside) > 5 else ""
    return f"it is not a run but contains some. Open one of them: {', '.join(inside[:5])}{more}"


def _opened(recipe: Recipe, folder: Path) -> tuple[Recipe, Source]:
    """Open the data where the run found them, in the run folder, or in ``G2D_DATA``."""
    try:
        return recipe, recipe.build_source()
    except DataError as error:
        plain = recipe.data.plain()
        elsewhere = {key: value for key, value in plain.items() if key != "root"}
        places = [elsewhere] if elsewhere != plain else []
        if (folder / STORE).is_dir():  # a fit has the store that it prepared
            places = [{**elsewhere, "root": str(folder.resolve())}, *places]
        for place in places:
            moved = recipe.changed(data=place)
            try:
                return moved, moved.build_source()
            except DataError:
                continue
        if not places:
            raise
        raise DataError(
            f"{error} The data of a run are also searched for in the folder G2D_DATA."
        ) from None


def write_predictions(
    run: Run, source: str | Path, out: Path, on_error: OnError = "stop"
) -> Prediction:
    """Predict new rows and write a CSV file; see :meth:`Prediction.write`.

    Args:
        run: The run that predicts.
        source: A file of rows in a format that the data set reads.
        out: The CSV file.
        on_error: See :meth:`Run.predict`.

    Raises:
        ArgumentError: ``out`` is a folder, or the file of the rows.
    """
    if out.is_dir():
        raise ArgumentError(f"--out must be a CSV file to write, found the folder {out}.")
    if is_same(out, Path(source)):
        raise ArgumentError(
            f"--out must be another file than --source, found {out}, which holds the rows to "
            "predict. Name a new file."
        )
    prediction = run.predict(source, on_error)
    prediction.write(out)
    return prediction
