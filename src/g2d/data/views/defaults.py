"""Default views: the steps of a kind of modality where neither a store nor a recipe has others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Steps = tuple[Mapping[str, Any], ...]

NUMBERS: Steps = ({"name": "standardize"},)
SEQUENCE: Steps = ({"name": "standardize", "clip": 5.0},)
GRID: Steps = ({"name": "standardize", "axes": "all"},)
PIXELS: Steps = ({"name": "pixels"}, *GRID)
TEXT: Steps = ({"name": "tokens"},)


def text(tokens: int) -> Steps:
    """Return the default view of text.

    Args:
        tokens: Greatest number of tokens.

    Example:
        >>> text(128)
        ({'name': 'tokens', 'length': 128},)
    """
    return ({**TEXT[0], "length": tokens},)


def sound(rate: int | None = None) -> Steps:
    """Return the default view of sound: a standardized log-mel spectrogram.

    Args:
        rate: Samples per second. If it is None, the view is a log spectrogram, which needs none.

    Example:
        >>> sound(16_000)[0]["n_fft"]
        512
    """
    if rate is None:
        return {"name": "log_spectrogram", "n_fft": 256, "hop": 128}, *GRID
    n_fft = 2 ** round(math.log2(0.04 * rate))
    mel = {"name": "log_mel", "rate": rate, "n_fft": n_fft, "hop": rate // 100, "bands": 40}
    return mel, *GRID
