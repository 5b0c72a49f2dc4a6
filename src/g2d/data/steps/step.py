"""What a step is: one stage on the way from stored values to a model's input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from g2d.data.counter import integers, normal, uniform
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


class Step(BaseModel):
    """A batched function on the batch's device, with its options; a recipe writes it as a mapping with its ``name``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    @abstractmethod
    def __call__(self, values: Input, draw: Draw) -> Input: ...


def on_values(values: Input, change: Callable[[Tensor], Tensor]) -> Input:
    """Apply a function to a tensor, or to the values of a sequence, whose padding stays zero."""
    if isinstance(values, Sequence):
        changed = change(values.values)
        return Sequence(changed * values.mask.reshape(*values.mask.shape, *(1,) * (changed.ndim - 2)), values.mask, values.symbols)
    return change(values)


def real_values(values: Input) -> Tensor:
    """``(rows, ...)``: what a fit looks at; of sequences the steps that are not padding."""
    return values.values[values.mask] if isinstance(values, Sequence) else values


def plain(values: Input, step: str) -> Tensor:
    """A tensor, for steps that have no meaning for sequences."""
    if not isinstance(values, Tensor):
        raise TypeError(f"the step {step!r} takes no padded sequences")
    return values


def column(numbers: tuple[float, ...], like: Tensor) -> Tensor:
    """Fitted numbers as a float tensor on the device of the values."""
    return torch.tensor(numbers, dtype=torch.float32, device=like.device)
