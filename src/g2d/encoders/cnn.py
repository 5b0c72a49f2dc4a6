"""A small convolutional network for images, spectrograms and short videos."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from g2d.encoders.frames import over_frames
from g2d.types import Encoded


class Halve(nn.Module):
    """2x2 average pooling that leaves an axis alone which has but one cell: 20 ms of sound are two frames of a spectrogram."""

    def forward(self, values: Tensor) -> Tensor:
        return F.avg_pool2d(values, [min(2, side) for side in values.shape[-2:]])


class SmallCNN(nn.Module):
    """3x3 convolutions with BatchNorm and ReLU, halved by average pooling between them, then an average over a ``pool`` x ``pool`` grid.

    It takes any size from 1 x 1 on.

    Args:
        channels: of the input ``(B, channels, H, W)``; frames of a video ``(B, channels, T, H, W)`` are encoded one by one and averaged.
        widths: channels after every convolution; D = ``widths[-1] * pool²``.
        pool: side of the last grid, whose cells are also the tokens.
    """

    def __init__(
        self, *, channels: int = 1, widths: Sequence[int] = (12, 24, 48, 32), pool: int = 2
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, width in enumerate(widths):
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            if i < 2:
                layers.append(Halve())
            channels = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(pool))

    def forward(self, values: Tensor) -> Encoded:
        return over_frames(self._frame, values)

    def _frame(self, values: Tensor) -> Encoded:
        grid = self.layers(values)
        return Encoded(grid.flatten(1), grid.flatten(2).transpose(1, 2))
