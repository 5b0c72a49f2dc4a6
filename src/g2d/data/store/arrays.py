"""Arrays on disk that are read row by row and never as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError

AT_ONCE = 2**24
"""Bytes of an array that are looked at together."""


class StoredArray:
    """A ``.npy`` file, mapped into memory; rows are copied out when they are asked for.

    Unlike :class:`numpy.memmap` it travels to another process as its path, not as its bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataError(
                f"a store must hold {path.name}, found no such file in {path.parent}. Prepare it again."
            ) from None
        except (OSError, ValueError, EOFError, SyntaxError) as error:
            # NumPy takes what it does not know for a pickle, and advises to open it all the same.
            found = "something else" if "pickle" in str(error) else f"damage: {error}"
            raise DataError(
                f"{path} must be an array as a store holds it, found {found}. Prepare it again."
            ) from error

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


def row_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Of one row of an array."""
    return dtype.itemsize * int(np.prod(shape, dtype=np.int64))


def rows_at_once(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """As many rows as 16 MB hold: those of a video are large, those of a table many."""
    return max(1, min(4096, AT_ONCE // max(1, row_bytes(dtype, shape))))


def blocks(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers, a block at a time."""
    yield from (rows[start : start + size] for start in range(0, len(rows), size))
