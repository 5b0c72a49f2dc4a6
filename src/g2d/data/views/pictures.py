"""Steps for pictures and video. Every random choice belongs to a sample, not to a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from g2d.data.views.step import PICTURES, PIXELS, VIDEO, Draw, Form, Step, column, plain, row_shape
from g2d.types import Input

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pixels(Step):
    """Convert uint8 pixels to ``(x / 255 - mean) / std`` with the channels first.

    Pictures ``(B, H, W, 3)`` become ``(B, 3, H, W)`` and videos ``(B, T, H, W, 3)`` become
    ``(B, 3, T, H, W)``. Gray ones get a channel axis: ``(B, 1, H, W)`` and, with ``frames``,
    ``(B, 1, T, H, W)``.

    Args:
        mean: Mean per channel, of values in [0, 1].
        std: Standard deviation per channel, of values in [0, 1].
        frames: Whether pixels ``(B, T, H, W)`` are a gray video rather than a picture with its
            channels last.
    """

    takes: ClassVar[Form] = PIXELS
    name: Literal["pixels"] = "pixels"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    frames: bool = False

    def wants(self, values: Input) -> str | None:
        """Return what the options require of the values, or None if they fit."""
        row = row_shape(values)
        if self.frames and len(row) != 3:
            return "gray video (rows, frames, height, width), as frames is true"
        channels = 1 if self._gray(row) else row[-1]
        for numbers in (self.mean, self.std):
            if len(numbers) not in (1, channels):
                return f"pixels with as many channels as mean and std have numbers ({len(numbers)})"
        return None

    def _gray(self, row: tuple[int, ...]) -> bool:
        return len(row) == 2 or self.frames

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        """Return normalized pixels as float32, channels first."""
        pixels = plain(values)
        first = pixels[:, None] if self._gray(row_shape(pixels)) else pixels.movedim(-1, 1)
        shape = (1, -1, *(1,) * (first.ndim - 2))
        mean, std = (column(numbers, first).reshape(shape) for numbers in (self.mean, self.std))
        return (first.float() / 255 - mean) / std


class Frames(Step):
    """Choose ``count`` frames of a video, shape ``(B, C, count, H, W)``.

    Training rows get random frames in order, other rows evenly spread ones.

    Args:
        count: Number of frames.
        random: Whether the frames of training rows are random.
    """

    takes: ClassVar[Form] = VIDEO
    name: Literal["frames"] = "frames"
    count: int = Field(ge=1)
    random: bool = True

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch."""
        return not self.random

    def wants(self, values: Input) -> str | None:
        """Return what the options require of the values, or None if they fit."""
        return f"at least {self.count} frames" if row_shape(values)[1] < self.count else None

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        """Return the chosen frames."""
        video = plain(values)
        steps = video.shape[2]
        if draw.train and self.random:
            chosen = draw.uniform(0, (steps,)).argsort(1)[:, : self.count].sort(1).values
        else:
            middle = torch.arange(self.count, device=video.device) + 0.5
            chosen = (middle * steps / self.count).long().expand(len(video), -1)
        rows = torch.arange(len(video), device=video.device)[:, None]
        return video[rows, :, chosen].movedim(1, 2)


