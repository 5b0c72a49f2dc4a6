"""Predictions of a run for new rows, and their CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from g2d.data.label_sets import label_cell
from g2d.data.new_rows import LeftOut
from g2d.files import csv_cell, replaced
from g2d.task import Task
from g2d.types import Output


@dataclass(frozen=True)
class Prediction:
    """Predictions for some rows, fused and per modality.

    Args:
        ids: Names of the rows as in their file; numbers from 0 if there was no file.
        output: Fused and unimodal logits.
        task: What the logits mean.
        present: Per modality the rows that have it ``(B,)``; None if all rows have all.
        left_out: Rows of the file that could not be predicted, with the reason.
        faults: What could not be read and counts as absent, by number of a predicted row.
        remarks: Sentences about modalities and columns that were not given.
    """

    ids: list[str]
    output: Output
    task: Task
    present: Mapping[str, Tensor] | None = None
    left_out: tuple[LeftOut, ...] = ()
    faults: Mapping[int, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.output.logits)

    def __repr__(self) -> str:
        values = self.values if isinstance(self.values, list) else self.values.tolist()
        first = zip(self.ids[:5], values[:5], strict=True)
        some = ", ".join(f"{name}: {value}" for name, value in first)
        return f"Prediction for {len(self)} rows ({some}{', ...' if len(self) > 5 else ''})"

    @property
    def values(self) -> list[Any] | Tensor:
        """The fused predictions: class names, tuples of labels, or values ``(B, C)``.

        Values are in the original unit.
        """
        return self.task.answers(self.output.logits)

    @property
    def unimodal(self) -> dict[str, list[Any] | Tensor]:
        """The predictions from every modality alone, in the form of :attr:`values`."""
        z = self.output.unimodal_logits or {}
        return {m: self.task.answers(logits) for m, logits in z.items()}

    @property
    def probabilities(self) -> Tensor:
        """Probability of every class or label in the fused prediction ``(B, C)``."""
        return self.task.probabilities(self.output.logits)

    def write(self, path: Path) -> None:
        """Write a CSV file atomically.

        Its columns are ``id``, ``prediction``, ``M.prediction`` for every modality M, and for
        classes and labels ``probability[NAME]`` and ``M.probability[NAME]``. The labels of a row
        are one cell, see :func:`~g2d.data.label_sets.label_cell`. If some cells could not be read,
        the column ``problem`` says why; rows that are left out have no other values.

        Args:
            path: The file.
        """
        columns = dict(_columns(self))
        rows = [list(row) for row in zip(self.ids, *columns.values(), strict=True)]
        if self.left_out or self.faults:
            rows = [[*row, self.faults.get(i, "")] for i, row in enumerate(rows)]
            for one in self.left_out:  # in order, so that each finds its place among the others
                rows.insert(one.place, [one.id, *[""] * len(columns), one.reason])
            columns["problem"] = []
        with replaced(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            for row in (["id", *columns], *rows):
                writer.writerow([csv_cell(cell) for cell in row])


def _columns(prediction: Prediction) -> Iterator[tuple[str, list[Any]]]:
    for m, values in {"": prediction.values, **prediction.unimodal}.items():
        name = f"{m}.prediction" if m else "prediction"
        if isinstance(values, list):
            cells = [label_cell(v) if isinstance(v, tuple) else v for v in values]
            yield name, _known(cells, m, prediction)
        else:
            several = values.shape[1] > 1
            for c, column in enumerate(values.T.tolist()):
                yield f"{name}[{c}]" if several else name, _known(column, m, prediction)
    task, output = prediction.task, prediction.output
    if task.names:
        for m, logits in {"": output.logits, **(output.unimodal_logits or {})}.items():
            prefix = f"{m}." if m else ""
            columns = task.probabilities(logits).cpu().T.tolist()
            for name, column in zip(task.names, columns, strict=True):
                texts = [f"{p:.6f}" for p in column]
                yield f"{prefix}probability[{name}]", _known(texts, m, prediction)


def _known(values: list[Any], m: str, prediction: Prediction) -> list[Any]:
    """Return the values, empty for rows that lack the modality."""
    present = None if prediction.present is None else prediction.present.get(m)
    if present is None:
        return values
    return [value if has else "" for value, has in zip(values, present.tolist(), strict=True)]
