"""A small picture at a random place of a larger canvas, with clutter and noise."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from g2d.data.views.numbers import Scale
from g2d.data.views.step import GRID, Draw, Form, Step, plain
from g2d.types import Input


class Canvas(Step):
    """Put the picture of a training row on a canvas with patches of other pictures and noise.

    The canvas ``(B, 1, size, size)`` is drawn again in every epoch. Rows that are not used for
    training are stored as finished canvases and only get the channel axis.

    Args:
        bank: Training pictures in 0..1, shape ``(n, side, side)``; sample id ``i`` is row ``i``.
        size: Side of the canvas in pixels.
        patch: Side of a patch of clutter in pixels.
        noise: Standard deviation of the noise of a pixel.
        patches: Number of patches.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    takes: ClassVar[Form] = GRID
    name: Literal["canvas"] = "canvas"
    bank: Tensor = Field(exclude=True, repr=False)
    size: int = Field(default=16, ge=1)
    patch: int = Field(default=4, ge=1)
    noise: float = Field(default=0.2, ge=0)
    patches: int = Field(default=1, ge=0)

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch: it does not."""
        return False

    def predicting(self) -> Step | None:
        """Return a step that only adds the channel axis."""
        return Scale(std=1.0, channel=True)

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        """Return canvases with a channel axis, shape ``(B, 1, size, size)``."""
        stored = plain(values)
        if not draw.train:
            return stored[:, None]
        return self.compose(self.bank.to(stored.device)[draw.index], draw)[:, None]

    def compose(self, pictures: Tensor, draw: Draw) -> Tensor:
        """Draw canvases for some pictures.

        Args:
            pictures: Pictures in 0..1, shape ``(B, side, side)``.
            draw: Random numbers of their rows. Draws are numbered from 0 for every modality.

        Returns:
            Canvases, shape ``(B, size, size)``.
        """
        draw = replace(draw, stream=0)
        bank = self.bank.to(pictures.device)
        side = bank.shape[1]
        canvas = torch.zeros(len(pictures), self.size, self.size, device=pictures.device)
        for i in range(self.patches):
            # Numbers of the three draws of a patch; 0 places the picture and 4 is the noise.
            other, corner, spot = (1, 2, 3) if i == 0 else (3 * i + 2, 3 * i + 3, 3 * i + 4)
            source = bank[draw.integers(len(bank), other)]
            cut = source[_squares(draw.integers(side - self.patch + 1, corner, (2,)), self.patch)]
            _paste(canvas, cut, draw.integers(self.size - self.patch + 1, spot, (2,)))
        _paste(canvas, pictures, draw.integers(self.size - side + 1, 0, (2,)))
        return canvas + self.noise * draw.normal(4, (self.size, self.size))


def _squares(corner: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the index of a square of that side at the corner of every row."""
    steps = torch.arange(side, device=corner.device)
    rows = torch.arange(len(corner), device=corner.device)
    return (
        rows[:, None, None],
        (corner[:, :1] + steps)[:, :, None],
        (corner[:, 1:] + steps)[:, None, :],
    )


def _paste(canvas: Tensor, pictures: Tensor, corner: Tensor) -> None:
    """Write pictures onto the canvas in place; the brighter pixel wins."""
    where = _squares(corner, pictures.shape[1])
    canvas[where] = torch.maximum(canvas[where], pictures.to(canvas))
