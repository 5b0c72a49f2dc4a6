"""A made-up sample of Houses in the layout of its authors: small photographs and a table."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np

from g2d.datasets.houses.reader import TABLE, View
from g2d.datasets.sample_media import write_image

HOUSES = 20
PLANTED = {"004": "non-finite", "020": "missing-file"}
"""Broken houses, and the reason for which each must be skipped."""


def write_sample(folder: Path) -> dict[str, str]:
    """Write the table and four photographs of 20 houses; larger houses cost more.

    Returns:
        The broken houses, and the reason for which each must be skipped.
    """
    rng = np.random.default_rng(0)
    base = folder / "Houses Dataset"
    lines = []
    for number in range(1, HOUSES + 1):
        area = int(rng.integers(800, 4000))
        price = 0 if number == 4 else 200 * area
        lines.append(f"{number % 4 + 1} {number % 3 + 1} {area} {85_255 + number % 2} {price}")
        for view in get_args(View):
            if number < HOUSES or view != "frontal":
                pixels = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
                write_image(base / f"{number}_{view}.jpg", pixels)
    (base / TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return PLANTED
