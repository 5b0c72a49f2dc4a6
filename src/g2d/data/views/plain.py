"""What a model sees of stored values: batched functions on the device, random ones seeded by (seed, epoch, sample)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from g2d.data.counter import integers, normal
from g2d.errors import DataError
from g2d.types import Input, Sequence


class View(Protocol):
    """From stored values to a model's input."""

    @property
    def deterministic(self) -> bool:
        """A training row looks the same in every epoch."""

    def __call__(
        self, values: Any, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Input: ...

    def config(self) -> dict[str, Any]:
        """What determines the view, as plain values: part of the hash by which teachers are reused."""


@dataclass(frozen=True)
class Scaled:
    """``(values - mean) / std`` as float32, with a channel axis put in front of a grid if asked for."""

    mean: float = 0.0
    std: float = 1.0
    channel: bool = False
    deterministic: bool = True

    def __call__(
        self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Tensor:
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

    def __call__(
        self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Tensor:
        return (self.log_power(values)[:, None] - self.mean) / self.std

    def log_power(self, samples: Tensor) -> Tensor:
        """``(B, bins, frames)`` from int16 or float samples ``(B, L)``."""
        signal = samples.float() / 32768 if samples.dtype == torch.int16 else samples.float()
        window = torch.hann_window(self.n_fft, periodic=True, device=signal.device)
        spectrum = torch.stft(
            signal,
            self.n_fft,
            self.hop,
            window=window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        high = spectrum.shape[1] - 1 if self.high is None else self.high
        return (spectrum[:, self.low : high + 1].abs().square() + self.floor).log()

    def config(self) -> dict[str, Any]:
        names = ("n_fft", "hop", "low", "high", "floor", "mean", "std")
        return {"view": "log_spectrogram"} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class LogMel:
    """Natural log of the power in triangular bands, equally wide in mel, ``(B, 1, bands, frames)``, standardised.

    Args:
        rate: samples per second. n_fft, hop: in samples. bands: from 0 Hz to half the rate. floor: added to the power.
        mean, std: of the log power over the training rows.
    """

    rate: int
    n_fft: int
    hop: int
    bands: int
    floor: float = 1e-7
    mean: float = 0.0
    std: float = 1.0
    deterministic: bool = True

    def __call__(
        self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Tensor:
        return (self.log_power(values)[:, None] - self.mean) / self.std

    def log_power(self, samples: Tensor) -> Tensor:
        """``(B, bands, frames)`` from int16 or float samples ``(B, L)``."""
        signal = samples.float() / 32768 if samples.dtype == torch.int16 else samples.float()
        window = torch.hann_window(self.n_fft, periodic=True, device=signal.device)
        spectrum = torch.stft(
            signal,
            self.n_fft,
            self.hop,
            window=window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return (self.filters().to(signal.device) @ spectrum.abs().square() + self.floor).log()

    def filters(self) -> Tensor:
        """``(bands, n_fft / 2 + 1)`` triangles with peak 1, mel = 2595 log10(1 + f / 700)."""
        top = 2595 * math.log10(1 + self.rate / 2 / 700)
        corners = 700 * (
            10 ** (torch.linspace(0, top, self.bands + 2, dtype=torch.float64) / 2595) - 1
        )
        low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
        frequency = torch.linspace(0, self.rate / 2, self.n_fft // 2 + 1, dtype=torch.float64)
        return (
            torch.minimum((frequency - low) / (peak - low), (high - frequency) / (high - peak))
            .clamp(min=0)
            .float()
        )

    def config(self) -> dict[str, Any]:
        names = ("rate", "n_fft", "hop", "bands", "floor", "mean", "std")
        return {"view": "log_mel"} | {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class OneHot:
    """Symbol numbers ``(B, T)`` with 0 for padding, as a sequence of one-hot vectors ``(B, T, symbols)``."""

    symbols: int
    deterministic: bool = True

    def __call__(
        self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Sequence:
        if int(values.max()) >= self.symbols:
            raise DataError(
                f"symbols must be numbers from 0 (padding) to {self.symbols - 1}, found {int(values.max())}."
            )
        return Sequence(
            F.one_hot(values.long(), self.symbols).float() * (values > 0)[..., None], values > 0
        )

    def config(self) -> dict[str, Any]:
        return {"view": "one_hot", "symbols": self.symbols}


@dataclass(frozen=True)
class Canvas:
    """A training row's small picture at a random place of a larger canvas, with patches of others as clutter and pixel noise.

    Drawn anew in every epoch; rows that are not trained on are stored as finished canvases.

    Args:
        bank: training pictures ``(n, side, side)`` in 0..1, by sample id 0..n-1.
        size: side of the canvas. patch: side of a patch of clutter. patches: how many. noise: standard deviation of a pixel.
    """

    bank: Tensor = field(repr=False)
    size: int = 16
    patch: int = 4
    noise: float = 0.2
    patches: int = 1
    deterministic: bool = False

    def __call__(
        self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Tensor:
        if not train:
            return values.float()[:, None]
        bank = self.bank.to(values.device)
        return self.draw(bank[index], seed=seed, epoch=epoch, index=index)[:, None]

    def draw(self, pictures: Tensor, *, seed: int, epoch: int, index: Tensor) -> Tensor:
        """Canvases ``(B, size, size)`` of some pictures ``(B, side, side)``."""
        bank = self.bank.to(pictures.device)
        side = bank.shape[1]
        canvas = torch.zeros(len(index), self.size, self.size, device=pictures.device)
        for i in range(self.patches):
            other, corner, spot = (
                (1, 2, 3) if i == 0 else (3 * i + 2, 3 * i + 3, 3 * i + 4)
            )  # numbers of the draws
            cut = _cut(
                bank[integers(len(bank), seed, epoch, index, other)],
                integers(side - self.patch + 1, seed, epoch, index, corner, (2,)),
                self.patch,
            )
            _paste(
                canvas, cut, integers(self.size - self.patch + 1, seed, epoch, index, spot, (2,))
            )
        _paste(canvas, pictures, integers(self.size - side + 1, seed, epoch, index, 0, (2,)))
        return canvas + self.noise * normal(seed, epoch, index, 4, (self.size, self.size))

    def config(self) -> dict[str, Any]:
        return {
            "view": "canvas",
            "size": self.size,
            "patch": self.patch,
            "patches": self.patches,
            "noise": self.noise,
        }


def _grid(corner: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Index of a square of that side at every row's corner."""
    steps = torch.arange(side, device=corner.device)
    rows = torch.arange(len(corner), device=corner.device)
    return (
        rows[:, None, None],
        (corner[:, :1] + steps)[:, :, None],
        (corner[:, 1:] + steps)[:, None, :],
    )


def _cut(pictures: Tensor, corner: Tensor, side: int) -> Tensor:
    return pictures[_grid(corner, side)]


def _paste(canvas: Tensor, pictures: Tensor, corner: Tensor) -> None:
    """Lay pictures on the canvas; the brighter pixel wins."""
    where = _grid(corner, pictures.shape[1])
    canvas[where] = torch.maximum(canvas[where], pictures.to(canvas))


@dataclass(frozen=True)
class Standardized:
    """``(values - mean) / std`` of every column of a table, float32; a missing value (NaN) becomes the mean, which is 0.

    Args:
        mean, std: per column, of the training rows' known values.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    deterministic: bool = True

    @classmethod
    def fitted(cls, train: NDArray[Any]) -> Self:
        """From the training rows ``(N, columns)``; a column that never varies is only centered.

        Example:
            >>> Standardized.fitted(np.array([[1.0, 5.0], [3.0, np.nan]]))
            Standardized(mean=(2.0, 5.0), std=(1.0, 1.0), deterministic=True)
        """
        mean, std = (
            np.atleast_1d(f(train, axis=0, dtype=np.float64)) for f in (np.nanmean, np.nanstd)
        )
        return cls(
            tuple(round(float(value), 6) for value in mean),
            tuple(round(float(value), 6) or 1.0 for value in std),
        )

    def __call__(
        self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Tensor:
        mean, std = (torch.tensor(row, device=values.device) for row in (self.mean, self.std))
        return torch.nan_to_num((values.float() - mean) / std, nan=0.0)

    def config(self) -> dict[str, Any]:
        return {"view": "standardized", "mean": list(self.mean), "std": list(self.std)}