class Crop(Step):
    """Take a random crop of training rows and resize it; only resize other rows.

    Area and aspect of the crop are drawn from ``scale`` and ``ratio``. Ten draws are tried; if none
    fits, the largest central crop is taken. Resizing is bilinear with antialias and does not keep
    the aspect.

    Args:
        size: Side of the result in pixels.
        scale: Smallest and greatest area of the crop, as shares of the picture.
        ratio: Smallest and greatest width over height, drawn uniformly in the logarithm.
        per_frame: Whether every frame of a video draws its own crop, as in the paper's code,
            rather than one crop for the clip.
    """

    takes: ClassVar[Form] = PICTURES
    name: Literal["crop"] = "crop"
    size: int = Field(ge=1)
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    per_frame: bool = False

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(
                "scale must be the smallest and the greatest share of the area, between 0 and 1, "
                f"found {list(self.scale)}"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(
                "ratio must be the smallest and the greatest width over height, above 0, "
                f"found {list(self.ratio)}"
            )
        return self

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch: it does not."""
        return False

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        """Return pictures or videos with the side ``size``."""
        pictures = plain(values)
        if not draw.train:
            return _each_frame(pictures, lambda flat: resized(flat, self.size))
        frames = pictures.shape[2] if pictures.ndim == 5 and self.per_frame else 1
        top, left, height, width = self.boxes(draw, pictures.shape[-2:], frames)  # each (B, frames)
        if pictures.ndim == 4:
            return _cut(pictures, top[:, 0], left[:, 0], height[:, 0], width[:, 0], self.size)
        rows, channels, steps = pictures.shape[:3]
        flat = pictures.transpose(1, 2).flatten(0, 1)
        top, left, height, width = (
            side.expand(rows, steps).flatten() for side in (top, left, height, width)
        )
        cropped = _cut(flat, top, left, height, width, self.size)
        return cropped.reshape(rows, steps, channels, self.size, self.size).transpose(1, 2)

    def boxes(
        self, draw: Draw, size: tuple[int, ...], frames: int = 1
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the crops of some rows.

        Args:
            draw: Random numbers of the rows.
            size: Height and width of the pictures.
            frames: Number of crops per row.

        Returns:
            Top, left, height and width in pixels, each of shape ``(B, frames)``.
        """
        full_height, full_width = size
        tried = (frames, 10)
        share = self.scale[0] + (self.scale[1] - self.scale[0]) * draw.uniform(0, tried)
        area = full_height * full_width * share
        low, high = self.ratio
        ratio = (math.log(low) + math.log(high / low) * draw.uniform(1, tried)).exp()
        width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (width >= 1) & (height >= 1) & (width <= full_width) & (height <= full_height)
        first = fits.float().argmax(-1, keepdim=True)
        width, height = width.gather(-1, first)[..., 0], height.gather(-1, first)[..., 0]
        aspect = min(max(full_width / full_height, low), high)
        none = ~fits.any(-1)
        width = torch.where(none, min(full_width, round(full_height * aspect)), width)
        height = torch.where(none, min(full_height, round(full_width / aspect)), height)
        place = draw.uniform(2, (frames, 2))
        top, left = (
            torch.where(
                none,
                ((full - length) / 2).floor(),
                (place[..., axis] * (full - length + 1)).floor(),
            )
            for axis, (full, length) in enumerate(((full_height, height), (full_width, width)))
        )
        return top, left, height, width


class Resize(Step):
    """Resize to ``size`` x ``size``, bilinear with antialias, without keeping the aspect.

    Args:
        size: Side of the result in pixels.
    """

    takes: ClassVar[Form] = PICTURES
    name: Literal["resize"] = "resize"
    size: int = Field(ge=1)

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        """Return pictures or videos with the side ``size``."""
        return _each_frame(plain(values), lambda flat: resized(flat, self.size))


class Flip(Step):
    """Mirror training rows from left to right with probability ``p``.

    Args:
        p: Probability.
        per_frame: Whether every frame of a video decides on its own.
    """

    takes: ClassVar[Form] = PICTURES
    name: Literal["flip"] = "flip"
    p: float = Field(0.5, ge=0, le=1)
    per_frame: bool = False

    @property
    def deterministic(self) -> bool:
        """Whether a training row gets the same values in every epoch."""
        return self.p == 0

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        """Return the pictures or videos, some of them mirrored."""
        pictures = plain(values)
        if not draw.train:
            return pictures
        frames = pictures.shape[2] if pictures.ndim == 5 and self.per_frame else 1
        turn = draw.uniform(0, (frames,)) < self.p
        where = turn[:, 0] if pictures.ndim == 4 else turn[:, None, :]
        where = where.reshape(*where.shape, *(1,) * (pictures.ndim - where.ndim))
        return torch.where(where, pictures.flip(-1), pictures)


def resized(pictures: Tensor, size: int) -> Tensor:
    """Resize pictures to ``(B, C, size, size)``, bilinear with antialias.

    Args:
        pictures: Pictures with channels first, shape ``(B, C, H, W)``.
        size: Side of the result in pixels.
    """
    if pictures.shape[-2:] == (size, size):
        return pictures
    return F.interpolate(
        pictures, (size, size), mode="bilinear", antialias=True, align_corners=False
    )


def _each_frame(pictures: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of pictures to pictures, or to every frame of videos."""
    if pictures.ndim == 4:
        return change(pictures)
    rows, channels, steps = pictures.shape[:3]
    changed = change(pictures.transpose(1, 2).flatten(0, 1))
    return changed.reshape(rows, steps, channels, *changed.shape[-2:]).transpose(1, 2)


def _cut(
    pictures: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: int
) -> Tensor:
    """Cut a box out of each picture and resize it as :func:`resized` does, all rows at once."""
    rows = _triangles(top, height, pictures.shape[-2], size)
    columns = _triangles(left, width, pictures.shape[-1], size)
    return rows[:, None] @ pictures @ columns[:, None].transpose(-1, -2)


def _triangles(start: Tensor, length: Tensor, full: int, size: int) -> Tensor:
    """Return the bilinear weights ``(B, size, full)`` with which a line of pixels is resampled.

    Args:
        start: First pixel of the box in every row, shape ``(B,)``.
        length: Length of the box in pixels, shape ``(B,)``.
        full: Length of the line in pixels.
        size: Length of the result in pixels.
    """
    scale = (length / size)[:, None, None]
    pixel = torch.arange(full, device=start.device) + 0.5
    center = start[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale
    inside = (pixel > start[:, None, None]) & (pixel < (start + length)[:, None, None])
    weights = (1 - (pixel - center).abs() / scale.clamp(min=1)).clamp(min=0) * inside
    return weights / weights.sum(-1, keepdim=True)
