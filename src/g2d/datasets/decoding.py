"""Decoding that several readers share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2d.errors import UnreadableError
from g2d.prepare.media import is_silent, read_audio


def read_audible(path: Path, rate: int, warnings: list[str]) -> NDArray[np.int16]:
    """Read mono sound ``(L,)``, and refuse silence.

    Args:
        path: File with an audio stream.
        rate: Samples per second of the result.
        warnings: List that receives a sentence if the file ends before its header says.

    Raises:
        UnreadableError: The sound is silent (``no-audio``), or cannot be read.
    """
    samples = read_audio(path, rate, warnings)
    if is_silent(samples):
        raise UnreadableError("no-audio", "its peak is under a thousandth of full scale")
    return samples


def text_bytes(words: str, length: int) -> NDArray[np.uint8]:
    """Return the UTF-8 bytes of a text, cut at a whole character and padded with zeros.

    Args:
        words: The text.
        length: Number of bytes of the result.

    Example:
        >>> text_bytes("né", 2).tobytes()
        b'n\\x00'
    """
    kept = words.encode()[:length].decode(errors="ignore").encode()
    stored = np.zeros(length, np.uint8)
    stored[: len(kept)] = np.frombuffer(kept, np.uint8)
    return stored
