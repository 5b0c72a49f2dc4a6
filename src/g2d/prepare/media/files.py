"""Open media files with FFmpeg (PyAV), decode them to the end, and check what headers promise."""

from __future__ import annotations

import stat
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
CONTAINERS = [
    "3dostr",
    "3g2",
    "3gp",
    "aac",
    "ac3",
    "aiff",
    "amr",
    "amrnb",
    "amrwb",
    "ape",
    "apng",
    "asf",
    "ast",
    "au",
    "av1",
    "avi",
    "caf",
    "dsf",
    "dts",
    "dtshd",
    "dv",
    "eac3",
    "ea",
    "flac",
    "flic",
    "flv",
    "gif",
    "gsm",
    "gxf",
    "h261",
    "h263",
    "h264",
    "hevc",
    "iff",
    "ircam",
    "ivf",
    "loas",
    "m4v",
    "matroska",
    "mjpeg",
    "mlp",
    "mov",
    "mp3",
    "mp4",
    "mpc",
    "mpc8",
    "mpeg",
    "mpegts",
    "mpegvideo",
    "mxf",
    "nistsphere",
    "nsv",
    "nut",
    "obu",
    "ogg",
    "oma",
    "qoa",
    "rm",
    "rso",
    "shn",
    "sds",
    "smjpeg",
    "sol",
    "sox",
    "spdif",
    "swf",
    "tak",
    "truehd",
    "tta",
    "vc1",
    "voc",
    "vvc",
    "w64",
    "wav",
    "webm",
    "wsaud",
    "wtv",
    "wv",
    "xa",
    "yuv4mpegpipe",
]
"""Formats of FFmpeg that hold sound or video and name no other file."""
SCRIPTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<MPD", b"v=0")
"""First bytes of playlists and scripts, which make FFmpeg read other files or addresses."""
ONLY_THIS_FILE = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
"""Options of FFmpeg that keep it from other formats and other sources."""
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
    """Refuse a path that cannot be a media file, with a clearer reason than a decoder gives.

    A pipe or a device is refused before it is opened, because reading it might never end.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableError("undecodable", f"{path.name} is not a regular file")
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
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(SCRIPTS):
        raise UnreadableError("undecodable", "it is a text that names other files, not a medium")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a media file with FFmpeg; nothing but this file is read.

    Only :data:`CONTAINERS` are opened: FFmpeg also has formats (playlists, scripts, numbered
    pictures) that make it read other files or addresses.

    Args:
        path: Media file.

    Raises:
        UnreadableError: The file cannot be opened, or an error occurs while it is decoded.
        MissingDependencyError: PyAV is not installed.
    """
    av = media_library("av")
    check_readable(path)
    media_library("av.logging").set_level(av.logging.PANIC)
    try:
        # "file:" because a file name can look like another protocol of FFmpeg ("take:1.wav").
        # Options of the container alone: PyAV before 18 crashes on MPEG if streams get them too.
        with av.open(f"file:{path}", container_options=ONLY_THIS_FILE) as container:
            yield container
    except (av.FFmpegError, EOFError, ValueError) as error:
        raise UnreadableError("undecodable", short(error)) from error


@dataclass
class Reach:
    """End of the last packet read so far, of any stream, in seconds."""

    end: float = 0.0


def decoded(container: Any, stream: Any, reach: Reach) -> Iterator[Any]:
    """Yield all frames of a stream, and move ``reach`` forward with the packets of all streams."""
    if stream.codec_context is None:  # PyAV before 18 crashes on it
        raise UnreadableError("undecodable", f"the codec of its {CALLED[stream.type]} is unknown")
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
