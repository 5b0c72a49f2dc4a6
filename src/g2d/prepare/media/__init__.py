"""Sound and pictures from files, through FFmpeg (PyAV) and Pillow: decoded to the end, or refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from g2d.prepare.media.files import CALLED, opened
from g2d.prepare.media.frames import (
    at_least,
    count_frames,
    decode_span,
    legacy_frames,
    read_frames,
    released_frames,
    spread,
)
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
    """Decoded counts: ``frames`` and ``frame_rate``, ``samples`` and ``sample_rate``, of the streams that the file has."""
    found: dict[str, Any] = {}
    with opened(path) as container:
        there = bool(container.streams.video), bool(container.streams.audio)
    if there[0]:
        found["frames"], found["frame_rate"] = count_frames(path)
    if there[1]:
        samples, found["sample_rate"] = decode_audio(path)
        found["samples"] = len(samples)
    return found


__all__ = [
    "CALLED",
    "RESAMPLER",
    "at_least",
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
    "to_int16",
]
