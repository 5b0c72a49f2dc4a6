"""Steps for sound: a time window, noise, and two kinds of spectrogram."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from g2d.data.views.step import (
    GRID,
    SOUND,
    Draw,
    Form,
    PaddedFrames,
    Step,
    mask_like,
    on_values,
    plain,
    row_shape,
)
from g2d.functional.spectrogram import as_float, log_mel, log_spectrogram
from g2d.types import Input, Sequence


class Window(Step):
    """Cut a window of consecutive samples ``(B, samples)`` out of a longer recording.

    The window of a training row begins at a random place, that of other rows at a fixed one.
    Padding is part of the window only if the recording is shorter than the window.

    Args:
        samples: Length of the window in samples.
        share: Position for rows that are not used for training: 0 is the earliest possible one,
            1 the latest.
    """

    takes: ClassVar[Form] = SOUND
    name: Literal["window"] = "window"
    samples: int = Field(ge=1)
    share: float = Field(default=0.5, ge=0, le=1)

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch: it does not."""
        return False

    def wants(self, values: Input) -> str | None:
        """Return what the options require of the values, or None if they fit."""
        return f"at least {self.samples} samples" if row_shape(values)[0] < self.samples else None

    def __call__(self, values: Input, draw: Draw) -> Input:
        """Return the window of every row."""
        signal, real = plain(values), real_samples(values)
        room = (real - self.samples).clamp(min=0)
        fixed = (self.share * room.double()).long()
        start = draw.integers(room + 1, 0) if draw.train else fixed
        places = start[:, None] + torch.arange(self.samples, device=signal.device)
        window = signal.gather(1, places)
        if isinstance(values, Sequence):
            return replace(values, values=window, mask=values.mask.gather(1, places))
        return window


class Noise(Step):
    """Add white noise at a given signal-to-noise ratio.

    Training rows get new noise in every epoch, other rows always the same. The noise has the power
    P = P_signal / 10^(snr_db / 10), where P_signal is that of the row; silence stays silent.

    Args:
        snr_db: Signal-to-noise ratio in decibels.
        train_only: Whether to leave rows unchanged that are not used for training.
    """

    takes: ClassVar[Form] = GRID
    name: Literal["noise"] = "noise"
    snr_db: float
    train_only: bool = False

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch: it does not."""
        return False

    def __call__(self, values: Input, draw: Draw) -> Input:
        """Return values with noise as float32; padding gets none."""
        signal = as_float(plain(values))
        if self.train_only and not draw.train:
            return on_values(values, as_float)
        if not draw.train:  # The noise of evaluated rows does not depend on the seed of the run.
            draw = Draw(0, 0, draw.index, False, draw.stream)
        energy = signal.square().flatten(1)
        power = energy.mean(1)
        if isinstance(values, Sequence):
            real = mask_like(signal, values).expand_as(signal).flatten(1)
            power = (energy * real).sum(1) / real.sum(1).clamp(min=1)
        power = power / 10 ** (self.snr_db / 10)
        level = power.sqrt().reshape(-1, *(1,) * (signal.ndim - 1))
        noise = level * draw.normal(0, tuple(signal.shape[1:]))
        return on_values(values, lambda values: as_float(values) + noise)


class LogSpectrogram(Step):
    """Compute ln(|S|^power + floor), shape ``(B, 1, bins, frames)``, of sound ``(B, L)``.

    Args:
        n_fft: Length of the window in samples.
        hop: Distance between frames in samples.
        power: Exponent of the magnitudes: 1, or 2 for the power.
        floor: Number that is added before the logarithm.
        pad_mode: What is assumed beyond the ends: ``"constant"`` zeros, as in librosa since 0.9,
            or ``"reflect"`` for a mirrored signal, as before.
        low: First frequency bin that is kept.
        high: Last frequency bin that is kept; None keeps all.
    """

    takes: ClassVar[Form] = SOUND
    name: Literal["log_spectrogram"] = "log_spectrogram"
    n_fft: int = Field(ge=2)
    hop: int = Field(ge=1)
    power: Literal[1, 2] = 1
    floor: float = Field(default=1e-7, gt=0)
    pad_mode: Literal["constant", "reflect"] = "constant"
    low: int = Field(default=0, ge=0)
    high: int | None = None

    @model_validator(mode="after")
    def _bins_that_exist(self) -> Self:
        last = self.n_fft // 2
        if not self.low <= (last if self.high is None else self.high) <= last:
            raise ValueError(
                f"low and high must be bins in order, from 0 to {last} for n_fft {self.n_fft}, "
                f"found {self.low} and {self.high}"
            )
        return self

    def wants(self, values: Input) -> str | None:
        """Return what the options require of the values, or None if they fit."""
        mirrored = self.n_fft // 2 if self.pad_mode == "reflect" else 0  # samples beyond each end
        if row_shape(values)[0] > mirrored:
            return None
        return f"more than {mirrored} samples (half of n_fft, as pad_mode is reflect)"

    def __call__(self, values: Input, draw: Draw) -> Input:
        """Return the spectrogram with a channel axis."""
        options = self.model_dump(exclude={"name"})
        grid = log_spectrogram(as_float(plain(values)).clamp(-1, 1), **options)
        return _with_frames(values, grid[:, None], self.hop)


class LogMel(Step):
    """Compute ln(power + floor) in triangular mel bands, shape ``(B, 1, bands, frames)``.

    The bands are equally wide in mel = 2595 log10(1 + f / 700), from 0 Hz to half the rate.

    Args:
        rate: Samples per second.
        n_fft: Length of the window in samples.
        hop: Distance between frames in samples.
        bands: Number of bands.
        floor: Number that is added before the logarithm.
    """

    takes: ClassVar[Form] = SOUND
    name: Literal["log_mel"] = "log_mel"
    rate: int = Field(ge=1)
    n_fft: int = Field(ge=2)
    hop: int = Field(ge=1)
    bands: int = Field(ge=1)
    floor: float = Field(default=1e-7, gt=0)

    def __call__(self, values: Input, draw: Draw) -> Input:
        """Return the spectrogram with a channel axis."""
        grid = log_mel(as_float(plain(values)), **self.model_dump(exclude={"name"}))
        return _with_frames(values, grid[:, None], self.hop)


def real_samples(values: Input) -> Tensor:
    """Return the number of samples of every row ``(B,)`` that are not padding."""
    sound = plain(values)
    if isinstance(values, Sequence):
        return values.mask.sum(1)
    return torch.full((len(sound),), sound.shape[1], device=sound.device)


def _with_frames(values: Input, grid: Tensor, hop: int) -> Input:
    """Return a spectrogram, that of padded sound with a mask of its frames.

    A row of n samples has as many frames as it would have alone, 1 + floor(n / hop).
    """
    if not isinstance(values, Sequence):
        return grid
    real = real_samples(values)
    frames = torch.where(real > 0, 1 + real // hop, 0)
    return PaddedFrames(grid, torch.arange(grid.shape[-1], device=grid.device) < frames[:, None])
