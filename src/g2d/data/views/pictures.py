"""Pictures and video: channels first, normalised, cropped and turned; every random choice is one of the sample, not of the batch."""

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
    """uint8 pixels as ``(x / 255 - mean) / std``, channels first.

    ``(B, H, W, 3)`` becomes ``(B, 3, H, W)``, video ``(B, T, H, W, 3)`` becomes ``(B, 3, T, H, W)``; without colors ``(B, 1, H, W)`` and,
    with ``frames``, ``(B, 1, T, H, W)``.

    Args:
        mean, std: per channel, of values in [0, 1].
        frames: grey pixels ``(B, T, H, W)`` are a video, not a picture with channels last.
    """

    takes: ClassVar[Form] = PIXELS
    name: Literal["pixels"] = "pixels"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    frames: bool = False

    def wants(self, values: Input) -> str | None:
        row = row_shape(values)
        if self.frames and len(row) != 3:
            return "grey video (rows, frames, height, width), as frames is true"
        channels = 1 if self._grey(row) else row[-1]
        wrong = next(
            (len(given) for given in (self.mean, self.std) if len(given) not in (1, channels)), None
        )
        return (
            None
            if wrong is None
            else f"pixels with as many channels as mean and std have numbers ({wrong})"
        )

    def _grey(self, row: tuple[int, ...]) -> bool:
        return len(row) == 2 or self.frames

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        pixels = plain(values)
        first = pixels[:, None] if self._grey(row_shape(pixels)) else pixels.movedim(-1, 1)
        shape = (1, -1, *(1,) * (first.ndim - 2))
        return (first.float() / 255 - column(self.mean, first).reshape(shape)) / column(
            self.std, first
        ).reshape(shape)


class Frames(Step):
    """Fewer frames ``(B, C, count, H, W)`` of a video: random ones in order in training, else evenly spread.

    Args:
        count: how many. random: draw them in training.
    """

    takes: ClassVar[Form] = VIDEO
    name: Literal["frames"] = "frames"
    count: int = Field(ge=1)
    random: bool = True

    @property
    def deterministic(self) -> bool:
        return not self.random

    def wants(self, values: Input) -> str | None:
        return f"at least {self.count} frames" if row_shape(values)[1] < self.count else None

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        video = plain(values)
        steps = video.shape[2]
        if draw.train and self.random:
            chosen = draw.uniform(0, (steps,)).argsort(1)[:, : self.count].sort(1).values
        else:
            chosen = (
                ((torch.arange(self.count, device=video.device) + 0.5) * steps / self.count)
                .long()
                .expand(len(video), -1)
            )
        return video[torch.arange(len(video), device=video.device)[:, None], :, chosen].movedim(
            1, 2
        )


class Crop(Step):
    """Random resized crop in training, plain resize otherwise; the aspect is not kept.

    A crop has an area of ``scale`` and an aspect of ``ratio``; ten are tried, then the largest central one is taken. Bilinear with antialias.

    Args:
        size: side of the result. scale: share of the area. ratio: width over height, drawn in its logarithm.
        per_frame: every frame of a video draws its own, as in the paper's code; else one crop holds for the clip.
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
                f"scale must be the least and the greatest share of the area, between 0 and 1, found {list(self.scale)}"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(
                f"ratio must be the least and the greatest width over height, above 0, found {list(self.ratio)}"
            )
        return self

    @property
    def deterministic(self) -> bool:
        return False

    def __call__(self, values: Input, draw: Draw) -> Tensor:
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
        return (
            _cut(flat, top, left, height, width, self.size)
            .reshape(rows, steps, channels, self.size, self.size)
            .transpose(1, 2)
        )

    def boxes(
        self, draw: Draw, size: tuple[int, ...], frames: int = 1
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Top, left, height and width in pixels, each ``(B, frames)``."""
        full_height, full_width = size
        tried = (frames, 10)
        area = (
            full_height
            * full_width
            * (self.scale[0] + (self.scale[1] - self.scale[0]) * draw.uniform(0, tried))
        )
        ratio = (
            math.log(self.ratio[0])
            + math.log(self.ratio[1] / self.ratio[0]) * draw.uniform(1, tried)
        ).exp()
        width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (width >= 1) & (height >= 1) & (width <= full_width) & (height <= full_height)
        first = fits.float().argmax(-1, keepdim=True)
        width, height = width.gather(-1, first)[..., 0], height.gather(-1, first)[..., 0]
        aspect = min(max(full_width / full_height, self.ratio[0]), self.ratio[1])
        none = ~fits.any(-1)
        width = torch.where(none, min(full_width, round(full_height * aspect)), width)
        height = torch.where(none, min(full_height, round(full_width / aspect)), height)
        place = draw.uniform(2, (frames, 2))
        top = torch.where(
            none,
            ((full_height - height) / 2).floor(),
            (place[..., 0] * (full_height - height + 1)).floor(),
        )
        left = torch.where(
            none,
            ((full_width - width) / 2).floor(),
            (place[..., 1] * (full_width - width + 1)).floor(),
        )
        return top, left, height, width


