"""Spectrograms of sound: magnitudes, log spectrograms and log-mel spectrograms."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

PadMode = Literal["constant", "reflect"]


def as_float(samples: Tensor) -> Tensor:
    """Convert samples to float32: int16 to [-1, 1) by division by 32768, floats unchanged.

    Example:
        >>> as_float(torch.tensor([-32768, 16384], dtype=torch.int16))
        tensor([-1.0000,  0.5000])
    """
    return samples.to(torch.float32) / (32768 if samples.dtype == torch.int16 else 1)


def magnitudes(signal: Tensor, n_fft: int, hop: int, *, pad_mode: PadMode = "constant") -> Tensor:
    """Return the magnitudes |STFT| of a sound, as librosa's ``stft`` computes them.

    The window is a periodic Hann window; frames are centered.

    Args:
        signal: Samples ``(B, L)``, float.
        n_fft: Length of a frame in samples.
        hop: Distance of two frames in samples.
        pad_mode: Samples beyond both ends: ``"constant"`` for zeros (librosa since 0.9) or
            ``"reflect"`` (librosa before).

    Returns:
        Magnitudes ``(B, 1 + n_fft / 2, 1 + floor(L / hop))``.

    Example:
        >>> magnitudes(torch.ones(1, 64), 16, 8).shape
        torch.Size([1, 9, 9])
    """
    window = torch.hann_window(n_fft, periodic=True, device=signal.device)
    return torch.stft(
        signal, n_fft, hop, window=window, center=True, pad_mode=pad_mode, return_complex=True
    ).abs()


def log_spectrogram(
    signal: Tensor,
    n_fft: int,
    hop: int,
    *,
    power: Literal[1, 2] = 2,
    floor: float = 1e-7,
    pad_mode: PadMode = "constant",
    low: int = 0,
    high: int | None = None,
) -> Tensor:
    """Return ln(|STFT|^power + floor).

    Args:
        signal: Samples ``(B, L)``, float.
        n_fft: Length of a frame in samples.
        hop: Distance of two frames in samples.
        power: 1 for magnitudes, 2 for power.
        floor: Number added before the logarithm.
        pad_mode: Samples beyond both ends, see :func:`magnitudes`.
        low: First frequency bin that is kept.
        high: Last frequency bin that is kept; None keeps all up to n_fft / 2.

    Returns:
        A grid ``(B, bins, frames)``.

    Example:
        >>> log_spectrogram(torch.zeros(2, 64), 16, 8, low=1, high=4).shape
        torch.Size([2, 4, 9])
    """
    grid = magnitudes(signal, n_fft, hop, pad_mode=pad_mode)
    grid = grid[:, low : None if high is None else high + 1]
    return (grid**power + floor).log()


def log_mel(
    signal: Tensor, rate: int, n_fft: int, hop: int, bands: int, *, floor: float = 1e-7
) -> Tensor:
    """Return ln(power + floor) in triangular bands of equal width on the mel scale.

    Args:
        signal: Samples ``(B, L)``, float.
        rate: Samples per second.
        n_fft: Length of a frame in samples.
        hop: Distance of two frames in samples.
        bands: Number of bands between 0 Hz and half the rate.
        floor: Number added before the logarithm.

    Returns:
        A grid ``(B, bands, frames)``.

    Example:
        >>> log_mel(torch.zeros(2, 640), 8000, 128, 64, 8).shape
        torch.Size([2, 8, 11])
    """
    power = magnitudes(signal, n_fft, hop).square()
    return (mel_filters(rate, n_fft, bands).to(signal.device) @ power + floor).log()


def mel_filters(rate: int, n_fft: int, bands: int) -> Tensor:
    """Return triangular filters whose corners are equidistant in mel = 2595 log10(1 + f / 700).

    Args:
        rate: Samples per second.
        n_fft: Length of a frame in samples.
        bands: Number of filters between 0 Hz and half the rate.

    Returns:
        Weights ``(bands, 1 + n_fft / 2)``, float32, with peaks of 1.

    Example:
        >>> mel_filters(8000, 128, 20).shape
        torch.Size([20, 65])
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    frequency = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising, falling = (frequency - low) / (peak - low), (high - frequency) / (high - peak)
    return torch.minimum(rising, falling).clamp(min=0).to(torch.float32)
