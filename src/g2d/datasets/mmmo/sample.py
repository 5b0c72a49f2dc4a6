"""A made-up sample of ICT-MMMO in the HDF5 files of the Memory Fusion Network's repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from g2d.data.splits import SPLITS, TRAIN
from g2d.datasets.mmmo.reader import FILES, OPTIONAL, SHAPES


def write_sample(folder: Path, rows: int = 3) -> dict[str, str]:
    """Write some reviews of each split; text, as published, for validation and test only.

    Args:
        folder: Folder to write to.
        rows: Number of reviews of each split; their scores are 4.

    Returns:
        An empty mapping: no review must be skipped.
    """
    for split in SPLITS:
        for m, shape in SHAPES.items():
            if m == "target":
                write_array(folder / FILES[m].format(split), np.full((rows, 1), 4.0))
            elif m not in OPTIONAL or split != SPLITS[TRAIN]:
                write_array(folder / FILES[m].format(split), np.ones((rows, *shape)))
    return {}


def write_array(path: Path, values: Any) -> None:
    """Write an array as the data set ``d1`` of an HDF5 file."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["d1"] = values
