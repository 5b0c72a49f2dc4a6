"""Read sound: mono, resampled, 16 bits."""

from __future__ import annotations

from math import ceil, gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import NoStreamError, UnreadableError
from g2d.prepare.media.files import Reach, decoded, opened, warn_if_cut

SILENCE = 1e-3
"""Sound whose peak is below this share of full scale counts as silent."""
RATES = (1_000, 768_000)
"""Lowest and highest sample rate accepted; any other in a header is damage."""
LOUDEST = 1e9
"""Floating point sound louder than this many times full scale is damage, like NaN and infinity."""
CANCELED = 1e-2
"""Share of the energy of the loudest channel below which the mean of the channels has lost it."""
MARGIN = 1.0
"""Seconds decoded beyond the length that is kept, which the resampling filter reaches into."""
FULL_SCALE = 32768
"""Value of a 16-bit sample that represents 1.0."""
RESAMPLER = "scipy.signal.resample_poly"
"""Name of the resampling function, recorded in stores."""


def read_audio(
    path: Path, rate: int, warnings: list[str] | None = None, *, seconds: float | None = None
) -> NDArray[np.int16]:
    """Read the sound of a file as mono at a given rate.

    The channels are averaged; where they cancel each other, the loudest one is taken. A polyphase
    filter resamples n samples at the native rate to ceil(n * rate / native) samples.

    Args:
        path: File of any kind that FFmpeg knows.
        rate: Sample rate of the result, in samples per second.
        warnings: List that receives a sentence if the file ends before its header says, or if its
            channels cancel each other.
        seconds: Length to read; None for all of it. The rest of the file is not decoded.

    Returns:
        Array ``(L,)``.

    Raises:
        UnreadableError: With the reason ``missing-file``, ``lfs-pointer``, ``zero-length``,
            ``no-audio`` (no audio stream), ``undecodable`` or ``non-finite``.
        MissingDependencyError: PyAV is not installed.

    Example:
        >>> read_audio(Path("voice.wav"), 16_000, seconds=60)  # doctest: +SKIP
    """
    margin = None if seconds is None else seconds + MARGIN
    samples, native = decode_audio(path, warnings, seconds=margin)
    sound = to_int16(resample(samples, native, rate))
    return sound if seconds is None else sound[: ceil(seconds * rate)]


