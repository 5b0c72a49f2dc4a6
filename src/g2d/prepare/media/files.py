"""Media files for FFmpeg (PyAV): opened or refused with a reason, decoded to the end, and held against what their headers promise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2d.errors import UnreadableError

WHOLE = 0.9
"""Share of what a header promises that must be there, or a user is told."""
CALLED = {"audio": "sound", "video": "video"}
"""What sentences call streams."""
UNKNOWN_SIZE = 2**32 - 2**16
"""What programs that write to a pipe claim as the size of a RIFF file."""


def look(path: Path) -> None:
    """Refuse what is no media file at all, before a decoder says something less clear."""
    try:
        with path.open("rb") as file:
            start = file.read(24)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no file's name can hold a NUL
        raise UnreadableError("missing-file", path.name) from None
    except OSError as error:
        raise UnreadableError("undecodable", error.strerror or str(error)) from error
    if not start:
        raise UnreadableError("zero-length", f"{path.name} has no bytes")
    if start == b"version https://git-lfs."[:24]:
        raise UnreadableError("lfs-pointer", "run git lfs pull in the data set's folder")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A media file for FFmpeg; whatever is wrong with it, also while it is read, is an :class:`UnreadableError`."""
    import av
    from av import logging

    look(path)
    logging.set_level(logging.PANIC)
    try:
        with av.open(
            f"file:{path}"
        ) as container:  # a name may look like another protocol of FFmpeg's
            yield container
    except (av.FFmpegError, EOFError, ValueError) as error:
        raise UnreadableError("undecodable", short(error)) from error


@dataclass
class Reach:
    """How far the packets of a file go, in seconds; the longest of its streams counts."""

    end: float = 0.0


def decoded(container: Any, stream: Any, reach: Reach) -> Iterator[Any]:
    """All frames of a stream; ``reach`` is moved on by the packets of every stream."""
    for packet in container.demux():
        if packet.pts is not None:
            reach.end = max(
                reach.end, float((packet.pts + (packet.duration or 0)) * packet.time_base)
            )
        if packet.stream.index == stream.index:
            yield from stream.decode(packet)


def tell_cut(
    container: Any, stream: Any, path: Path, decoded: float, reach: Reach, told: list[str] | None
) -> None:
    """A stream is held against its own length; one that has none (FLV) against the container's, which its longest stream sets and must reach."""
    if stream.duration:
        promised = float(stream.duration * stream.time_base) * _missing_share(path)
    else:
        decoded, promised = reach.end, float(container.duration or 0) / 1_000_000
    if told is not None and decoded < WHOLE * promised:
        told.append(f"its {CALLED[stream.type]} is cut off: {decoded:.2f} of {promised:.2f} s")


def _missing_share(path: Path) -> float:
    """How much longer a RIFF file (wav, avi) claims to be than it is: FFmpeg believes the file, not the claim."""
    with path.open("rb") as file:
        head = file.read(8)
    claimed, size = int.from_bytes(head[4:], "little"), path.stat().st_size
    return claimed / size if head[:4] == b"RIFF" and size < claimed < UNKNOWN_SIZE else 1.0


def short(error: BaseException) -> str:
    """What a library says, in a line and without paths."""
    if said := getattr(error, "strerror", None):
        return str(said)  # without the path, which differs from machine to machine
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
