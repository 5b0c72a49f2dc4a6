"""Arrays on disk that are read row by row and never as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError


class StoredArray:
    """A ``.npy`` file, mapped into memory; rows are copied out when they are asked for.

    Unlike :class:`numpy.memmap` it travels to another process as its path, not as its bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"a store must hold {path.name}, found no such file in {path.parent}. Prepare it again.") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} must be an array as a store holds it, found damage: {error}. Prepare it again.") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredArray, (self.path,)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._values.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._values.dtype

    @property
    def ndim(self) -> int:
        return self._values.ndim

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        return np.array(self._values[rows])


def create(path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """An array of zeros; where the file system can, it takes no room until it is written."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)


def open_for_writing(path: Path) -> np.memmap[Any, np.dtype[Any]]:
    """An existing array, writable in place."""
    values: np.memmap[Any, np.dtype[Any]] = np.load(path, mmap_mode="r+", allow_pickle=False)
    return values


def fill_holes(kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """What each row of an array becomes when only some rows are kept: most stay where they are, holes are filled from the end.

    Example:
        >>> fill_holes(np.array([0, 2, 3, 5])).tolist()
        [0, 5, 2, 3]
    """
    order = np.arange(len(kept))
    stay = kept[kept < len(kept)]
    order[np.setdiff1d(order, stay, assume_unique=True)] = kept[kept >= len(kept)]
    return order


def shrink(path: Path, order: NDArray[np.int64]) -> None:
    """Leave an array on disk with the rows of :func:`fill_holes`, in place: a store may take up most of a disk.

    Killed in between, it can be done again: no row that is read is ever written.
    """
    values = open_for_writing(path)
    shape = (len(order), *values.shape[1:])
    if len(values) > len(order):
        for block in blocks(np.flatnonzero(order != np.arange(len(order))), 1024):
            values[block] = values[order[block]]
        values.flush()
        _say_rows(path, values.dtype, shape)
    size = values.dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    del values
    with path.open("r+b") as file:
        file.truncate(_header_bytes(path) + size)


def _say_rows(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Another number of rows in the header, whose length stays: NumPy leaves room for the digits."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    assert len(header.getvalue()) == _header_bytes(path)
    with path.open("r+b") as file:
        file.write(header.getvalue())


def _header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell()


def blocks(rows: NDArray[np.int64], size: int = 256) -> Iterator[NDArray[np.int64]]:
    """Row numbers, a block at a time."""
    yield from (rows[start : start + size] for start in range(0, len(rows), size))


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
