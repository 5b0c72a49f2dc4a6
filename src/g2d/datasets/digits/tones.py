"""A telephone's keypad tones in noise: drawn once per row, or anew in every epoch as a view. One formula for both."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g2d.data.counter import normal, uniform
from g2d.data.views.plain import LogSpectrogram

KEYPAD = (
    (941, 1336),
    (697, 1209),
    (697, 1336),
    (697, 1477),
    (770, 1209),
    (770, 1336),
    (770, 1477),
    (852, 1209),
    (852, 1336),
    (852, 1477),
)
"""Frequencies in Hz of the telephone's keys 0..9."""
RATE, LENGTH = 8000, 1024
FIRST_DRAW = 64
"""Number of a tone's first draw: far from those of the pictures, which share a row's seed and epoch."""


@dataclass(frozen=True)
class ToneDraws:
    """What chance decides about B tones.

    Args:
        detune: of both frequencies, a share of each, ``(B, 2)``.
        phases: ``(B, 2)``. gains: of both tones, as amplitudes, ``(B, 2)``.
        white, band: normal numbers for the two kinds of noise, ``(B, L)``.
        hum: phase of the mains hum, ``(B, 1)``.
    """

    detune: Tensor
    phases: Tensor
    gains: Tensor
    white: Tensor
    band: Tensor
    hum: Tensor

    @classmethod
    def fixed(cls, generators: Iterable[np.random.Generator]) -> ToneDraws:
        """Of one generator per tone."""
        drawn = [
            (
                rng.uniform(-0.015, 0.015, 2),
                rng.uniform(0, 2 * np.pi, 2),
                rng.uniform(-3, 3, 2),
                rng.standard_normal(LENGTH),
                rng.standard_normal(LENGTH),
                rng.uniform(0, 2 * np.pi, 1),
            )
            for rng in generators
        ]
        detune, phases, level_and_twist, white, band, hum = (
            torch.from_numpy(np.stack(values)) for values in zip(*drawn, strict=True)
        )
        return cls(detune, phases, _gains(level_and_twist), white, band, hum)

    @classmethod
    def fresh(cls, seed: int, epoch: int, index: Tensor) -> ToneDraws:
        """Of a row's seed, epoch and sample id."""

        def between(low: float, high: float, draw: int, count: int) -> Tensor:
            return (
                low
                + (high - low) * uniform(seed, epoch, index, FIRST_DRAW + draw, (count,)).double()
            )

        white, band = (
            normal(seed, epoch, index, FIRST_DRAW + draw, (LENGTH,)).double() for draw in (3, 4)
        )
        turn = 2 * math.pi
        return cls(
            between(-0.015, 0.015, 0, 2),
            between(0, turn, 1, 2),
            _gains(between(-3, 3, 2, 2)),
            white,
            band,
            between(0, turn, 5, 1),
        )


def tones(digits: Tensor, decibel: float | None, draws: ToneDraws) -> Tensor:
    """Keys' tones in noise, ``(B, 1024)`` int16 at 8 kHz, peak at 0.99 of the range.

    The noise is white, in the telephone's band of 300-3400 Hz, and a little hum at 50 Hz.

    Args:
        digits: the keys, ``(B,)`` int64.
        decibel: power of the tones over that of the noise, before the level of a single tone varies it by a few decibels;
            None leaves the tones out.
    """
    t = torch.arange(LENGTH, dtype=torch.float64, device=digits.device) / RATE
    frequencies = torch.tensor(KEYPAD, dtype=torch.float64, device=digits.device)[digits] * (
        1 + draws.detune
    )
    signal = (
        draws.gains[..., None]
        * torch.sin(2 * math.pi * frequencies[..., None] * t + draws.phases[..., None])
    ).sum(1)
    spectrum = torch.fft.rfft(draws.band)
    frequency = torch.fft.rfftfreq(LENGTH, 1 / RATE, device=digits.device)
    band = torch.fft.irfft(torch.where((frequency < 300) | (frequency > 3400), 0, spectrum), LENGTH)
    hum = torch.sin(2 * math.pi * 50 * t + draws.hum)
    noise = sum(
        (
            part * (share / _power(part)).sqrt()
            for part, share in ((draws.white, 0.5), (band, 0.45), (hum, 0.05))
        ),
        torch.zeros_like(hum),
    )
    mixed = (
        noise
        if decibel is None
        else signal + noise * (1 / (_power(noise) * 10 ** (decibel / 10))).sqrt()
    )
    return (mixed / mixed.abs().amax(1, keepdim=True) * 0.99 * 32767).round().to(torch.int16)


@dataclass(frozen=True)
class FreshTone:
    """A training row's tone drawn anew in every epoch, then its spectrogram; rows that are not trained on keep the tone that is stored.

    Args:
        spectrogram: what the model sees of a tone.
        digits: the keys of the training rows, by sample id 0..n-1.
        decibel: see :func:`tones`.
    """

    spectrogram: LogSpectrogram
    digits: Tensor = field(repr=False)
    decibel: float | None
    deterministic: bool = False

    def __call__(
        self, values: Tensor, *, seed: int, epoch: int, index: Tensor, train: bool
    ) -> Tensor:
        if train:
            values = tones(
                self.digits.to(index.device)[index],
                self.decibel,
                ToneDraws.fresh(seed, epoch, index),
            )
        return self.spectrogram(values, seed=seed, epoch=epoch, index=index, train=train)

    def config(self) -> dict[str, Any]:
        return self.spectrogram.config() | {"view": "fresh_tone", "decibel": self.decibel}


def _gains(level_and_twist: Tensor) -> Tensor:
    """Amplitudes of the low and the high tone, from a common level and a difference in decibels."""
    level, twist = level_and_twist[:, :1], level_and_twist[:, 1:]
    return torch.pow(10, (level + torch.cat([twist, -twist], 1) / 2) / 20)


def _power(signal: Tensor) -> Tensor:
    return signal.square().mean(1, keepdim=True)
