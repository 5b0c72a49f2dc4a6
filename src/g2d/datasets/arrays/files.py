"""Read arrays by name from the file formats that hold them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.arrays import read_npz
from g2d.errors import DataError
from g2d.files import import_extra, sha256

Arrays = dict[str, NDArray[Any]]


def read_arrays(path: Path) -> Arrays:
    """Read all arrays of a file, or of a folder of ``.npy`` files, in the order of their names.

    Some formats do not keep the order in which arrays were written.

    Args:
        path: A ``.npz``, ``.safetensors``, ``.h5`` or ``.hdf5`` file, or a folder.

    Raises:
        DataError: There is no such file, its format is unknown, or it is damaged.
        MissingDependencyError: The file is HDF5 and h5py is not installed.
    """
    if path.is_dir():
        return dict(sorted(_read_folder(path).items()))
    if not path.is_file():
        raise DataError(f"cannot read {path}: no such file or folder.")
    if path.suffix.lower() not in READERS:
        raise DataError(
            f"arrays must be in a file of {', '.join(READERS)}, or in a folder of .npy files, "
            f"found {path.name}."
        )
    return dict(sorted(READERS[path.suffix.lower()](path).items()))


def hash_of(path: Path) -> str:
    """Return a hash of the bytes of a file, or of all ``.npy`` files of a folder."""
    if path.is_file():
        return sha256(path)
    files = _files(path)
    listed = "".join(f"{file.name} {sha256(file)}\n" for file in files)
    return hashlib.sha256(listed.encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    """Return the ``.npy`` files of a folder; reading a pipe or device might never end."""
    files = sorted(folder.glob("*.npy"))
    if others := [path.name for path in files if not path.is_file()]:
        raise DataError(f"arrays in {folder} must be regular files, found {others[0]}.")
    return files


def _read_folder(folder: Path) -> Arrays:
    arrays: Arrays = {}
    for path in _files(folder):
        try:
            with path.open("rb") as file:
                arrays[path.stem] = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:  # A damaged header is parsed as Python and fails in many ways.
            raise DataError(
                f"{path} must be an .npy file of plain numbers or text, found: {error}."
            ) from error
    if not arrays:
        raise DataError(f"{folder} must hold .npy files, found none.")
    return arrays


def _read_safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, KeyError, TypeError, OSError) as error:
        raise DataError(
            f"{path} must be a safetensors file of types that NumPy has, found: {error}."
        ) from error


def _read_hdf5(path: Path) -> Arrays:
    h5py = import_extra("h5py", "hdf5", "reading HDF5 files")
    arrays: Arrays = {}
    try:
        with h5py.File(path, "r") as file:
            for name, values in file.items():
                text = h5py.check_string_dtype(values.dtype) is not None
                arrays[name] = np.asarray(values.asstr()[:], np.str_) if text else values[:]
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} must be an HDF5 file whose root holds arrays, found: {error}."
        ) from error
    return arrays


READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": read_npz,
    ".safetensors": _read_safetensors,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
}
"""Functions that read a file, by its suffix."""
