"""A telephone's keypad tones in noise: one formula for fixed draws and for draws in every epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from g2d.data.views.step import SOUND, Draw, Form, Step, plain
from g2d.types import Input

KEYPAD = ((941, 1336), *((low, high) for low in (697, 770, 852) for high in (1209, 1336, 1477)))
"""Frequencies in Hz of the telephone's keys 0..9."""
RATE, LENGTH = 8000, 1024
"""Samples per second, and samples of a tone."""
FIRST_DRAW = 64
"""Number of a tone's first draw, far from those of the canvases, which share seed and epoch."""


@dataclass(frozen=True)
class ToneDraws:
    """Everything that is drawn at random for B tones.

    Args:
        detune: Relative deviation of both frequencies, shape ``(B, 2)``.
        phases: Phases of both tones, shape ``(B, 2)``.
        gains: Amplitudes of both tones, shape ``(B, 2)``.
        white: Normal numbers for white noise, shape ``(B, L)``.
        band: Normal numbers for the noise in the telephone's band, shape ``(B, L)``.
        hum: Phase of the mains hum, shape ``(B, 1)``.
    """

    detune: Tensor
    phases: Tensor
    gains: Tensor
    white: Tensor
    band: Tensor
    hum: Tensor

    @classmethod
    def fixed(cls, generators: Iterable[np.random.Generator]) -> ToneDraws:
        """Draw once per row.

        Args:
            generators: One generator per tone.
        """
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
    def fresh(cls, draw: Draw) -> ToneDraws:
        """Draw from seed, epoch and sample id.

        Args:
            draw: Random numbers of the rows.
        """
        draw = replace(draw, stream=FIRST_DRAW)

        def between(low: float, high: float, number: int, count: int) -> Tensor:
            return low + (high - low) * draw.uniform(number, (count,)).double()

        turn = 2 * math.pi
        return cls(
            detune=between(-0.015, 0.015, 0, 2),
            phases=between(0, turn, 1, 2),
            gains=_gains(between(-3, 3, 2, 2)),
            white=draw.normal(3, (LENGTH,)).double(),
            band=draw.normal(4, (LENGTH,)).double(),
            hum=between(0, turn, 5, 1),
        )


def tones(digits: Tensor, decibel: float | None, draws: ToneDraws) -> Tensor:
    """Return keypad tones in noise, ``(B, 1024)`` int16 at 8 kHz, peak at 0.99 of the range.

    The noise is white, in the telephone's band of 300-3400 Hz, and a little hum at 50 Hz.

    Args:
        digits: Keys, shape ``(B,)`` int64.
        decibel: Power of the tones over that of the noise, before the level of a single tone
            varies it by a few decibels; None omits the tones.
        draws: Random numbers of the tones.
    """
    t = torch.arange(LENGTH, dtype=torch.float64, device=digits.device) / RATE
    keypad = torch.tensor(KEYPAD, dtype=torch.float64, device=digits.device)
    angle = 2 * math.pi * (keypad[digits] * (1 + draws.detune))[..., None] * t
    signal = (draws.gains[..., None] * torch.sin(angle + draws.phases[..., None])).sum(1)
    spectrum = torch.fft.rfft(draws.band)
    frequency = torch.fft.rfftfreq(LENGTH, 1 / RATE, device=digits.device)
    band = torch.fft.irfft(torch.where((frequency < 300) | (frequency > 3400), 0, spectrum), LENGTH)
    hum = torch.sin(2 * math.pi * 50 * t + draws.hum)
    noise = torch.zeros_like(hum)
    for part, share in ((draws.white, 0.5), (band, 0.45), (hum, 0.05)):
        noise = noise + part * (share / _power(part)).sqrt()
    mixed = noise
    if decibel is not None:
        mixed = signal + noise * (1 / (_power(noise) * 10 ** (decibel / 10))).sqrt()
    return (mixed / mixed.abs().amax(1, keepdim=True) * 0.99 * 32767).round().to(torch.int16)


class FreshTone(Step):
    """Replace the stored tone of a training row by a new one in every epoch.

    Rows that are not used for training keep their stored tone.

    Args:
        digits: Keys of the training rows, by sample id 0..n-1.
        decibel: Signal-to-noise ratio, see :func:`tones`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    takes: ClassVar[Form] = SOUND
    name: Literal["fresh_tone"] = "fresh_tone"
    digits: Tensor = Field(exclude=True, repr=False)
    decibel: float | None

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch: it does not."""
        return False

    def predicting(self) -> Step | None:
        """Return None: new rows keep their stored tone."""

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        """Return tones ``(B, 1024)`` int16."""
        if not draw.train:
            return plain(values)
        digits = self.digits.to(draw.index.device)[draw.index]
        return tones(digits, self.decibel, ToneDraws.fresh(draw))


def _gains(level_and_twist: Tensor) -> Tensor:
    """Return the amplitudes of the low and the high tone.

    Args:
        level_and_twist: Common level of both tones and their difference, in decibels, ``(B, 2)``.
    """
    level, twist = level_and_twist[:, :1], level_and_twist[:, 1:]
    return torch.pow(10, (level + torch.cat([twist, -twist], 1) / 2) / 20)


def _power(signal: Tensor) -> Tensor:
    return signal.square().mean(1, keepdim=True)
