"""The contract of a step: one stage on the way from stored values to a model's input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Self, TypeGuard

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from g2d.data.counter import integers, normal, uniform
from g2d.errors import ArgumentError
from g2d.types import Input, Sequence


@dataclass(frozen=True)
class Draw:
    """Random numbers for the rows of a batch.

    They are functions of seed, epoch, sample and step alone. A row gets the same numbers in every
    batch that contains it.

    Args:
        seed: Seed of the run.
        epoch: Epoch, counted from 1.
        index: Sample ids, shape ``(B,)``.
        train: Whether the rows are used for training.
        stream: Number of the first draw. Each modality and each step has its own, so that two
            steps draw independently.
    """

    seed: int
    epoch: int
    index: Tensor
    train: bool
    stream: int = 0

    def uniform(self, draw: int, size: tuple[int, ...] = ()) -> Tensor:
        """Return numbers in (0, 1), shape ``(B, *size)``."""
        return uniform(self.seed, self.epoch, self.index, self.stream + draw, size)

    def normal(self, draw: int, size: tuple[int, ...] = ()) -> Tensor:
        """Return standard normal numbers, shape ``(B, *size)``."""
        return normal(self.seed, self.epoch, self.index, self.stream + draw, size)

    def integers(self, high: int | Tensor, draw: int, size: tuple[int, ...] = ()) -> Tensor:
        """Return whole numbers from 0 to ``high - 1``, shape ``(B, *size)``."""
        return integers(high, self.seed, self.epoch, self.index, self.stream + draw, size)


@dataclass(frozen=True, slots=True)
class PaddedFrames(Sequence):
    """Spectrograms of padded sound, between two steps of a view.

    The model gets their values without the mask.

    Args:
        values: Spectrograms ``(B, channels, bands, T)``.
        mask: Frames that hold real sound ``(B, T)``, bool.
    """


@dataclass(frozen=True)
class Form:
    """A kind of values that a step accepts.

    Args:
        words: Description of the kind, for messages.
        fits: Function that returns whether values are of this kind.
    """

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
    "one grid or table per row, not a padded sequence",
    lambda values: isinstance(values, Tensor | PaddedFrames) or is_sound(values),
)
SOUND = Form(
    "sound (rows, samples)",
    lambda values: (
        is_sound(values)
        or (isinstance(values, Tensor) and values.ndim == 2 and values.dtype != torch.uint8)
    ),
)
PIXELS = Form(
    "pixels as bytes (rows, [frames,] height, width[, channels])",
    lambda values: (
        isinstance(values, Tensor) and 3 <= values.ndim <= 5 and values.dtype == torch.uint8
    ),
)
PICTURES = Form(
    "pictures with channels first, as the step 'pixels' yields them "
    "(rows, channels, [frames,] height, width)",
    lambda values: (
        isinstance(values, Tensor) and values.ndim in (4, 5) and values.is_floating_point()
    ),
)
VIDEO = Form(
    "video with channels first, as the step 'pixels' yields it "
    "(rows, channels, frames, height, width)",
    lambda values: isinstance(values, Tensor) and values.ndim == 5 and values.is_floating_point(),
)
SYMBOLS = Form(
    "symbol numbers (rows, length)",
    lambda values: (
        isinstance(values, Tensor) and values.ndim == 2 and not values.is_floating_point()
    ),
)


class Step(BaseModel):
    """A batched function with options, computed on the device of the batch.

    A recipe writes a step as a mapping: its ``name`` and its options. The class attribute
    :attr:`takes` and the method :meth:`wants` define which values a step accepts; the
    :class:`~g2d.data.views.Chain` that contains the step checks them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    takes: ClassVar[Form]
    name: str

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch."""
        return True

    @property
    def fitted(self) -> bool:
        """Whether the step needs nothing (more) from the training rows."""
        return True

    def fit(self, training: Iterable[Input]) -> Self:
        """Return the step fitted on the training rows.

        Args:
            training: Blocks of training rows that have passed the steps before this one.
        """
        return self

    def predicting(self) -> Step | None:
        """Return the step that new rows need in place of this one; None if they need none.

        A step that contains training rows returns another one, which does not.
        """
        return self

    def wants(self, values: Input) -> str | None:
        """Return what the options require of values of the right form, or None if they fit."""
        return None

    def check(self, values: Input, modality: str) -> None:
        """Refuse values that the step cannot process.

        Args:
            values: Values that are about to be given to the step.
            modality: Name of the modality, for the message.

        Raises:
            ArgumentError: The values do not fit. The message names the modality and the step.
        """
        requirement = self.wants(values) if self.takes.fits(values) else self.takes.words
        if requirement is not None:
            raise ArgumentError(
                f"the step {self.name!r} of the view of {modality!r} must be given "
                f"{requirement}, found {described(values)}."
            )

    @abstractmethod
    def __call__(self, values: Input, draw: Draw) -> Input:
        """Return the values after this step."""


def described(values: Input) -> str:
    """Return shape and type of values, for a message.

    Example:
        >>> described(torch.zeros(2, 8, 8, dtype=torch.uint8))
        '(2, 8, 8) uint8'
    """
    if isinstance(values, Tensor):
        return f"{tuple(values.shape)} {str(values.dtype).removeprefix('torch.')}"
    kind = "a padded sequence" if values.symbols is None else "token ids"
    return f"{kind} {tuple(values.values.shape)}"


def is_sound(values: Input) -> TypeGuard[Sequence]:
    """Return whether values are padded sound ``(B, samples)``."""
    return isinstance(values, Sequence) and values.symbols is None and values.values.ndim == 2


def on_values(values: Input, change: Callable[[Tensor], Tensor]) -> Input:
    """Apply a function to a tensor, or to the values of a sequence, whose padding stays zero."""
    if isinstance(values, Sequence):
        changed = change(values.values)
        return replace(values, values=changed * mask_like(changed, values))
    return change(values)


def mask_like(changed: Tensor, values: Sequence) -> Tensor:
    """Return the mask of a sequence with as many axes as its changed values."""
    if isinstance(values, PaddedFrames):
        return values.mask[:, None, None]
    return values.mask.reshape(*values.mask.shape, *(1,) * (changed.ndim - 2))


def real_values(values: Input) -> Tensor:
    """Return the values that a step is fitted on: those of a sequence without its padding.

    The steps of sequences, the samples of sound and the frames of spectrograms are the rows.
    """
    if isinstance(values, PaddedFrames):
        return values.values.movedim(-1, 1)[values.mask]
    if is_sound(values):
        return values.values[values.mask][:, None]
    return values.values[values.mask] if isinstance(values, Sequence) else values


def plain(values: Input) -> Tensor:
    """Return values as a tensor, for steps that do not need the mask."""
    return values.values if isinstance(values, Sequence) else values


def row_shape(values: Input) -> tuple[int, ...]:
    """Return the shape of one row; for a sequence its steps are the first axis."""
    return tuple((values if isinstance(values, Tensor) else values.values).shape[1:])


def column(numbers: tuple[float, ...], like: Tensor) -> Tensor:
    """Return fitted numbers as a float32 tensor on the device of ``like``."""
    return torch.tensor(numbers, dtype=torch.float32, device=like.device)
