"""Lengths of the streams of media files, from headers where these have them."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.prepare.media.files import check_readable, opened

UNRELIABLE = frozenset({"aac", "loas"})
"""Formats without a header, whose length FFmpeg estimates from the size of the file."""


@dataclass(frozen=True)
class StreamLengths:
    """Lengths of the streams of a file in seconds.

    Args:
        sound: Length of the sound; None if the file has none.
        video: Length of the video; None if the file has none.
    """

    sound: float | None
    video: float | None


def stream_lengths(path: Path) -> StreamLengths:
    """Return how long the sound and the video of a file are.

    The length is the one in the header. If there is none (recordings of browsers), it is the end of
    the last packet, or the file is decoded.

    Args:
        path: File of any kind that FFmpeg knows.

    Raises:
        UnreadableError: The file cannot be opened.
        MissingDependencyError: PyAV is not installed.
    """
    if (seconds := _wav_length(path)) is not None:
        return StreamLengths(seconds, None)
    with opened(path) as container:
        streams = {"sound": container.streams.audio, "video": container.streams.video}
        lengths = {name: _length(container, kind[0]) for name, kind in streams.items() if kind}
    return StreamLengths(
        *(
            None if name not in lengths else lengths[name] or _read_length(path, name)
            for name in streams
        )
    )


def _wav_length(path: Path) -> float | None:
    """Return the length of plain wav sound, which FFmpeg takes much longer to open; None if other.

    A length in the header that exceeds the file is not believed.
    """
    check_readable(path)
    try:
        with path.open("rb") as file, wave.open(file) as sound:
            width, size = sound.getnchannels() * sound.getsampwidth(), path.stat().st_size
            return min(sound.getnframes(), size // width) / sound.getframerate() or None
    except (wave.Error, EOFError, OSError, RuntimeError, ZeroDivisionError):
        return None


def _length(container: Any, stream: Any) -> float:
    """Return the length that the header of a stream, or of its container, states; 0 if none."""
    if container.format.name in UNRELIABLE:
        return 0.0
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1_000_000


def _read_length(path: Path, name: str) -> float:
    """Return the length of a stream by its packets, or by its frames if these have no times."""
    with opened(path) as container:
        stream = (container.streams.audio if name == "sound" else container.streams.video)[0]
        ends = [
            float((packet.pts + (packet.duration or 0)) * packet.time_base)
            for packet in container.demux(stream)
            if packet.pts is not None
        ]
    if ends and max(ends) > 0:
        start = float((stream.start_time or 0) * stream.time_base)
        return max(ends) - max(start, 0.0)
    with opened(path) as container:
        stream = (container.streams.audio if name == "sound" else container.streams.video)[0]
        if name == "sound":
            return float(sum(f.samples / f.sample_rate for f in container.decode(stream)))
        return sum(1 for _ in container.decode(stream)) / float(stream.average_rate or 1)
