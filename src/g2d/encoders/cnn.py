"""A small convolutional network for images, spectrograms and short videos."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from g2d.configured import Configured
from g2d.encoders.frames import over_frames
from g2d.types import Encoded


class Halve(nn.Module):
    """Average pooling over 2 x 2 cells that keeps an axis of one cell as it is.

    20 ms of sound are two frames of a spectrogram, which would otherwise vanish.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Return the grid ``(B, channels, H, W)`` with sides of half the length."""
        return F.avg_pool2d(values, [min(2, side) for side in values.shape[-2:]])


class SmallCNN(Configured, nn.Module):
    """Convolutions of 3 x 3 with BatchNorm and ReLU, then an average over a coarse grid.

    The grid is halved after each of the first two convolutions. Inputs can have any size from
    1 x 1 on.

    Args:
        channels: Number of channels of images ``(B, channels, H, W)``; frames of a video
            ``(B, channels, T, H, W)`` are encoded one by one and averaged.
        widths: Number of channels after every convolution; D = ``widths[-1] * pool²``.
        pool: Side of the last grid, whose cells are also the tokens.

    Example:
        >>> import torch
        >>> encoder = SmallCNN(channels=3, widths=(4, 8))
        >>> encoder
        SmallCNN(channels=3, widths=(4, 8), pool=2)
        >>> encoder(torch.zeros(5, 3, 16, 16)).pooled.shape
        torch.Size([5, 32])
    """

    def __init__(
        self, *, channels: int = 1, widths: Sequence[int] = (12, 24, 48, 32), pool: int = 2
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            if i < 2:
                layers.append(Halve())
            channels = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(pool))

    def forward(self, values: Tensor) -> Encoded:
        """Encode images ``(B, channels, H, W)`` or videos ``(B, channels, T, H, W)``."""
        return over_frames(self._frame, values)

    def _frame(self, values: Tensor) -> Encoded:
        grid = self.layers(values)
        return Encoded(grid.flatten(1), grid.flatten(2).transpose(1, 2))
