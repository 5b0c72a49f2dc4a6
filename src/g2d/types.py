"""Types that all parts exchange: Batch, Sequence, Encoded, Output, TeacherOutput.

Letters in shapes: B batch, T steps, N tokens, C classes or outputs, D features of a modality,
d width of a token, k modalities. Every mapping has the names of the modalities as keys, in the
order of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.files import is_plain_name

_MODULE_DICT = nn.ModuleDict()

Rows = slice | Tensor
"""Rows of a batch: a slice, or a tensor of row numbers or booleans."""


def is_name(modality: str) -> bool:
    """Return whether a text can be the name of a modality.

    The rule is that of all names, :data:`~g2d.files.NAME_RULE`. Names also become keys of torch's
    containers, so they must have no dots and must differ from the attributes of ``nn.ModuleDict``.

    Example:
        >>> is_name("image"), is_name("left.eye"), is_name("train")
        (True, False, False)
    """
    return is_plain_name(modality) and "." not in modality and not hasattr(_MODULE_DICT, modality)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A padded batch of sequences.

    Args:
        values: Vectors ``(B, T, ...)`` or token ids ``(B, T)``, zero where padded.
        mask: Real steps ``(B, T)``, bool; False where padded.
        symbols: Number of different token ids; None for vectors.
        tokenizer: Name of the Hugging Face tokenizer that made the token ids; None for a
            vocabulary learned from the data, and for vectors.

    Example:
        >>> words = Sequence(torch.tensor([[3, 1, 0]]), torch.tensor([[True, True, False]]), 5)
        >>> len(words), words[0:1].values.shape
        (1, torch.Size([1, 3]))
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
        """Return the sequences on another device."""
        values, mask = (
            part.to(device, non_blocking=non_blocking) for part in (self.values, self.mask)
        )
        return replace(self, values=values, mask=mask)

    def pin_memory(self) -> Self:
        """Return the sequences in pinned memory, from which copies to a GPU are asynchronous."""
        return replace(self, values=self.values.pin_memory(), mask=self.mask.pin_memory())


Input = Tensor | Sequence
Inputs = Mapping[str, Input]
Present = Mapping[str, Tensor] | None
"""Rows that have the modality ``(B,)``, bool, per modality; None if every row has all."""
Terms = dict[str, Tensor]
"""Terms of a loss by name."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Output of an encoder for one modality.

    Args:
        pooled: Features f^m ``(B, D)``, which methods distil, score and gate.
        tokens: Tokens ``(B, N, d)`` for fusions that attend; None if the encoder has none.
        mask: Real tokens ``(B, N)``, bool; None if all are real.
    """

    pooled: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one update on this process.

    Args:
        inputs: Inputs per modality, a tensor ``(B, ...)`` or a :class:`Sequence`, in the order of
            the data.
        target: Class numbers ``(B,)``, int64; values ``(B, C)``, float; or several labels
            ``(B, C)``, 1 or 0, float or bool.
        index: Sample ids ``(B,)``, int64; None in a loop that caches nothing by sample.
        present: Rows that have the modality ``(B,)``, bool, per modality; None if every row has
            all modalities.

    Raises:
        ArgumentError: The inputs are no mapping, or one has more or fewer rows than the target.

    Example:
        >>> batch = Batch({"image": torch.zeros(4, 1, 8, 8)}, torch.zeros(4, dtype=torch.int64))
        >>> len(batch), len(batch.rows(slice(0, 3)))
        (4, 3)
    """

    inputs: Inputs
    target: Tensor
    index: Tensor | None = None
    present: Present = None

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Mapping):
            raise ArgumentError(
                "inputs must be a mapping from modality to tensor, such as {'image': x}, "
                f"found {type(self.inputs).__name__}."
            )
        for modality, values in self.inputs.items():
            if len(values) != len(self.target):
                raise ArgumentError(
                    f"inputs of {modality!r} must have one row per target ({len(self.target)}), "
                    f"found {len(values)}."
                )

    def __len__(self) -> int:
        return len(self.target)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the data."""
        return tuple(self.inputs)

    def has(self, modality: str) -> Tensor:
        """Return which rows have the modality ``(B,)``, bool."""
        rows = None if self.present is None else self.present.get(modality)
        if rows is None:
            return torch.ones(len(self), dtype=torch.bool, device=self.target.device)
        return rows

    def rows(self, rows: Rows) -> Self:
        """Return some of the rows as a batch."""
        return self._map(lambda values: values[rows])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Return the batch on another device."""
        return self._map(lambda values: values.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Return the batch in pinned memory, from which copies to a GPU are asynchronous."""
        return self._map(lambda values: values.pin_memory())

    def _map(self, change: Callable[[Any], Any]) -> Self:
        """Apply a function to every tensor and sequence."""
        return replace(
            self,
            inputs={m: change(values) for m, values in self.inputs.items()},
            target=change(self.target),
            index=None if self.index is None else change(self.index),
            present=self.present and {m: change(rows) for m, rows in self.present.items()},
        )


@dataclass(frozen=True, slots=True)
class Output:
    """Output of a multimodal model for a batch.

    Args:
        features: Features f^m ``(B, D_m)`` per modality, after the door.
        logits: Fused logits l ``(B, C)``.
        unimodal_logits: Unimodal logits z^m ``(B, C)`` per modality; None unless requested. With
            Sum and Concat fusion they add up to ``logits``, with Late fusion they average to it;
            with any other fusion they are an approximation.
    """

    features: Mapping[str, Tensor]
    logits: Tensor
    unimodal_logits: Mapping[str, Tensor] | None = None


@dataclass(frozen=True, slots=True)
class TeacherOutput:
    """Output of the frozen teachers for a batch; no part of it is in a graph.

    Args:
        features: Features f_t^m ``(B, D_m)`` per modality, of the checkpoint that distils.
        logits: Logits l_t^m ``(B, C)`` per modality, of the checkpoint that distils.
        ranking_logits: Logits ``(B, C)`` per modality, of the checkpoint that ranks; the same
            tensors as ``logits`` unless another checkpoint ranks.
    """

    features: Mapping[str, Tensor]
    logits: Mapping[str, Tensor]
    ranking_logits: Mapping[str, Tensor]

    def rows(self, rows: Rows) -> Self:
        """Return the output for some of the rows."""
        features, logits, ranking = (
            {m: v[rows] for m, v in table.items()}
            for table in (self.features, self.logits, self.ranking_logits)
        )
        return replace(self, features=features, logits=logits, ranking_logits=ranking)
