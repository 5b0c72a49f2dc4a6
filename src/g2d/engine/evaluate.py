"""Evaluation of a model on a split: fused and per modality, exact over the last partial batch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from g2d.data import Loader, Source, Split
from g2d.data.views import shift_windows
from g2d.errors import DataError
from g2d.functional.precision import at_least_float32
from g2d.method import Method, Validation
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Output


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a split and, if kept, the logits of every row.

    Args:
        headline: Name of the metric that selects; higher is better.
        loss: Mean loss of the fused prediction.
        fused: Metrics of the fused prediction.
        unimodal_loss: Mean loss of every modality's own prediction, over the rows that have it.
        unimodal: Metrics of every modality's own prediction, over the rows that have it.
        confidence: Mean confidence of the fused prediction in the true target (Eq. 5).
        unimodal_confidence: The same for every modality's own prediction.
        rows: Number of rows.
        index: Sample id of every row ``(N,)``, on the CPU; None unless kept.
        target: Target of every row, on the CPU; None unless kept.
        logits: Fused logits ``(N, C)``, on the CPU; None unless kept.
        unimodal_logits: Logits of every modality ``(N, C)``, on the CPU; None unless kept.
    """

    headline: str
    loss: float
    fused: Mapping[str, float]
    unimodal_loss: Mapping[str, float]
    unimodal: Mapping[str, Mapping[str, float]]
    confidence: float
    unimodal_confidence: Mapping[str, float]
    rows: int
    index: Tensor | None = field(default=None, repr=False)
    target: Tensor | None = field(default=None, repr=False)
    logits: Tensor | None = field(default=None, repr=False)
    unimodal_logits: Mapping[str, Tensor] | None = field(default=None, repr=False)

    @property
    def score(self) -> float:
        """The fused headline metric; higher is better."""
        return self.fused[self.headline]

    def __repr__(self) -> str:
        metrics = {"fused": self.fused, **self.unimodal}
        lines = [
            f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items())
            for name, values in metrics.items()
        ]
        return f"Evaluation of {self.rows} rows\n  " + "\n  ".join(lines)

    def to_validation(self) -> Validation:
        """Return the part of this evaluation that ``Method.epoch_end`` receives."""
        return Validation(
            self.loss,
            self.score,
            self.unimodal_loss,
            {m: metrics.get(self.headline, math.nan) for m, metrics in self.unimodal.items()},
            self.unimodal_confidence,
        )

    def record(self) -> dict[str, Any]:
        """Return the metrics as plain values, as ``metrics.jsonl`` and ``result.json`` keep them.

        Example:
            >>> Evaluation("r2", 0.1, {"r2": 0.5}, {}, {}, 0.9, {}, rows=3).record()["fused"]
            {'loss': 0.1, 'r2': 0.5, 'confidence': 0.9}
        """
        return {
            "fused": {"loss": self.loss, **self.fused, "confidence": self.confidence},
            "unimodal": {
                m: {
                    "loss": self.unimodal_loss[m],
                    **metrics,
                    "confidence": self.unimodal_confidence[m],
                }
                for m, metrics in self.unimodal.items()
            },
        }


@torch.no_grad()
def evaluate(
    method: Method,
    model: MultimodalModel,
    source: Source,
    split: Split,
    *,
    batch_size: int = 512,
    device: torch.device | None = None,
    keep_rows: bool = False,
    windows: int = 1,
) -> Evaluation:
    """Evaluate a model on a split by its method's own prediction rule.

    Args:
        method: The method that predicts.
        model: The trained model.
        source: The data.
        split: ``train``, ``valid`` or ``test``.
        batch_size: Rows per step.
        device: Where to evaluate; None is the model's device.
        keep_rows: Also return the logits of every row.
        windows: Number of evenly spread time windows of longer recordings; the logits of a row are
            their mean.

    Raises:
        DataError: The split has no rows, or several windows are requested and no modality has a
            time window.
    """
    device = device or next(model.parameters()).device
    tallies: dict[str, _Tally] = defaultdict(lambda: _Tally(source.task))
    kept: list[tuple[Batch, Output]] = []
    views = _windows(source, windows)
    loaders = [Loader(view, split, batch_size, device=device).epoch(0) for view in views]
    with evaluating(model), evaluating(method):
        for batches in zip(*loaders, strict=True):
            batch = batches[0]
            output = _mean([method.predict(model, b.inputs, b.present) for b in batches])
            tallies[""].add(output.logits, batch.target)
            for m, z in (output.unimodal_logits or {}).items():
                rows = (batch.present or {}).get(m, slice(None))
                tallies[m].add(z[rows], batch.target[rows])
            if keep_rows:
                kept.append((batch, output))
    if not tallies:
        raise DataError(
            f"the {split} split of {source.name} must have rows to evaluate, found none."
        )
    whole = tallies.pop("")
    return Evaluation(
        headline=source.task.headline,
        loss=whole.loss,
        fused=whole.metrics(),
        unimodal_loss={m: tally.loss for m, tally in tallies.items()},
        unimodal={m: tally.metrics() for m, tally in tallies.items()},
        confidence=whole.confidence,
        unimodal_confidence={m: tally.confidence for m, tally in tallies.items()},
        rows=whole.rows,
        **_joined(kept),
    )


