"""The view of a modality: a chain of steps from stored values to a model's input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from pydantic import ValidationError
from torch import Tensor

from g2d.data.views.numbers import PCA, Clip, Scale, Standardize
from g2d.data.views.pictures import Crop, Flip, Frames, Pixels, Resize
from g2d.data.views.sequences import Pool
from g2d.data.views.sound import LogMel, LogSpectrogram, Noise, Window
from g2d.data.views.step import Draw, PaddedFrames, Step, described, plain
from g2d.data.views.words import OneHot, Tokens
from g2d.errors import ArgumentError, G2DError
from g2d.types import Input

STEPS: dict[str, type[Step]] = {
    "window": Window,
    "noise": Noise,
    "log_spectrogram": LogSpectrogram,
    "log_mel": LogMel,
    "pixels": Pixels,
    "frames": Frames,
    "crop": Crop,
    "resize": Resize,
    "flip": Flip,
    "scale": Scale,
    "clip": Clip,
    "standardize": Standardize,
    "pca": PCA,
    "pool": Pool,
    "tokens": Tokens,
    "one_hot": OneHot,
}
"""Steps that a recipe can name."""
_DRAWS = 16
"""Number of draws that a step may use."""


class View(Protocol):
    """The contract of a view. :class:`Chain` is the one that the library uses."""

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch."""

    def __call__(self, values: Any, *, seed: int, epoch: int, index: Tensor, train: bool) -> Input:
        """Return the model's input for stored values of some rows."""

    def config(self) -> dict[str, Any]:
        """Return plain values that determine the view; they are part of the protocol hash."""


@dataclass(frozen=True)
class Chain:
    """A view made of steps that are applied one after the other.

    Args:
        modality: Name of the modality. Two modalities with the same steps draw independently.
        steps: The steps, in order. They must be fitted before the chain is called.
        identity: Plain values that identify the view in hashes in place of its steps. The built-in
            problems set it to what older versions hashed, so that old runs still open.

    Example:
        >>> view = read_chain("table", [{"name": "scale", "mean": 1.0, "std": 2.0}])
        >>> rows = torch.tensor([[3.0, 5.0]])
        >>> view(rows, seed=0, epoch=1, index=torch.arange(1), train=False)
        tensor([[1., 2.]])
    """

    modality: str
    steps: tuple[Step, ...]
    identity: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch."""
        return all(step.deterministic for step in self.steps)

    def __call__(
        self, values: Input, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Input:
        """Return the model's input.

        Args:
            values: Stored values of some rows.
            seed: Seed of the run.
            epoch: Epoch, counted from 1.
            index: Sample ids, shape ``(B,)``.
            train: Whether the rows are used for training.

        Raises:
            ArgumentError: A step cannot process the values that reach it.
        """
        seen = self._after_steps(values, seed=seed, epoch=epoch, index=index, train=train)
        return plain(seen) if isinstance(seen, PaddedFrames) else seen

    def _after_steps(
        self, values: Input, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Input:
        """Return the values after the last step, spectrograms of padded sound with their mask."""
        # Values are stored in half or double precision and computed with in single precision.
        if isinstance(values, Tensor) and values.dtype in (torch.float16, torch.float64):
            values = values.float()
        for place, step in enumerate(self.steps):
            step.check(values, self.modality)
            values = step(values, Draw(seed, epoch, index, train, stream(self.modality, place)))
        return values

    def config(self) -> dict[str, Any]:
        """Return the options of all steps and everything that was fitted, or the identity."""
        if self.identity is not None:
            return dict(self.identity)
        return {"view": "chain", "steps": [step.model_dump(mode="json") for step in self.steps]}

    def fitted(self, rows: Callable[[], Iterable[Input]]) -> Chain:
        """Return the chain with every step fitted, in order, on the training rows.

        Args:
            rows: Function that returns the training rows as blocks of stored values. It is called
                once per step that needs fitting.
        """
        done = Chain(self.modality, (), self.identity)
        for step in self.steps:
            if not step.fitted:
                step = step.fit(done._blocks_for(step, rows()))
            done = Chain(self.modality, (*done.steps, step), self.identity)
        return done

    def check(self, example: Input) -> None:
        """Refuse steps that do not fit the stored values, before the training rows are read.

        Args:
            example: Stored values of a few rows. Unfitted steps are fitted on them for the check.

        Raises:
            ArgumentError: The message names the modality, the step where it is known, and the
                values.
        """
        try:
            tried = self.fitted(lambda: [example])
            for train in (True, False):
                tried(example, seed=0, epoch=1, index=torch.arange(len(example)), train=train)
        except G2DError:
            raise
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ArgumentError(
                f"the view of {self.modality!r} must fit the stored values, found "
                f"{described(example)}, for which it fails: {error}"
            ) from error

    def _blocks_for(self, step: Step, blocks: Iterable[Input]) -> Iterator[Input]:
        """Yield blocks of stored values after the steps of this chain, checked for ``step``."""
        for block in blocks:
            index = torch.arange(len(block))
            values = self._after_steps(block, seed=0, epoch=0, index=index, train=False)
            step.check(values, self.modality)
            yield values


def shift_windows(view: View, share: float) -> View:
    """Return the view with its time windows at another position.

    Args:
        view: A view. One without time windows is returned unchanged.
        share: Position of the window: 0 is the earliest possible one, 1 the latest.
    """
    if not isinstance(view, Chain):
        return view
    steps = (
        step.model_copy(update={"share": share}) if isinstance(step, Window) else step
        for step in view.steps
    )
    return Chain(view.modality, tuple(steps), view.identity)


def stream(modality: str, place: int) -> int:
    """Return the number of the first draw of a step, far from those of every other step.

    Args:
        modality: Name of the modality.
        place: Position of the step in its chain, from 0.
    """
    key = int.from_bytes(hashlib.sha256(f"{modality}/{place}".encode()).digest()[:6], "big")
    return key * _DRAWS


def read_chain(modality: str, steps: Iterable[Mapping[str, Any]]) -> Chain:
    """Return the chain that a recipe or a store describes.

    Args:
        modality: Name of the modality.
        steps: Per step its name and its options.

    Raises:
        ArgumentError: There is no such step, or it has no such option.
    """
    return Chain(modality, tuple(_read_step(modality, step) for step in steps))


def _read_step(modality: str, options: Mapping[str, Any]) -> Step:
    name = options.get("name") if isinstance(options, Mapping) else options
    if not isinstance(name, str) or name not in STEPS:
        raise ArgumentError(
            f"a step of the view of {modality!r} must have a name among {', '.join(STEPS)}, "
            f"found {name!r}."
        )
    try:
        return STEPS[name].model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"]))
        raise ArgumentError(
            f"the step {name!r} of the view of {modality!r} must be valid: "
            f"{option + ': ' if option else ''}{first['msg'].removeprefix('Value error, ')}."
        ) from error
