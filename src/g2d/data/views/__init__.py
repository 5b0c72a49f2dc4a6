"""Steps by name, and the view that is a chain of them.

A recipe can say ``data: {views: {audio: [{name: window, samples: 8000}, {name: log_spectrogram, n_fft: 256, hop: 128}]}}``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from g2d.data.views.numbers import PCA, Clip, Scale, Standardize
from g2d.data.views.pictures import Crop, Flip, Frames, Pixels, Resize
from g2d.data.views.plain import View
from g2d.data.views.sound import LogMel, LogSpectrogram, Noise, Window
from g2d.data.views.step import Draw, Step, described
from g2d.data.views.words import Tokens
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
    "tokens": Tokens,
}
_DRAWS = 16
"""Numbers of draws that a step may use."""


@dataclass(frozen=True)
class Chain:
    """A view made of steps, one after the other.

    Args:
        modality: whose it is; two modalities with the same steps draw independently.
        steps: fitted ones, before it is called.
    """

    modality: str
    steps: tuple[Step, ...]

    @property
    def deterministic(self) -> bool:
        return all(step.deterministic for step in self.steps)

    def __call__(
        self, values: Input, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Input:
        # Half precision and bytes are how values are stored, not how they are computed with.
        values = (
            values.float()
            if isinstance(values, Tensor) and values.dtype in (torch.float16, torch.float64)
            else values
        )
        for place, step in enumerate(self.steps):
            step.check(values, self.modality)
            values = step(values, Draw(seed, epoch, index, train, stream(self.modality, place)))
        return values

    def config(self) -> dict[str, Any]:
        """Options and everything that was learnt."""
        return {"view": "chain", "steps": [step.model_dump(mode="json") for step in self.steps]}

    def fitted(self, rows: Callable[[], Iterable[Input]]) -> Chain:
        """The chain with every step fitted, in order, on the training rows as the steps before it yield them.

        Args:
            rows: begins anew to yield blocks of stored values at every call.
        """
        done = Chain(self.modality, ())
        for step in self.steps:
            done = Chain(
                self.modality,
                (*done.steps, step if step.fitted else step.fit(done._training(step, rows()))),
            )
        return done

    def check(self, example: Input) -> None:
        """Refuse steps that do not fit the stored values, before anything is learnt from all of them.

        Args:
            example: stored values of a few rows; what a step has yet to learn, it learns from these for the occasion.

        Raises:
            ArgumentError: it names the modality, the step if that can be told, and what was found.
        """
        try:
            tried = self.fitted(lambda: [example])
            for train in (True, False):
                tried(example, seed=0, epoch=1, index=torch.arange(len(example)), train=train)
        except G2DError:
            raise
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ArgumentError(
                f"the view of {self.modality!r} must fit the stored values, found {described(example)}, for which it fails: {error}"
            ) from error

    def _training(self, step: Step, blocks: Iterable[Input]) -> Iterator[Input]:
        """Blocks of stored values as the step after these will be given them."""
        for block in blocks:
            values = self(block, seed=0, epoch=0, index=torch.arange(len(block)), train=False)
            step.check(values, self.modality)
            yield values


def looking(view: View, share: float) -> View:
    """The view with its time windows, if it has any, at another place: 0 as early, 1 as late as there is room."""
    if not isinstance(view, Chain):
        return view
    return Chain(
        view.modality,
        tuple(
            step.model_copy(update={"share": share}) if isinstance(step, Window) else step
            for step in view.steps
        ),
    )


def stream(modality: str, place: int) -> int:
    """The first number of a step's draws: far from those of every other step and modality."""
    key = int.from_bytes(hashlib.sha256(f"{modality}/{place}".encode()).digest()[:6], "big")
    return key * _DRAWS


def read_chain(modality: str, steps: Iterable[Mapping[str, Any]]) -> Chain:
    """A chain from what a recipe or a store says.

    Raises:
        ArgumentError: no such step, or an option that it does not have.
    """
    return Chain(modality, tuple(_read(modality, step) for step in steps))


def _read(modality: str, given: Mapping[str, Any]) -> Step:
    name = given.get("name")
    if not isinstance(name, str) or name not in STEPS:
        raise ArgumentError(
            f"a step of the view of {modality!r} must have a name among {', '.join(STEPS)}, found {name!r}."
        )
    try:
        return STEPS[name].model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArgumentError(
            f"the step {name!r} of the view of {modality!r} must be valid: {where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}."
        ) from error


__all__ = ["STEPS", "Chain", "Draw", "Step", "looking", "read_chain", "stream"]
