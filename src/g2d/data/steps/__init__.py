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

from g2d.data.steps.numbers import PCA, Clip, Scale, Standardize
from g2d.data.steps.pictures import Crop, Flip, Frames, Pixels, Resize
from g2d.data.steps.sound import LogMel, LogSpectrogram, Noise, Window
from g2d.data.steps.step import Draw, Step
from g2d.data.steps.words import Tokens
from g2d.data.views import View
from g2d.errors import ArgumentError
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

    def __call__(self, values: Input, *, seed: int, epoch: int, index: Tensor, train: bool) -> Input:
        # Half precision and bytes are how values are stored, not how they are computed with.
        values = values.float() if isinstance(values, Tensor) and values.dtype in (torch.float16, torch.float64) else values
        for place, step in enumerate(self.steps):
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
        done: list[Step] = []
        for step in self.steps:
            done.append(step if step.fitted else step.fit(_through(done, rows())))
        return Chain(self.modality, tuple(done))


def looking(view: View, share: float) -> View:
    """The view with its time windows, if it has any, at another place: 0 as early, 1 as late as there is room."""
    if not isinstance(view, Chain):
        return view
    return Chain(view.modality, tuple(step.model_copy(update={"share": share}) if isinstance(step, Window) else step for step in view.steps))


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
    if name not in STEPS:
        raise ArgumentError(f"a step of the view of {modality!r} must have a name among {', '.join(STEPS)}, found {name!r}.")
    try:
        return STEPS[name].model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArgumentError(f"the step {name!r} of the view of {modality!r} must be valid, found {where + ': ' if where else ''}{first['msg']}.") from error


def _through(steps: list[Step], blocks: Iterable[Input]) -> Iterator[Input]:
    chain = Chain("", tuple(steps))
    for block in blocks:
        yield chain(block, seed=0, epoch=0, index=torch.arange(len(block)), train=False)


__all__ = ["STEPS", "Chain", "Draw", "Step", "looking", "read_chain", "stream"]
