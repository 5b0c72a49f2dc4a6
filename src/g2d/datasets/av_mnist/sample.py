"""A made-up sample of AV-MNIST: small arrays in the form that circulates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PLANTED = {"train_00002": "non-finite"}
"""Broken rows, and the reason for which each must be skipped."""


def write_sample(folder: Path) -> dict[str, str]:
    """Write 60 training and 20 test rows, one of them with a NaN in its picture.

    Returns:
        The broken rows, and the reason for which each must be skipped.
    """
    rng = np.random.default_rng(0)
    base = folder / "avmnist"
    for split, rows in (("train", 60), ("test", 20)):
        labels = np.arange(rows, dtype=np.uint8) % 10
        image = rng.normal(0, 60, (rows, 784)) + 8 * labels[:, None]
        if split == "train":
            image[2, 5] = np.nan
        audio = rng.integers(0, 255, (rows, 112, 112)).astype(np.uint8)
        for kind, values in (("image", image), ("audio", audio)):
            (base / kind).mkdir(parents=True, exist_ok=True)
            np.save(base / kind / f"{split}_data.npy", values)
        np.save(base / f"{split}_labels.npy", labels)
    return PLANTED
