"""Decode sound, images and video with PyAV and Pillow: to the end of the file, or with an error.

The libraries are an extra of the package and imported on first use: ``pip install 'g2d[media]'``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from g2d.prepare.media.files import CALLED, check_readable, opened
from g2d.prepare.media.frames import (
    at_least,
    count_frames,
    decode_span,
    legacy_frames,
    read_frames,
    released_frames,
    spread,
)
from g2d.prepare.media.lengths import StreamLengths, stream_lengths
from g2d.prepare.media.pictures import read_image
from g2d.prepare.media.sound import (
    RESAMPLER,
    decode_audio,
    fit_length,
    is_silent,
    read_audio,
    resample,
    to_int16,
)


def media_facts(path: Path) -> dict[str, Any]:
    """Decode a file and return its counts and rates.

    Args:
        path: Media file.

    Returns:
        ``frames`` and ``frame_rate`` if the file has a video stream, ``samples`` and
        ``sample_rate`` if it has an audio stream.
    """
    facts: dict[str, Any] = {}
    with opened(path) as container:
        has_video, has_audio = bool(container.streams.video), bool(container.streams.audio)
    if has_video:
        facts["frames"], facts["frame_rate"] = count_frames(path)
    if has_audio:
        samples, facts["sample_rate"] = decode_audio(path)
        facts["samples"] = len(samples)
    return facts


__all__ = [
    "CALLED",
    "RESAMPLER",
    "StreamLengths",
    "at_least",
    "check_readable",
    "count_frames",
    "decode_audio",
    "decode_span",
    "fit_length",
    "is_silent",
    "legacy_frames",
    "media_facts",
    "opened",
    "read_audio",
    "read_frames",
    "read_image",
    "released_frames",
    "resample",
    "spread",
    "stream_lengths",
    "to_int16",
]
