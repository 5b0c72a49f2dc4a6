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
