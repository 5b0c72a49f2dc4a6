"""The words everything speaks: Batch, Sequence, Encoded, Output, TeacherOutput.

Letters in shapes: B batch, T steps, N tokens, C classes or outputs, D features of a modality, d width of a token, k modalities.
Every mapping is keyed by the modality's name and keeps the order of the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError

_OWN = nn.ModuleDict()

Rows = slice | Tensor
"""Which rows of a batch: a slice, or a tensor of row numbers or booleans."""


def is_name(modality: str) -> bool:
    """Whether a modality can be called that: torch's containers take no dots, and no names of their own parts.

    Example:
        >>> is_name("image"), is_name("left.eye"), is_name("train")
        (True, False, False)
    """
    return bool(modality) and "." not in modality and not hasattr(_OWN, modality)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A padded batch of sequences.

    Args:
        values: ``(B, T, ...)``, zero where padded.
        mask: ``(B, T)`` bool, True where real.
        symbols: how many different token ids there are, where ``values`` holds those; None for vectors.
        tokenizer: of Hugging Face, whose token ids they are; None for a vocabulary of the data's own, and for vectors.
    """

    values: Tensor
    mask: Tensor
    symbols: int | None = None
    tokenizer: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Rows) -> Self:
        return replace(self, values=self.values[rows], mask=self.mask[rows])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        return replace(
            self,
            values=self.values.to(device, non_blocking=non_blocking),
            mask=self.mask.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Self:
        return replace(self, values=self.values.pin_memory(), mask=self.mask.pin_memory())


Input = Tensor | Sequence
Inputs = Mapping[str, Input]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder yields for one modality.

    Args:
        pooled: ``(B, D)``, the features f^m that every method distils, scores and gates.
        tokens: ``(B, N, d)``, for fusions that attend; None if the encoder has none.
        mask: ``(B, N)`` bool, True where a token is real; None if all are.
    """

    pooled: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One update's worth of rows on this process.

    Args:
        inputs: per modality a ``(B, ...)`` tensor or a :class:`Sequence`, in the data's order.
        target: ``(B,)`` int64 class numbers, or ``(B, C)`` float values.
        index: ``(B,)`` int64 sample ids; None in a user's own loop that caches nothing by sample.
        present: per modality a ``(B,)`` bool, False where a row lacks it; None if every row has all.

    Example:
        >>> batch = Batch({"image": torch.zeros(4, 1, 8, 8)}, torch.zeros(4, dtype=torch.int64))
        >>> len(batch), len(batch.rows(slice(0, 3)))
        (4, 3)
    """

    inputs: Inputs
    target: Tensor
    index: Tensor | None = None
    present: Mapping[str, Tensor] | None = None

    def __post_init__(self) -> None:
        for modality, values in self.inputs.items():
            if len(values) != len(self.target):
                raise ArgumentError(
                    f"inputs of {modality!r} must have one row per target ({len(self.target)}), found {len(values)}."
                )

    def __len__(self) -> int:
        return len(self.target)

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.inputs)

    def has(self, modality: str) -> Tensor:
        """``(B,)`` bool: which rows have the modality."""
        there = None if self.present is None else self.present.get(modality)
        return (
            torch.ones(len(self), dtype=torch.bool, device=self.target.device)
            if there is None
            else there
        )

    def rows(self, rows: Rows) -> Self:
        """The same batch cut down to some rows."""
        return replace(
            self,
            inputs={m: values[rows] for m, values in self.inputs.items()},
            target=self.target[rows],
            index=None if self.index is None else self.index[rows],
            present=None
            if self.present is None
            else {m: there[rows] for m, there in self.present.items()},
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        return replace(
            self,
            inputs={
                m: values.to(device, non_blocking=non_blocking) for m, values in self.inputs.items()
            },
            target=self.target.to(device, non_blocking=non_blocking),
            index=None if self.index is None else self.index.to(device, non_blocking=non_blocking),
            present=None
            if self.present is None
            else {
                m: there.to(device, non_blocking=non_blocking) for m, there in self.present.items()
            },
        )

    def pin_memory(self) -> Self:
        return replace(
            self,
            inputs={m: values.pin_memory() for m, values in self.inputs.items()},
            target=self.target.pin_memory(),
            index=None if self.index is None else self.index.pin_memory(),
            present=None
            if self.present is None
            else {m: there.pin_memory() for m, there in self.present.items()},
        )


@dataclass(frozen=True, slots=True)
class Output:
    """What a multimodal model says about a batch.

    Args:
        features: per modality f^m ``(B, D_m)``, after the door.
        logits: ``(B, C)``, the fused logits l.
        unimodal_logits: per modality z^m ``(B, C)``; None unless asked for. With Sum and Concat fusion they add up to ``logits``,
            with Late fusion they average to it; with any other fusion they are an approximation.
    """

    features: Mapping[str, Tensor]
    logits: Tensor
    unimodal_logits: Mapping[str, Tensor] | None = None


@dataclass(frozen=True, slots=True)
class TeacherOutput:
    """What the frozen teachers say about a batch; no part of it is in a graph.

    Args:
        features: per modality f_t^m ``(B, D_m)``, of the checkpoint that distils.
        logits: per modality l_t^m ``(B, C)``, of the checkpoint that distils.
        ranking_logits: per modality ``(B, C)``, of the checkpoint that ranks; the same tensors unless another one was asked for.
    """

    features: Mapping[str, Tensor]
    logits: Mapping[str, Tensor]
    ranking_logits: Mapping[str, Tensor]

    def rows(self, rows: Rows) -> Self:
        """The same answers cut down to some rows."""
        features, logits, ranking = (
            {m: v[rows] for m, v in table.items()}
            for table in (self.features, self.logits, self.ranking_logits)
        )
        return replace(self, features=features, logits=logits, ranking_logits=ranking)
