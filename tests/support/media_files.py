"""Media files for tests: those of the made-up samples, and sound files with any header."""

from __future__ import annotations

import struct
from pathlib import Path

from g2d.datasets.sample_media import moving, tone, write_image, write_video, write_wav

__all__ = ["moving", "tone", "write_image", "write_riff", "write_video", "write_wav"]


def write_riff(path: Path, data: bytes, *, tag: int = 1, rate: int = 8_000, bits: int = 16) -> None:
    """Write a mono wav file with any header; tag 3 is floating point."""
    width = bits // 8
    head = (
        b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, tag, 1, rate, min(rate * width, 2**32 - 1), width, bits)
        + b"data"
        + struct.pack("<I", len(data))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", len(head) + len(data)) + head + data)
