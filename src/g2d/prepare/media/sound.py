"""Sound from files: mono, at the rate asked for, in 16 bits."""

from __future__ import annotations

from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import UnreadableError
from g2d.prepare.media.files import Reach, decoded, opened, tell_cut

SILENCE = 1e-3
"""Sound whose peak stays under this share of full scale is none."""
RATES = (1_000, 768_000)
"""Samples per second between which sound is believed; a header that says anything else is damaged, and resampling by it would not end."""
LOUDEST = 1e9
"""Floating point sound beyond that many times full scale is damage, as NaN and infinity are."""
RESAMPLER = "scipy.signal.resample_poly"


def read_audio(path: Path, rate: int, told: list[str] | None = None) -> NDArray[np.int16]:
    """Mono sound ``(L,)`` at ``rate`` samples per second: the mean of the channels, resampled by a polyphase filter.

    The length is ceil(n * rate / native).

    Args:
        path: a file of any kind that FFmpeg knows. rate: of the result. told: a sentence is added if the file ends before its header says.

    Raises:
        UnreadableError: ``missing-file``, ``lfs-pointer``, ``zero-length``, ``no-audio`` (no stream of sound), ``undecodable``, ``non-finite``.
    """
    samples, native = decode_audio(path, told)
    return to_int16(resample(samples, native, rate))


def decode_audio(path: Path, told: list[str] | None = None) -> tuple[NDArray[np.float32], int]:
    """Mono sound in [-1, 1] as the file holds it, and its rate."""
    parts: list[NDArray[np.float32]] = []
    rate, reach = 0, Reach()
    with opened(path) as container:
        if not container.streams.audio:
            raise UnreadableError("no-audio", "there is no stream of sound")
        stream = container.streams.audio[0]
        for frame in decoded(container, stream, reach):
            rate = rate or int(frame.sample_rate)
            parts.append(_mono(frame))
        if not parts:
            raise UnreadableError("zero-length", "it holds no sound")
        if not RATES[0] <= rate <= RATES[1]:
            raise UnreadableError("undecodable", f"its header says {rate} samples per second")
        samples = np.concatenate(parts)
        tell_cut(container, stream, path, len(samples) / rate, reach, told)
    if not np.abs(samples).max(initial=0) <= LOUDEST:
        raise UnreadableError("non-finite", "its sound holds NaN, infinity or absurd values")
    return samples, rate


def resample(samples: NDArray[np.float32], native: int, rate: int) -> NDArray[np.float32]:
    """``ceil(n * rate / native)`` samples.

    Example:
        >>> resample(np.zeros(36_409, np.float32), 16_000, 22_050).shape
        (50177,)
    """
    if native == rate:
        return samples
    from scipy.signal import resample_poly

    common = gcd(native, rate)
    changed: NDArray[np.float32] = resample_poly(samples, rate // common, native // common).astype(
        np.float32
    )
    return changed


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """From [-1, 1]: times 32768, rounded, cut at the ends."""
    return np.rint(samples.astype(np.float64) * 32768).clip(-32768, 32767).astype(np.int16)


def is_silent(samples: NDArray[np.int16]) -> bool:
    """The peak stays under a thousandth of full scale."""
    return not samples.size or int(np.abs(samples.astype(np.int32)).max()) < SILENCE * 32768


def fit_length(
    samples: NDArray[np.int16], length: int, *, repeat: bool = False
) -> NDArray[np.int16]:
    """Exactly ``length`` samples: the end is cut off; what is short is repeated, or followed by silence.

    Example:
        >>> fit_length(np.array([1, 2, 3], np.int16), 7, repeat=True).tolist()
        [1, 2, 3, 1, 2, 3, 1]
    """
    if repeat and len(samples):
        return np.resize(samples, length)
    fitted = np.zeros(length, np.int16)
    fitted[: min(length, len(samples))] = samples[:length]
    return fitted


def _mono(frame: Any) -> NDArray[np.float32]:
    values = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    if values.dtype.kind == "u":
        scaled = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        scaled = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    else:
        scaled = values.clip(-2 * LOUDEST, 2 * LOUDEST).astype(
            np.float32
        )  # infinity stays too loud, and 64-bit numbers fit
    mono: NDArray[np.float32] = scaled.mean(0, dtype=np.float32)
    return mono
