"""Made-up arrays of every kind, for sources in memory and for files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from safetensors.numpy import save_file

ROWS = 60


def numbers() -> dict[str, Any]:
    """Return arrays without text: four modalities, a target of three classes, a group, a split."""
    rng = np.random.default_rng(0)
    table = rng.normal(5, 2, (ROWS, 3))
    table[::7, 1] = np.nan
    length = rng.integers(1, 6, ROWS)
    has_sound = np.arange(ROWS) % 5 > 0
    return {
        "photo": rng.integers(0, 256, (ROWS, 8, 8, 3), np.uint8),
        "table": table,
        "steps": rng.normal(size=(ROWS, 5, 2)).astype(np.float32),
        "steps.mask": np.arange(5) < length[:, None],
        "sound": rng.integers(-9000, 9000, (ROWS, 600)).astype(np.int16),
        "sound.present": has_sound,
        "target": rng.integers(0, 3, ROWS),
        "group": np.arange(ROWS) // 3,
        "split": np.arange(ROWS) // 3 % 3,
    }


def words() -> dict[str, Any]:
    """Return arrays with text: a text, labels, names, and words for splits."""
    rng = np.random.default_rng(1)
    return {
        "note": np.array([f"row {i} is {'böse' if i % 2 else 'good'}" for i in range(ROWS)]),
        "size": rng.normal(size=ROWS),
        "target": np.array(["no", "yes"])[np.arange(ROWS) % 2],
        "id": np.array([f"r{i}" for i in range(ROWS)]),
        "split": np.array(["train", "val", "test"])[np.arange(ROWS) % 3],
    }


def _write_npz(path: Path, arrays: Mapping[str, Any]) -> Path:
    np.savez(path.with_suffix(".npz"), **arrays)
    return path.with_suffix(".npz")


def _write_folder(path: Path, arrays: Mapping[str, Any]) -> Path:
    path.mkdir()
    for name, values in arrays.items():
        np.save(path / f"{name}.npy", values)
    return path


def _write_safetensors(path: Path, arrays: Mapping[str, Any]) -> Path:
    save_file(
        {name: np.ascontiguousarray(values) for name, values in arrays.items()},
        path.with_suffix(".safetensors"),
    )
    return path.with_suffix(".safetensors")


def _write_hdf5(path: Path, arrays: Mapping[str, Any]) -> Path:
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for name, values in arrays.items():
            text = values.dtype.kind == "U"
            file[name] = values.astype(object) if text else values
    return path.with_suffix(".h5")


WRITERS: dict[str, Callable[[Path, Mapping[str, Any]], Path]] = {
    "npz": _write_npz,
    "folder": _write_folder,
    "safetensors": _write_safetensors,
    "hdf5": _write_hdf5,
}
"""Functions that write arrays to ``path`` with the suffix of the format, and return the path."""