def scores(task: Task, logits: Tensor, target: Tensor) -> dict[str, float]:
    """Return loss, metrics and confidence of logits, as an evaluation records them.

    Args:
        task: Kind of target.
        logits: Logits ``(N, C)``.
        target: Targets of the rows.
    """
    tally = _Tally(task)
    tally.add(logits, target)
    return tally.record()


def _windows(source: Source, windows: int) -> list[Source]:
    """Return the source once per window, at (i + 1/2) / windows of the free range."""
    if windows == 1:
        return [source]
    places = [(i + 0.5) / windows for i in range(windows)]
    sources = [
        source.seen({m: shift_windows(view, place) for m, view in source.views.items()})
        for place in places
    ]
    if sources[0].views == source.views:
        raise DataError(
            f"{windows} windows must be requested of data with a time window among their views, "
            f"found none in {source.name}."
        )
    return sources


def _mean(outputs: list[Output]) -> Output:
    """Return the mean of the logits; the features are those of the first output."""
    first = outputs[0]
    if len(outputs) == 1:
        return first
    unimodal = [output.unimodal_logits for output in outputs if output.unimodal_logits is not None]
    means = {m: torch.stack([z[m] for z in unimodal]).mean(0) for m in (unimodal or [{}])[0]}
    logits = torch.stack([output.logits for output in outputs]).mean(0)
    return Output(first.features, logits, means if unimodal else None)


class _Tally:
    """Loss, confidence and metrics of one kind of prediction, summed over batches."""

    def __init__(self, task: Task) -> None:
        self.task, self.sums = task, task.metrics()
        self.rows, self._loss, self._confidence = 0, 0.0, 0.0

    def add(self, logits: Tensor, target: Tensor) -> None:
        if len(target) == 0:
            return
        self.sums.update(at_least_float32(logits), target)
        self.rows += len(target)
        self._loss += self.task.loss_per_row(logits, target).double().sum().item()
        self._confidence += self.task.confidence(logits, target).double().sum().item()

    @property
    def loss(self) -> float:
        return self._loss / self.rows if self.rows else math.nan

    @property
    def confidence(self) -> float:
        return self._confidence / self.rows if self.rows else math.nan

    def metrics(self) -> dict[str, float]:
        return self.sums.compute() if self.rows else {}

    def record(self) -> dict[str, float]:
        return {"loss": self.loss, **self.metrics(), "confidence": self.confidence}


def _joined(kept: list[tuple[Batch, Output]]) -> dict[str, Any]:
    """Return the kept rows of all batches as the last four fields of :class:`Evaluation`."""
    if not kept:
        return {}
    output = joined([output for _, output in kept])
    return {
        "index": torch.cat([batch.index for batch, _ in kept if batch.index is not None]).cpu(),
        "target": torch.cat([batch.target for batch, _ in kept]).cpu(),
        "logits": output.logits,
        "unimodal_logits": output.unimodal_logits,
    }


def joined(parts: Sequence[Output]) -> Output:
    """Return the outputs of several batches as one, on the CPU."""
    z = [part.unimodal_logits for part in parts if part.unimodal_logits is not None]
    return Output(
        {m: torch.cat([part.features[m] for part in parts]).cpu() for m in parts[0].features},
        at_least_float32(torch.cat([part.logits for part in parts])).cpu(),
        {m: at_least_float32(torch.cat([part[m] for part in z])).cpu() for m in z[0]}
        if z
        else None,
    )
