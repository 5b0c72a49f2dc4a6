"""What a step is: one stage on the way from stored values to a model's input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from g2d.data.counter import integers, normal, uniform
from g2d.errors import ArgumentError
from g2d.types import Input, Sequence


@dataclass(frozen=True)
class Draw:
    """A step's random numbers: functions of (seed, epoch, sample, step), whatever the batch they stand in.

    Args:
        seed: of the run. epoch: counted from 1. index: sample ids ``(B,)``. train: whether the rows are trained on.
        stream: a number of the modality and the step, so that two steps draw independently.
    """

    seed: int
    epoch: int
    index: Tensor
    train: bool
    stream: int = 0

    def uniform(self, draw: int, size: tuple[int, ...] = ()) -> Tensor:
        """Numbers in (0, 1), ``(B, *size)``."""
        return uniform(self.seed, self.epoch, self.index, self.stream + draw, size)

    def normal(self, draw: int, size: tuple[int, ...] = ()) -> Tensor:
        """Standard normal numbers, ``(B, *size)``."""
        return normal(self.seed, self.epoch, self.index, self.stream + draw, size)

    def integers(self, high: int, draw: int, size: tuple[int, ...] = ()) -> Tensor:
        """Whole numbers below ``high``, ``(B, *size)``."""
        return integers(high, self.seed, self.epoch, self.index, self.stream + draw, size)


@dataclass(frozen=True)
class Form:
    """What a step takes, in words and as a rule."""

    words: str
    fits: Callable[[Input], bool]


TEXT = Form(
    "text as bytes (rows, characters)",
    lambda values: isinstance(values, Tensor) and values.ndim == 2 and values.dtype == torch.uint8,
)
NUMBERS = Form(
    "numbers, not text or token ids",
    lambda values: not TEXT.fits(values) if isinstance(values, Tensor) else values.symbols is None,
)
GRID = Form(
    "one grid or table per row, not a padded sequence", lambda values: isinstance(values, Tensor)
)
SOUND = Form(
    "sound (rows, samples)",
    lambda values: isinstance(values, Tensor) and values.ndim == 2 and values.dtype != torch.uint8,
)
PIXELS = Form(
    "pixels as bytes (rows, [frames,] height, width[, channels])",
    lambda values: (
        isinstance(values, Tensor) and 3 <= values.ndim <= 5 and values.dtype == torch.uint8
    ),
)
PICTURES = Form(
    "pictures with channels first, as the step 'pixels' yields them (rows, channels, [frames,] height, width)",
    lambda values: (
        isinstance(values, Tensor) and values.ndim in (4, 5) and values.is_floating_point()
    ),
)
VIDEO = Form(
    "video with channels first, as the step 'pixels' yields it (rows, channels, frames, height, width)",
    lambda values: isinstance(values, Tensor) and values.ndim == 5 and values.is_floating_point(),
)


class Step(BaseModel):
    """A batched function on the batch's device, with its options; a recipe writes it as a mapping with its ``name``.

    What it can be given is said once, by ``takes`` and :meth:`wants`, and asked by the chain it stands in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    takes: ClassVar[Form]
    name: str

    @property
    def deterministic(self) -> bool:
        """A training row looks the same in every epoch."""
        return True

    @property
    def fitted(self) -> bool:
        """Whether it needs nothing (more) from the training rows."""
        return True

    def fit(self, training: Iterable[Input]) -> Self:
        """The step with what the training rows teach it; they come in blocks, already through the steps before."""
        return self

    def wants(self, values: Input) -> str | None:
        """What values of the right form would have to be besides, for these options; None where they are it."""
        return None

    def check(self, values: Input, modality: str) -> None:
        """Refuse values that the step has no meaning for.

        Raises:
            ArgumentError: it names the modality, the step, and what was found.
        """
        wanted = self.wants(values) if self.takes.fits(values) else self.takes.words
        if wanted is not None:
            raise ArgumentError(
                f"the step {self.name!r} of the view of {modality!r} must be given {wanted}, found {described(values)}."
            )

    @abstractmethod
    def __call__(self, values: Input, draw: Draw) -> Input: ...


def described(values: Input) -> str:
    """What values are, for a message.

    Example:
        >>> described(torch.zeros(2, 8, 8, dtype=torch.uint8))
        '(2, 8, 8) uint8'
    """
    if isinstance(values, Tensor):
        return f"{tuple(values.shape)} {str(values.dtype).removeprefix('torch.')}"
    return f"{'a padded sequence' if values.symbols is None else 'token ids'} {tuple(values.values.shape)}"


def on_values(values: Input, change: Callable[[Tensor], Tensor]) -> Input:
    """Apply a function to a tensor, or to the values of a sequence, whose padding stays zero."""
    if isinstance(values, Sequence):
        changed = change(values.values)
        return replace(
            values,
            values=changed * values.mask.reshape(*values.mask.shape, *(1,) * (changed.ndim - 2)),
        )
    return change(values)


def real_values(values: Input) -> Tensor:
    """``(rows, ...)``: what a fit looks at; of sequences the steps that are not padding."""
    return values.values[values.mask] if isinstance(values, Sequence) else values


def plain(values: Input) -> Tensor:
    """The tensor that a step takes which has no meaning for sequences."""
    assert isinstance(values, Tensor)
    return values


def row_shape(values: Input) -> tuple[int, ...]:
    """Shape of a row, its steps included."""
    return tuple((values if isinstance(values, Tensor) else values.values).shape[1:])


def column(numbers: tuple[float, ...], like: Tensor) -> Tensor:
    """Fitted numbers as a float tensor on the device of the values."""
    return torch.tensor(numbers, dtype=torch.float32, device=like.device)
