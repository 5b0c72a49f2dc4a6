"""Recognize a file by its first bytes."""

from __future__ import annotations

import re
from pathlib import Path

from g2d.errors import MissingDependencyError, UnreadableError
from g2d.prepare.media import opened

STREAMS = "streams"
"""Kind of a container that may hold sound, video or both."""
_SIGNATURES = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|BM.{4}\0\0\0\0", "image"),
        (rb"RIFF.{4}WEBP", "image"),
        (rb"\x93NUMPY", "array"),
        (rb"RIFF.{4}WAVE|RF64.{4}WAVE|fLaC|ID3|\xff[\xfb\xf3\xf2\xfa\xf1\xf9]", "audio"),
        (rb"#!AMR|FORM.{4}AIF[FC]|\.snd|caff", "audio"),
        (rb"RIFF.{4}AVI |FLV\x01|\0\0\x01[\xb3\xba]", "video"),
        (rb".{4}ftyp(?:heic|heix|hevc|mif1|msf1|avif|avis)", None),
        (rb".{4}ftyp|\x1a\x45\xdf\xa3|OggS|\x30\x26\xb2\x75\x8e\x66\xcf\x11|.{4}moov", STREAMS),
    )
)
"""First bytes of files and their kind; None for pictures that Pillow cannot read."""


def kind_of_file(path: Path) -> str | None:
    """Return the kind of a file by its content: image, audio, video or array.

    Args:
        path: Path of a file; None is returned if it does not exist or is of no known kind.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            start = file.read(32)
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return None
    kind = next((kind for pattern, kind in _SIGNATURES if pattern.match(start)), None)
    return _streams(path) if kind == STREAMS else kind


def _streams(path: Path) -> str | None:
    """Return whether a container holds a video or only sound."""
    try:
        with opened(path) as container:
            if container.streams.video:
                return "video"
            return "audio" if container.streams.audio else None
    except (UnreadableError, MissingDependencyError):
        return None
