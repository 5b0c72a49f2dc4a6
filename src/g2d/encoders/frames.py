"""Image encoders on videos: every frame is encoded alone, features are averaged, tokens kept."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from g2d.types import Encoded


def over_frames(encode: Callable[[Tensor], Encoded], values: Tensor) -> Encoded:
    """Encode images at once, and videos frame by frame.

    Args:
        encode: Encoder of images ``(B, channels, H, W)``.
        values: Images ``(B, channels, H, W)`` or videos ``(B, channels, T, H, W)``.

    Returns:
        Pooled features ``(B, D)``, the mean over the frames, and the tokens ``(B, T * N, d)`` of
        all frames.

    Example:
        >>> import torch
        >>> encode = lambda images: Encoded(images.flatten(1))
        >>> over_frames(encode, torch.zeros(2, 3, 5, 4, 4)).pooled.shape
        torch.Size([2, 48])
    """
    if values.ndim == 4:
        return encode(values)
    rows, frames = values.shape[0], values.shape[2]
    encoded = encode(values.transpose(1, 2).flatten(0, 1))
    tokens = encoded.tokens
    if tokens is not None:
        tokens = tokens.unflatten(0, (rows, frames)).flatten(1, 2)
    return Encoded(encoded.pooled.unflatten(0, (rows, frames)).mean(1), tokens)
