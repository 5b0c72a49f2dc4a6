"""Arrays on disk that are read row by row and never as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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


def open_for_writing(path: Path) -> NDArray[Any]:
    """An existing array, writable in place."""
    values: NDArray[Any] = np.load(path, mmap_mode="r+", allow_pickle=False)
    return values


def copy_rows(source: Path, target: Path, rows: NDArray[np.int64], block: int = 1024) -> None:
    """Some rows of an array as a new one, a block at a time."""
    values = np.load(source, mmap_mode="r", allow_pickle=False)
    chosen = np.lib.format.open_memmap(target, mode="w+", dtype=values.dtype, shape=(len(rows), *values.shape[1:]))
    for start in range(0, len(rows), block):
        chosen[start : start + block] = values[rows[start : start + block]]
    chosen.flush()


def blocks(rows: NDArray[np.int64], size: int = 256) -> Iterator[NDArray[np.int64]]:
    """Row numbers, a block at a time."""
    yield from (rows[start : start + size] for start in range(0, len(rows), size))


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
