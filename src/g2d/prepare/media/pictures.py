"""Read images with Pillow: upright, 8-bit RGB, resized."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from g2d.errors import UnreadableError
from g2d.prepare.media.files import check_readable, media_library, short

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""
SIXTEEN_BITS = frozenset({"PNG", "PPM"})
"""File formats whose integers have at most 16 bits, although Pillow returns them as 32 bits."""
ORIENTATION = 274
"""EXIF tag of the orientation of the camera."""
_TURNS = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
UPRIGHT = dict(enumerate(_TURNS.split(), start=2))
"""Operation of Pillow that makes an image upright, by EXIF orientation."""
MOST_PIXELS = 2**27
"""Pixels of the largest picture or frame that is decoded (about 134 million)."""


def read_image(path: Path | BinaryIO, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read an image as RGB and resize it bilinearly with antialiasing, without keeping the aspect.

    The image is rotated as its EXIF orientation says; 16-bit gray values are scaled to 8 bits.

    Args:
        path: Image file, or an open binary file.
        size: Height and width of the result in pixels.

    Returns:
        Array ``(H, W, 3)``.

    Raises:
        UnreadableError: With the reason ``missing-file``, ``lfs-pointer``, ``zero-length`` or
            ``undecodable`` (damaged, cut off, or numbers of unknown range).
        MissingDependencyError: Pillow is not installed.
    """
    image_module = media_library("PIL.Image")
    if isinstance(path, Path):
        check_readable(path)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # about damaged metadata
            image_module.open(path) as picture,
        ):
            check_size(*picture.size)
            return resized(_as_rgb(picture), size, gray=False)
    except media_library("PIL").UnidentifiedImageError as error:
        raise UnreadableError("undecodable", "it is no image of a known format") from error
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise UnreadableError("undecodable", short(error)) from error


def check_size(width: int, height: int) -> None:
    """Refuse a picture whose pixels would fill the memory."""
    if width * height > MOST_PIXELS:
        raise UnreadableError("undecodable", f"its {width} x {height} pixels are too many")


def _as_rgb(picture: Any) -> Any:
    """Convert to upright 8-bit RGB; refuse integer or float images of unknown range."""
    image_module = media_library("PIL.Image")
    picture.load()
    operation = UPRIGHT.get(picture.getexif().get(ORIENTATION))
    upright = picture.transpose(image_module.Transpose[operation]) if operation else picture
    if upright.mode.startswith("I;16") or (upright.mode == "I" and picture.format in SIXTEEN_BITS):
        gray = np.rint(np.asarray(upright) / 257).astype(np.uint8)
        return image_module.fromarray(gray).convert("RGB")
    if upright.mode in ("I", "F"):
        kind = "32-bit" if upright.mode == "I" else "floating point"
        detail = f"it holds {kind} numbers of unknown range; save it with 8 or 16 bits"
        raise UnreadableError("undecodable", detail)
    return upright.convert("RGB")


def resized(
    picture: Any, size: tuple[int, int], gray: bool, box: Box | None = None
) -> NDArray[np.uint8]:
    """Resize a Pillow image, or a part of it, bilinearly with antialiasing.

    Args:
        picture: Pillow image.
        size: Height and width of the result in pixels.
        gray: Whether to keep the luminance only.
        box: Part of the image to keep; None for all of it.

    Returns:
        Array ``(H, W, 3)``, or ``(H, W)`` if ``gray``.
    """
    height, width = size
    bilinear = media_library("PIL.Image").Resampling.BILINEAR
    source = picture.convert("L") if gray else picture
    return np.array(source.resize((width, height), bilinear, box=box), np.uint8)
