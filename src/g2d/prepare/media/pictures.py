"""Pictures from files (Pillow): upright, in three times 8 bits, at the size asked for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from g2d.errors import UnreadableError
from g2d.prepare.media.files import look, short

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""
SIXTEEN_BITS = frozenset({"PNG", "PPM"})
"""Kinds of pictures whose integers have at most 16 bits, though Pillow hands them over as 32."""
ORIENTATION = 274
TURNED = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What EXIF calls the way a camera was held, and what makes its picture upright."""


def read_image(path: Path | BinaryIO, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture as RGB, ``(H, W, 3)`` of the size asked for, bilinear with antialias; the aspect is not kept.

    It stands as its camera says (EXIF), and 16 bits of gray are scaled to 8.

    Raises:
        UnreadableError: ``missing-file``, ``lfs-pointer``, ``zero-length``, ``undecodable`` (damaged or cut off, or numbers whose range nobody says).
    """
    from PIL import Image, UnidentifiedImageError

    if isinstance(path, Path):
        look(path)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path) as picture,
        ):  # remarks on what is written beside the picture
            return resized(_colors(picture), size, gray=False)
    except UnidentifiedImageError as error:
        raise UnreadableError("undecodable", "it is no picture of a known kind") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableError("undecodable", short(error)) from error


def _colors(picture: Any) -> Any:
    """Three times 8 bits, upright. A picture of numbers must say by its kind how great they may be."""
    from PIL import Image

    picture.load()
    turned = TURNED.get(picture.getexif().get(ORIENTATION))
    upright = picture.transpose(Image.Transpose[turned]) if turned else picture
    if upright.mode.startswith("I;16") or (upright.mode == "I" and picture.format in SIXTEEN_BITS):
        return Image.fromarray(np.rint(np.asarray(upright) / 257).astype(np.uint8)).convert("RGB")
    if upright.mode in ("I", "F"):
        raise UnreadableError(
            "undecodable",
            f"it holds {'32-bit' if upright.mode == 'I' else 'floating point'} numbers of unknown range; save it with 8 or 16 bits",
        )
    return upright.convert("RGB")


def resized(
    picture: Any, size: tuple[int, int], gray: bool, box: Box | None = None
) -> NDArray[np.uint8]:
    """A Pillow picture, or a part of it, as an array of the size (H, W)."""
    from PIL import Image

    mode = picture.convert("L") if gray else picture
    height, width = size
    values: NDArray[np.uint8] = np.asarray(
        mode.resize((width, height), Image.Resampling.BILINEAR, box=box), dtype=np.uint8
    )
    return values
