"""Open media files with FFmpeg (PyAV), decode them to the end, and check what headers promise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.errors import UnreadableError
from g2d.files import import_extra

WHOLE = 0.9
"""Share of the length in the header below which a file counts as cut off."""
CALLED = {"audio": "sound", "video": "video"}
"""Names of stream types in messages."""
UNKNOWN_SIZE = 2**32 - 2**16
"""Size from which the header of a RIFF file is not believed: programs that write to a pipe."""


def media_library(name: str) -> Any:
    """Import a module of PyAV or Pillow.

    Args:
        name: Name of the module, for example ``"av"`` or ``"PIL.Image"``.

    Raises:
        MissingDependencyError: The library is not installed.
    """
    return import_extra(name, "media", "decoding sound, images and video")


def check_readable(path: Path) -> None:
    """Refuse a path that cannot be a media file, with a clearer reason than a decoder gives."""
    try:
        with path.open("rb") as file:
            start = file.read(24)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name with a NUL
        raise UnreadableError("missing-file", path.name) from None
    except OSError as error:
        raise UnreadableError("undecodable", error.strerror or str(error)) from error
    if not start:
        raise UnreadableError("zero-length", f"{path.name} has no bytes")
    if start == b"version https://git-lfs."[:24]:
        raise UnreadableError("lfs-pointer", "run git lfs pull in the data set's folder")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a media file with FFmpeg.

    Args:
        path: Media file of any kind that FFmpeg knows.

    Raises:
        UnreadableError: The file cannot be opened, or an error occurs while it is decoded.
        MissingDependencyError: PyAV is not installed.
    """
    av = media_library("av")
    check_readable(path)
    media_library("av.logging").set_level(av.logging.PANIC)
    try:
        # "file:" because a file name can look like another protocol of FFmpeg ("take:1.wav").
        with av.open(f"file:{path}") as container:
            yield container
    except (av.FFmpegError, EOFError, ValueError) as error:
        raise UnreadableError("undecodable", short(error)) from error


@dataclass
class Reach:
    """End of the last packet read so far, of any stream, in seconds."""

    end: float = 0.0


def decoded(container: Any, stream: Any, reach: Reach) -> Iterator[Any]:
    """Yield all frames of a stream, and move ``reach`` forward with the packets of all streams."""
    for packet in container.demux():
        if packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            reach.end = max(reach.end, float(end))
        if packet.stream.index == stream.index:
            yield from stream.decode(packet)


def warn_if_cut(
    container: Any, stream: Any, path: Path, length: float, reach: Reach, warnings: list[str] | None
) -> None:
    """Append a warning if a file ends before its header says.

    A stream is compared with its own length. A stream that has none (FLV) is not: there the end of
    the last packet is compared with the length of the container, which its longest stream defines.

    Args:
        container: Opened file.
        stream: Stream that was decoded.
        path: The file.
        length: Length of the decoded stream in seconds.
        reach: End of the last packet.
        warnings: List that receives the sentence; None to skip the check.
    """
    if stream.duration:
        promised = float(stream.duration * stream.time_base) * _claimed_share(path)
    else:
        length, promised = reach.end, float(container.duration or 0) / 1_000_000
    if warnings is not None and length < WHOLE * promised:
        warnings.append(f"its {CALLED[stream.type]} is cut off: {length:.2f} of {promised:.2f} s")


def _claimed_share(path: Path) -> float:
    """Return how many times longer a RIFF file (wav, avi) claims to be than it is, at least 1.

    FFmpeg derives the length of a stream from the actual size of the file, not from this claim.
    """
    with path.open("rb") as file:
        head = file.read(8)
    claimed, size = int.from_bytes(head[4:], "little"), path.stat().st_size
    return claimed / size if head[:4] == b"RIFF" and size < claimed < UNKNOWN_SIZE else 1.0


def short(error: BaseException) -> str:
    """Return the message of a library's error in one line and without paths."""
    if reason := getattr(error, "strerror", None):
        return str(reason)
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
