"""How good a model is on a split: fused and per modality, exact over the last partial batch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from g2d.data import Loader, Source
from g2d.data.views import looking
from g2d.errors import DataError
from g2d.method import Method, Validation
from g2d.model import MultimodalModel, evaluating
from g2d.task import Task
from g2d.types import Batch, Output


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a split, and every row's answer if it was kept.

    Args:
        loss, fused: mean loss and metrics of the fused prediction.
        unimodal_loss, unimodal: the same of every modality's own prediction, over the rows that have it.
        confidence, unimodal_confidence: mean confidence in the truth (Eq. 5).
        rows: how many.
        index, target, logits, unimodal_logits: of every row, on the CPU; None unless kept.
    """

    headline: str
    loss: float
    fused: Mapping[str, float]
    unimodal_loss: Mapping[str, float]
    unimodal: Mapping[str, Mapping[str, float]]
    confidence: float
    unimodal_confidence: Mapping[str, float]
    rows: int
    index: Tensor | None = None
    target: Tensor | None = None
    logits: Tensor | None = None
    unimodal_logits: Mapping[str, Tensor] | None = None

    @property
    def score(self) -> float:
        """The fused headline metric; higher is better."""
        return self.fused[self.headline]

    def to_validation(self) -> Validation:
        """What a method hears of it."""
        return Validation(
            self.loss,
            self.score,
            self.unimodal_loss,
            {m: metrics.get(self.headline, math.nan) for m, metrics in self.unimodal.items()},
        )


@torch.no_grad()
def evaluate(
    method: Method,
    model: MultimodalModel,
    source: Source,
    split: str,
    *,
    batch_size: int = 512,
    device: torch.device | None = None,
    keep_rows: bool = False,
    windows: int = 1,
) -> Evaluation:
    """Ask a trained model by its method's own rule.

    Args:
        keep_rows: also return every row's logits.
        windows: time windows of longer recordings that are looked at, evenly spread; a row's logits are their mean.

    Raises:
        DataError: the split has no rows, or no modality is seen through a time window where several are asked for.
    """
    device = device or next(model.parameters()).device
    tallies: dict[str, _Tally] = defaultdict(lambda: _Tally(source.task))
    kept: list[tuple[Batch, Output]] = []
    with evaluating(model), evaluating(method):
        for looks in zip(
            *(
                Loader(look, split, batch_size, device=device).epoch(0)
                for look in _looks(source, windows)
            ),
            strict=True,
        ):
            batch = looks[0]
            output = _mean([method.predict(model, look.inputs, look.present) for look in looks])
            tallies[""].add(output.logits, batch.target)
            for m, z in (output.unimodal_logits or {}).items():
                there = (
                    slice(None)
                    if batch.present is None or m not in batch.present
                    else batch.present[m]
                )
                tallies[m].add(z[there], batch.target[there])
            if keep_rows:
                kept.append((batch, output))
    if not tallies:
        raise DataError(
            f"the {split} split of {source.name} must have rows to evaluate, found none."
        )
    whole = tallies.pop("")
    return Evaluation(
        source.task.headline,
        whole.loss,
        whole.metrics(),
        {m: tally.loss for m, tally in tallies.items()},
        {m: tally.metrics() for m, tally in tallies.items()},
        whole.confidence,
        {m: tally.confidence for m, tally in tallies.items()},
        whole.rows,
        *_joined(kept),
    )


def _looks(source: Source, windows: int) -> list[Source]:
    """The source once per window: their places are (i + 1/2) / windows of the room that there is."""
    if windows == 1:
        return [source]
    looks = [
        source.seen({m: looking(view, (i + 0.5) / windows) for m, view in source.views.items()})
        for i in range(windows)
    ]
    if looks[0].views == source.views:
        raise DataError(
            f"{windows} windows must be asked of data with a time window among their views, found none in {source.name}."
        )
    return looks


def _mean(outputs: list[Output]) -> Output:
    """Mean logits; the features are those of the first."""
    first = outputs[0]
    if len(outputs) == 1:
        return first
    unimodal = [output.unimodal_logits for output in outputs if output.unimodal_logits is not None]
    means = (
        {m: torch.stack([z[m] for z in unimodal]).mean(0) for m in unimodal[0]}
        if unimodal
        else None
    )
    return Output(first.features, torch.stack([output.logits for output in outputs]).mean(0), means)


class _Tally:
    """Loss, confidence and metrics of one kind of prediction, added up batch by batch."""

    def __init__(self, task: Task) -> None:
        self.task, self.measured = task, task.metrics()
        self.rows, self._loss, self._confidence = 0, 0.0, 0.0

    def add(self, logits: Tensor, target: Tensor) -> None:
        if len(target) == 0:
            return
        self.measured.update(logits.float(), target)
        self.rows += len(target)
        self._loss += self.task.loss_per_row(logits, target).double().sum().item()
        self._confidence += self.task.confidence(logits, target).double().sum().item()

    @property
    def loss(self) -> float:
        return self._loss / self.rows if self.rows else float("nan")

    @property
    def confidence(self) -> float:
        return self._confidence / self.rows if self.rows else float("nan")

    def metrics(self) -> dict[str, float]:
        return self.measured.compute() if self.rows else {}


def _joined(
    kept: list[tuple[Batch, Output]],
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Mapping[str, Tensor] | None]:
    if not kept:
        return None, None, None, None
    index = torch.cat([batch.index for batch, _ in kept if batch.index is not None]).cpu()
    target = torch.cat([batch.target for batch, _ in kept]).cpu()
    logits = torch.cat([output.logits for _, output in kept]).float().cpu()
    unimodal = [output.unimodal_logits for _, output in kept if output.unimodal_logits is not None]
    z = (
        {m: torch.cat([part[m] for part in unimodal]).float().cpu() for m in unimodal[0]}
        if unimodal
        else None
    )
    return index, target, logits, z
