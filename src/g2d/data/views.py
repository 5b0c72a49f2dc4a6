"""What a model sees of stored values: batched functions on the device, random ones seeded by (seed, epoch, sample)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from g2d.data.counter import integers, normal
from g2d.types import Input, Sequence


class View(Protocol):
    """From stored values to a model's input."""

    @property
    def deterministic(self) -> bool:
        """A training row looks the same in every epoch."""

    def __call__(self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool) -> Input: ...

    def config(self) -> dict[str, Any]:
        """What determines the view, as plain values: part of the hash by which teachers are reused."""


@dataclass(frozen=True)
class Scaled:
    """``(values - mean) / std`` as float32, with a channel axis put in front of a grid if asked for."""

    mean: float = 0.0
    std: float = 1.0
    channel: bool = False
    deterministic: bool = True

    def __call__(self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool) -> Tensor:
        scaled = (values.float() - self.mean) / self.std
        return scaled[:, None] if self.channel else scaled

    def config(self) -> dict[str, Any]:
        return {"view": "scaled", "mean": self.mean, "std": self.std, "channel": self.channel}


@dataclass(frozen=True)
class LogSpectrogram:
    """Natural log of the power spectrum, ``(B, 1, bins, frames)``, standardised.

    Hann window (periodic), centered frames with zeros beyond the ends: what librosa's stft computes.

    Args:
        n_fft, hop: in samples. low, high: bins kept, both included. floor: added to the power.
        mean, std: of the log power over the training rows.
    """

    n_fft: int
    hop: int
    low: int = 0
    high: int | None = None
    floor: float = 1e-7
    mean: float = 0.0
    std: float = 1.0
    deterministic: bool = True

    def __call__(self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool) -> Tensor:
        return (self.log_power(values)[:, None] - self.mean) / self.std

    def log_power(self, samples: Tensor) -> Tensor:
        """``(B, bins, frames)`` from int16 or float samples ``(B, L)``."""
        signal = samples.float() / 32768 if samples.dtype == torch.int16 else samples.float()
        window = torch.hann_window(self.n_fft, periodic=True, device=signal.device)
        spectrum = torch.stft(signal, self.n_fft, self.hop, window=window, center=True, pad_mode="constant", return_complex=True)
        high = spectrum.shape[1] - 1 if self.high is None else self.high
        return (spectrum[:, self.low : high + 1].abs().square() + self.floor).log()

    def config(self) -> dict[str, Any]:
        names = ("n_fft", "hop", "low", "high", "floor", "mean", "std")
        return {"view": "log_spectrogram"} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class OneHot:
    """Symbol numbers ``(B, T)`` with 0 for padding, as a sequence of one-hot vectors ``(B, T, symbols)``."""

    symbols: int
    deterministic: bool = True

    def __call__(self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool) -> Sequence:
        return Sequence(F.one_hot(values.long(), self.symbols).float() * (values > 0)[..., None], values > 0)

    def config(self) -> dict[str, Any]:
        return {"view": "one_hot", "symbols": self.symbols}


@dataclass(frozen=True)
class Canvas:
    """A training row's small picture at a random place of a larger canvas, with a patch of another one as clutter and pixel noise.

    Drawn anew in every epoch; rows that are not trained on are stored as finished canvases.

    Args:
        bank: training pictures ``(n, side, side)`` in 0..1, by sample id 0..n-1.
        size: side of the canvas. patch: side of the clutter. noise: standard deviation of a pixel.
    """

    bank: Tensor = field(repr=False)
    size: int = 16
    patch: int = 4
    noise: float = 0.2
    deterministic: bool = False

    def __call__(self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool) -> Tensor:
        if not train:
            return values.float()[:, None]
        bank = self.bank.to(values.device)
        side, rows = bank.shape[1], len(index)
        place = integers(self.size - side + 1, seed, epoch, index, 0, (2,))
        other = bank[integers(len(bank), seed, epoch, index, 1)]
        corner = integers(side - self.patch + 1, seed, epoch, index, 2, (2,))
        spot = integers(self.size - self.patch + 1, seed, epoch, index, 3, (2,))
        canvas = torch.zeros(rows, self.size, self.size, device=values.device)
        _paste(canvas, _cut(other, corner, self.patch), spot)
        _paste(canvas, bank[index], place)
        return (canvas + self.noise * normal(seed, epoch, index, 4, (self.size, self.size)))[:, None]

    def config(self) -> dict[str, Any]:
        return {"view": "canvas", "size": self.size, "patch": self.patch, "noise": self.noise}


def _grid(corner: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Index of a square of that side at every row's corner."""
    steps = torch.arange(side, device=corner.device)
    rows = torch.arange(len(corner), device=corner.device)
    return rows[:, None, None], (corner[:, :1] + steps)[:, :, None], (corner[:, 1:] + steps)[:, None, :]


def _cut(pictures: Tensor, corner: Tensor, side: int) -> Tensor:
    return pictures[_grid(corner, side)]


def _paste(canvas: Tensor, pictures: Tensor, corner: Tensor) -> None:
    """Lay pictures on the canvas; the brighter pixel wins."""
    where = _grid(corner, pictures.shape[1])
    canvas[where] = torch.maximum(canvas[where], pictures.to(canvas))
