"""Rows whose modalities can be exchanged, and the model that predicts the new combinations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from g2d.analysis.readout import zeros_like
from g2d.analysis.rows import Predict, group_numbers
from g2d.errors import ArgumentError
from g2d.functional.precision import at_least_float32
from g2d.model import MultimodalModel, evaluating
from g2d.types import Batch, Encoded, Inputs

AT_ONCE = 2048
"""Number of combinations that are predicted at once."""

Picked = Mapping[str, Tensor]
"""Row numbers ``(B,)`` per modality: combination b takes modality m from row ``picked[m][b]``."""


@dataclass(frozen=True)
class Pool:
    """N rows whose modalities can be exchanged, and a model that predicts the combinations.

    Args:
        ask: Function that returns the fused logits ``(B, C)`` of a batch of combinations.
        inputs: Inputs of all rows, per modality.
        absent: Inputs of all rows that replace those of an absent modality.
        has: Rows that have the modality ``(N,)``, bool, per modality.
        target: Targets ``(N,)`` or ``(N, C)``.
        group: Number of each row's group ``(N,)``; a bootstrap draws a group together.

    Example:
        >>> inputs = {"a": torch.tensor([[0.0], [1.0]]), "b": torch.tensor([[0.0], [10.0]])}
        >>> blank = {m: torch.zeros_like(values) for m, values in inputs.items()}
        >>> has = dict.fromkeys(inputs, torch.tensor([True, True]))
        >>> def total(batch):
        ...     return batch.inputs["a"] + batch.inputs["b"]
        >>> pool = Pool(total, inputs, blank, has, torch.tensor([0, 1]), np.arange(2))
        >>> pool.logits({"a": torch.tensor([0, 1]), "b": torch.tensor([1, 0])}).tolist()
        [[10.0], [1.0]]
        >>> pool.logits(pool.own, without={"b"}).tolist()
        [[0.0], [1.0]]
    """

    ask: Callable[[Batch], Tensor]
    inputs: Inputs
    absent: Inputs
    has: Mapping[str, Tensor]
    target: Tensor
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that can be exchanged."""
        return tuple(self.has)

    @property
    def own(self) -> dict[str, Tensor]:
        """Row numbers that give every row its own modalities."""
        return dict.fromkeys(self.modalities, torch.arange(len(self)))

    @torch.no_grad()
    def logits(self, picked: Picked, without: Collection[str] = ()) -> Tensor:
        """Return the fused logits ``(B, C)`` of some combinations, on the CPU.

        Args:
            picked: Row numbers per modality.
            without: Modalities that are absent.
        """
        count = len(next(iter(picked.values())))
        parts = range(0, count, AT_ONCE)
        return torch.cat(
            [
                self._ask({m: rows[at : at + AT_ONCE] for m, rows in picked.items()}, without)
                for at in parts
            ]
        )

    def _ask(self, picked: Picked, without: Collection[str]) -> Tensor:
        target = self.target[next(iter(picked.values()))]
        inputs = {
            m: (self.absent if m in without else self.inputs)[m][rows] for m, rows in picked.items()
        }
        complete = all(bool(has.all()) for has in self.has.values())
        present = None if complete else {m: has[picked[m]] for m, has in self.has.items()}
        return at_least_float32(self.ask(Batch(inputs, target, present=present))).cpu()


