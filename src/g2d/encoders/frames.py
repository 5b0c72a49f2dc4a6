"""Encoders of pictures on videos: every frame on its own, features averaged, tokens kept."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from g2d.types import Encoded


def over_frames(encode: Callable[[Tensor], Encoded], values: Tensor) -> Encoded:
    """Encode ``(B, channels, H, W)`` as it is, and ``(B, channels, T, H, W)`` frame by frame.

    Returns:
        Pooled features ``(B, D)``, the mean over the frames; tokens ``(B, T * N, d)`` of all of them.
    """
    if values.ndim == 4:
        return encode(values)
    rows, frames = values.shape[0], values.shape[2]
    encoded = encode(values.transpose(1, 2).flatten(0, 1))
    tokens = (
        None
        if encoded.tokens is None
        else encoded.tokens.unflatten(0, (rows, frames)).flatten(1, 2)
    )
    return Encoded(encoded.pooled.unflatten(0, (rows, frames)).mean(1), tokens)