def decode_audio(
    path: Path, warnings: list[str] | None = None, *, seconds: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """Decode the sound of a file as mono in [-1, 1] at its own rate.

    Args:
        path: File of any kind that FFmpeg knows.
        warnings: List that receives sentences, as in :func:`read_audio`.
        seconds: Length after which decoding stops; None for the end of the file.

    Returns:
        Samples ``(L,)`` and their rate in samples per second.

    Raises:
        UnreadableError: As in :func:`read_audio`.
        MissingDependencyError: PyAV is not installed.
    """
    mix = _Mix()
    rate = _decode_into(mix, path, warnings, seconds)
    samples = mix.samples()
    if not np.abs(samples).max(initial=0) <= LOUDEST:
        raise UnreadableError("non-finite", "its sound holds NaN, infinity or absurd values")
    if mix.cancels():
        if warnings is not None:
            warnings.append("the channels of its sound cancel each other: the loudest was taken")
        mix = _Mix(channel=mix.loudest())
        _decode_into(mix, path, None, seconds)
        samples = mix.samples()
    return samples, rate


class _Mix:
    """One channel made of all, and the energy of each.

    Args:
        channel: Channel to keep; None for the mean of all channels.
    """

    def __init__(self, channel: int | None = None) -> None:
        self.channel = channel
        self.parts: list[NDArray[np.float32]] = []
        self.length = 0
        self.energies: NDArray[np.float64] = np.zeros(1)
        self.energy = 0.0

    def add(self, channels: NDArray[np.float32]) -> None:
        """Add the next samples ``(channels, n)``."""
        if self.channel is None:
            kept: NDArray[np.float32] = channels.mean(0, dtype=np.float32)
        else:
            kept = channels[min(self.channel, len(channels) - 1)]
        self.parts.append(kept)
        self.length += len(kept)
        self.energy += float((kept.astype(np.float64) ** 2).sum())
        energies = (channels.astype(np.float64) ** 2).sum(1)
        self.energies.resize(max(len(self.energies), len(energies)), refcheck=False)
        self.energies[: len(energies)] += energies

    def samples(self) -> NDArray[np.float32]:
        """Return all samples ``(L,)``."""
        return np.concatenate(self.parts)

    def loudest(self) -> int:
        """Return the number of the channel with the most energy."""
        return int(self.energies.argmax())

    def cancels(self) -> bool:
        """Return whether the mean of the channels holds almost nothing of the loudest one."""
        return self.channel is None and self.energy < CANCELED * float(self.energies.max())


def _decode_into(mix: _Mix, path: Path, warnings: list[str] | None, seconds: float | None) -> int:
    """Decode the sound of a file into ``mix``, and return its sample rate."""
    rate, reach = 0, Reach()
    with opened(path) as container:
        if not container.streams.audio:
            raise NoStreamError("no-audio", "it has no audio stream")
        stream = container.streams.audio[0]
        for frame in decoded(container, stream, reach):
            rate = rate or int(frame.sample_rate)
            if not RATES[0] <= rate <= RATES[1]:
                raise UnreadableError("undecodable", f"its header says {rate} samples per second")
            mix.add(_channels(frame))
            if seconds is not None and mix.length >= seconds * rate:
                break
        else:
            if mix.parts:
                warn_if_cut(container, stream, path, mix.length / rate, reach, warnings)
        if not mix.parts:
            raise UnreadableError("zero-length", "its audio stream is empty")
    return rate


def resample(samples: NDArray[np.float32], native: int, rate: int) -> NDArray[np.float32]:
    """Resample sound with a polyphase filter to ``ceil(n * rate / native)`` samples.

    Args:
        samples: Sound ``(n,)``.
        native: Rate of ``samples``, in samples per second.
        rate: Rate of the result.

    Example:
        >>> resample(np.zeros(36_409, np.float32), 16_000, 22_050).shape
        (50177,)
    """
    if native == rate:
        return samples
    from scipy.signal import resample_poly

    common = gcd(native, rate)
    return np.asarray(resample_poly(samples, rate // common, native // common), np.float32)


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Convert sound in [-1, 1] to 16 bits: multiply by 32768, round, clip."""
    scaled = np.rint(samples.astype(np.float64) * FULL_SCALE)
    return scaled.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def is_silent(samples: NDArray[np.int16]) -> bool:
    """Return whether the peak of 16-bit sound is below a thousandth of full scale."""
    return not samples.size or int(np.abs(samples.astype(np.int32)).max()) < SILENCE * FULL_SCALE


def fit_length(sound: NDArray[np.int16], length: int, *, repeat: bool = False) -> NDArray[np.int16]:
    """Cut or extend sound to an exact length.

    Args:
        sound: Sound ``(L,)``.
        length: Number of samples of the result.
        repeat: Whether short sound is repeated; otherwise silence is appended.

    Example:
        >>> fit_length(np.array([1, 2, 3], np.int16), 7, repeat=True).tolist()
        [1, 2, 3, 1, 2, 3, 1]
    """
    if repeat and len(sound):
        return np.resize(sound, length)
    fitted = np.zeros(length, np.int16)
    fitted[: min(length, len(sound))] = sound[:length]
    return fitted


def _channels(frame: Any) -> NDArray[np.float32]:
    """Return the samples of a frame of FFmpeg ``(channels, n)``, full scale as 1."""
    values = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T
    if values.dtype.kind == "u":
        scaled: NDArray[np.float32] = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        scaled = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    else:
        # Clipping first lets 64-bit numbers fit; infinity stays beyond LOUDEST.
        scaled = values.clip(-2 * LOUDEST, 2 * LOUDEST).astype(np.float32)
    return scaled