class Resize(Step):
    """To ``size`` x ``size``, bilinear with antialias; the aspect is not kept."""

    takes: ClassVar[Form] = PICTURES
    name: Literal["resize"] = "resize"
    size: int = Field(ge=1)

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        return _each_frame(plain(values), lambda flat: resized(flat, self.size))


class Flip(Step):
    """Left becomes right in training, with probability p; one choice for a clip, or one per frame."""

    takes: ClassVar[Form] = PICTURES
    name: Literal["flip"] = "flip"
    p: float = Field(0.5, ge=0, le=1)
    per_frame: bool = False

    @property
    def deterministic(self) -> bool:
        return self.p == 0

    def __call__(self, values: Input, draw: Draw) -> Tensor:
        pictures = plain(values)
        if not draw.train:
            return pictures
        frames = pictures.shape[2] if pictures.ndim == 5 and self.per_frame else 1
        turn = draw.uniform(0, (frames,)) < self.p
        where = turn[:, 0] if pictures.ndim == 4 else turn[:, None, :]
        return torch.where(
            where.reshape(*where.shape, *(1,) * (pictures.ndim - where.ndim)),
            pictures.flip(-1),
            pictures,
        )


def resized(pictures: Tensor, size: int) -> Tensor:
    """``(B, C, size, size)``, bilinear with antialias."""
    if pictures.shape[-2:] == (size, size):
        return pictures
    return F.interpolate(
        pictures, (size, size), mode="bilinear", antialias=True, align_corners=False
    )


def _each_frame(pictures: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    if pictures.ndim == 4:
        return change(pictures)
    rows, channels, steps = pictures.shape[:3]
    changed = change(pictures.transpose(1, 2).flatten(0, 1))
    return changed.reshape(rows, steps, channels, *changed.shape[-2:]).transpose(1, 2)


def _cut(
    pictures: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: int
) -> Tensor:
    """A box of each picture, resampled to ``size`` x ``size`` as :func:`resized` would, all at once."""
    rows, columns = (
        _triangles(*side, size)
        for side in ((top, height, pictures.shape[-2]), (left, width, pictures.shape[-1]))
    )
    return rows[:, None] @ pictures @ columns[:, None].transpose(-1, -2)


def _triangles(start: Tensor, length: Tensor, full: int, size: int) -> Tensor:
    """Weights ``(B, size, full)`` of the pixels of a line: bilinear, over as many of them as one of the result stands for."""
    scale = (length / size)[:, None, None]
    pixel = torch.arange(full, device=start.device) + 0.5
    center = start[:, None, None] + (torch.arange(size, device=start.device)[:, None] + 0.5) * scale
    inside = (pixel > start[:, None, None]) & (pixel < (start + length)[:, None, None])
    weights = (1 - (pixel - center).abs() / scale.clamp(min=1)).clamp(min=0) * inside
    return weights / weights.sum(-1, keepdim=True)