@torch.no_grad()
def feature_pool(
    model: MultimodalModel,
    batches: Iterable[Batch],
    means: Mapping[str, Tensor],
    *,
    predict: Predict | None = None,
    group: NDArray[np.int64] | None = None,
) -> Pool:
    """Return a pool that keeps every row's features, so that only the fusion runs again.

    Args:
        model: Model of this library; in eval mode during the call and during predictions.
        batches: Batches as the encoders take them.
        means: Mean features per modality (:func:`g2d.analysis.feature_means`), which replace
            those of an absent modality; it has no tokens then.
        predict: Function that returns the Output for a batch, for a method with a rule or heads
            of its own; by default the model's fusion predicts.
        group: Group of every row ``(N,)``; by default every row is a group.

    Raises:
        ArgumentError: There are no rows.
    """
    tables: dict[str, list[Encoded]] = {m: [] for m in model.modalities}
    kept: list[Batch] = []
    with evaluating(model):
        for batch in batches:
            if not kept:
                # A method may predict from inputs of zeros; zero is the number of this row.
                zeros = {m: zeros_like(values[:1]) for m, values in batch.inputs.items()}
                tables = {m: [encoded] for m, encoded in model.encode(zeros).items()}
            kept.append(batch)
            for m, encoded in model.encode(batch.inputs, present=batch.present).items():
                tables[m].append(encoded)
    if not kept:
        raise ArgumentError("batches must hold rows to analyze, found none.")
    device = kept[0].target.device
    target = torch.cat([batch.target for batch in kept]).cpu()
    lookups = {m: _Features(tables[m], means[m], keep_tokens=model.fusion.attends) for m in tables}
    answer = predict or (lambda batch: model(batch.inputs, present=batch.present))

    def ask(batch: Batch) -> Tensor:
        with evaluating(model), _encoders(model, lookups):
            return answer(batch.to(device)).logits

    rows = torch.arange(1, len(target) + 1)
    return Pool(
        ask,
        dict.fromkeys(tables, rows),
        dict.fromkeys(tables, torch.full_like(rows, len(rows) + 1)),
        {m: torch.cat([batch.has(m) for batch in kept]).cpu() for m in tables},
        target,
        group_numbers(group, len(target)),
    )


class _Features(nn.Module):
    """An encoder that looks up the features of rows by their numbers.

    Args:
        parts: Features of an input of zeros, number 0, and of all N rows, numbers 1 to N.
        mean: Features ``(D,)`` of number N + 1, used for an absent modality.
        keep_tokens: Whether the fusion attends to tokens.
    """

    def __init__(self, parts: list[Encoded], mean: Tensor, *, keep_tokens: bool) -> None:
        super().__init__()
        pooled = torch.cat([part.pooled for part in parts])
        self.pooled = torch.cat([pooled, mean.to(pooled)[None]])
        self.tokens = self.mask = None
        if keep_tokens and parts[0].tokens is not None:
            longest = max(part.tokens.shape[1] for part in parts if part.tokens is not None)
            equal = [_tokens(part, longest) for part in parts]
            tokens, mask = (torch.cat(some) for some in zip(*equal, strict=True))
            self.tokens = torch.cat([tokens, torch.zeros_like(tokens[:1])])
            self.mask = torch.cat([mask, torch.zeros_like(mask[:1])])

    def forward(self, rows: Tensor) -> Encoded:
        if self.tokens is None or self.mask is None:
            return Encoded(self.pooled[rows])
        return Encoded(self.pooled[rows], self.tokens[rows], self.mask[rows])


def _tokens(encoded: Encoded, longest: int) -> tuple[Tensor, Tensor]:
    """Return tokens and mask, padded to a number of tokens."""
    tokens, mask = encoded.tokens, encoded.mask
    assert tokens is not None
    if mask is None:
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    return padded(tokens, longest), padded(mask, longest)


def padded(values: Tensor, longest: int) -> Tensor:
    """Return sequences ``(B, T, ...)`` padded with zeros to a number of steps.

    Args:
        values: The sequences.
        longest: Number of steps.

    Example:
        >>> padded(torch.ones(1, 2), 3)
        tensor([[1., 1., 0.]])
    """
    extra = values.new_zeros(len(values), longest - values.shape[1], *values.shape[2:])
    return torch.cat([values, extra], dim=1)


@contextmanager
def _encoders(model: MultimodalModel, encoders: Mapping[str, nn.Module]) -> Iterator[None]:
    """Replace the encoders of a model for a while."""
    own = dict(model.encoders.items())
    try:
        for m, encoder in encoders.items():
            model.encoders[m] = encoder
        yield
    finally:
        for m, encoder in own.items():
            model.encoders[m] = encoder
