"""Sound: a time window, noise, and the two pictures of it that models look at."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from g2d.data.views.step import GRID, SOUND, Draw, Form, Step, plain, row_shape
from g2d.types import Input


def as_float(samples: Tensor) -> Tensor:
    """int16 as float32 in [-1, 1): division by 32768; floats as they are."""
    return samples.float() / 32768 if samples.dtype == torch.int16 else samples.float()


class Window(Step):
    """Some consecutive samples ``(B, samples)`` of a longer recording: where they begin is random in training, else they are the middle ones.

    Args:
        samples: how many. share: where rows that are not trained on begin: 0 as early, 1 as late as there is room.
    """

    takes: ClassVar[Form] = SOUND
    name: Literal["window"] = "window"
    samples: int = Field(ge=1)
    share: float = Field(0.5, ge=0, le=1)

    @property
    def deterministic(self) -> bool:
        return False

    def wants(self, values: Input) -> str | None:
        return f"at least {self.samples} samples" if row_shape(values)[0] < self.samples else None

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        signal = plain(values)
        room = signal.shape[1] - self.samples
        start = (
            draw.integers(room + 1, 0)
            if draw.train
            else torch.full_like(draw.index, int(self.share * room))
        )
        return signal.gather(1, start[:, None] + torch.arange(self.samples, device=signal.device))


class Noise(Step):
    """White noise at a signal-to-noise ratio, drawn anew in every epoch for training rows, once for the others.

    The noise has the power P = P_signal / 10^(snr_db / 10), each row by its own signal; silence stays silent.

    Args:
        snr_db: in decibels. train_only: leave rows alone that are not trained on.
    """

    takes: ClassVar[Form] = GRID
    name: Literal["noise"] = "noise"
    snr_db: float
    train_only: bool = False

    @property
    def deterministic(self) -> bool:
        return False

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        signal = as_float(plain(values))
        if self.train_only and not draw.train:
            return signal
        power = signal.square().flatten(1).mean(1) / 10 ** (self.snr_db / 10)
        fixed = (
            draw if draw.train else Draw(0, 0, draw.index, False, draw.stream)
        )  # evaluation does not depend on the run's seed
        return signal + power.sqrt().reshape(-1, *(1,) * (signal.ndim - 1)) * fixed.normal(
            0, tuple(signal.shape[1:])
        )


def magnitudes(signal: Tensor, n_fft: int, hop: int, pad_mode: str) -> Tensor:
    """|STFT| ``(B, 1 + n_fft / 2, 1 + floor(L / hop))``: periodic Hann window, centered frames, as librosa's stft computes it."""
    window = torch.hann_window(n_fft, periodic=True, device=signal.device)
    return torch.stft(
        signal, n_fft, hop, window=window, center=True, pad_mode=pad_mode, return_complex=True
    ).abs()


class LogSpectrogram(Step):
    """ln(|S|^power + floor) ``(B, 1, bins, frames)`` of sound ``(B, L)``.

    Args:
        n_fft, hop: in samples. power: 1 for magnitudes, 2 for power. floor: added before the logarithm.
        pad_mode: what lies beyond the ends: ``"constant"`` zeros as librosa since 0.9, ``"reflect"`` as before.
        low, high: bins kept, both included.
    """

    takes: ClassVar[Form] = SOUND
    name: Literal["log_spectrogram"] = "log_spectrogram"
    n_fft: int = Field(ge=2)
    hop: int = Field(ge=1)
    power: Literal[1, 2] = 1
    floor: float = Field(1e-7, gt=0)
    pad_mode: Literal["constant", "reflect"] = "constant"
    low: int = Field(0, ge=0)
    high: int | None = None

    @model_validator(mode="after")
    def _bins_that_exist(self) -> Self:
        last = self.n_fft // 2
        if not self.low <= (last if self.high is None else self.high) <= last:
            raise ValueError(
                f"low and high must be bins in order, of 0 to {last} for n_fft {self.n_fft}, found {self.low} and {self.high}"
            )
        return self

    def wants(self, values: Input) -> str | None:
        mirrored = self.n_fft // 2 if self.pad_mode == "reflect" else 0  # samples beyond each end
        return (
            f"more than {mirrored} samples (half of n_fft, as pad_mode is reflect)"
            if row_shape(values)[0] <= mirrored
            else None
        )

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        grid = magnitudes(as_float(plain(values)).clamp(-1, 1), self.n_fft, self.hop, self.pad_mode)
        grid = grid[:, self.low : None if self.high is None else self.high + 1]
        return (grid**self.power + self.floor).log()[:, None]


class LogMel(Step):
    """ln(power + floor) in triangular bands, equally wide in mel (2595 log10(1 + f / 700)), ``(B, 1, bands, frames)``.

    Args:
        rate: samples per second. n_fft, hop: in samples. bands: from 0 Hz to half the rate.
        floor: added before the logarithm.
    """

    takes: ClassVar[Form] = SOUND
    name: Literal["log_mel"] = "log_mel"
    rate: int = Field(ge=1)
    n_fft: int = Field(ge=2)
    hop: int = Field(ge=1)
    bands: int = Field(ge=1)
    floor: float = Field(1e-7, gt=0)

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        power = magnitudes(as_float(plain(values)), self.n_fft, self.hop, "constant").square()
        return (
            mel_filters(self.rate, self.n_fft, self.bands).to(power.device) @ power + self.floor
        ).log()[:, None]


def mel_filters(rate: int, n_fft: int, bands: int) -> Tensor:
    """``(bands, n_fft / 2 + 1)`` triangles with peak 1."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    frequency = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    return (
        torch.minimum((frequency - low) / (peak - low), (high - frequency) / (high - peak))
        .clamp(min=0)
        .float()
    )
