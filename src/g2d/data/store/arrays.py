"""Arrays on disk: ``.npy`` files that are read row by row, and ``.npz`` files read as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError

AT_ONCE = 2**24
"""Number of bytes of an array that are read at a time."""


def incomplete(folder: Path, name: str) -> str:
    """Return the sentence for a store without one of its files."""
    return f"the store {folder} is incomplete: there is no {name}. Prepare it again."


def open_array(path: Path) -> NDArray[Any]:
    """Map a ``.npy`` file of plain values into memory, without pickles.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The machine cannot read it.
        ValueError: It is not exactly one array; the message says what was found instead.
    """
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # a header is parsed as Python, and fails in many ways
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # NumPy takes unknown content for a pickle, and its message advises to open it anyway.
        reason = "something else" if "pickle" in str(error) else f"damage: {error}"
        raise ValueError(reason) from error
    if not isinstance(values, np.memmap):
        raise ValueError("several in one file (npz)")
    if path.stat().st_size != values.offset + values.nbytes:
        raise ValueError("more bytes than the array has")
    return values


def mapped_array(path: Path) -> NDArray[Any]:
    """Map an array of an unfinished preparation into memory.

    Args:
        path: The file.

    Raises:
        DataError: It is damaged.
    """
    try:
        return open_array(path)
    except ValueError as error:
        rule = f"{path} must be a plain array, found {error}"
        raise DataError(f"{rule}. Delete {path.parent} and prepare again.") from error


class StoredArray:
    """A ``.npy`` file mapped into memory. Indexing copies the rows out.

    Unlike :class:`numpy.memmap`, it is pickled as its path rather than its bytes, so that worker
    processes open the file themselves.

    Args:
        path: The file.

    Raises:
        DataError: There is no such file, or it is no array.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._values = open_array(path)
        except FileNotFoundError:
            raise DataError(incomplete(path.parent, path.name)) from None
        except ValueError as error:
            rule = f"{path} must be an array of a store, found {error}"
            raise DataError(f"{rule}. Prepare it again.") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredArray, (self.path,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, rows first."""
        return tuple(self._values.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self._values.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._values.ndim

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        return np.array(self._values[rows])


class CountedMask:
    """Masks of rows whose padding is at the end, made from the number of real steps.

    Args:
        counts: Number of real steps of every row, shape ``(N,)``.
        steps: Number of steps of a row, padding included.

    Example:
        >>> CountedMask(np.array([2, 0]), 3)[:]
        array([[ True,  True, False],
               [False, False, False]])
    """

    def __init__(self, counts: StoredArray | NDArray[Any], steps: int) -> None:
        self.counts, self.steps = counts, steps

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the mask, rows first."""
        return (*self.counts.shape, self.steps)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the mask."""
        return np.dtype(np.bool_)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, rows: Any) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = np.arange(self.steps) < self.counts[rows][..., None]
        return mask


def read_npz(path: Path, names: Iterable[str] = ()) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` file into memory, without pickles.

    Args:
        path: The file.
        names: Arrays that the file must hold.

    Raises:
        DataError: There is no such file, it is damaged, or it lacks one of the arrays.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"cannot read {path}: no such file.") from None
    except MemoryError:
        raise
    except Exception as error:  # archives and headers can be damaged in many ways
        # Opening a lone .npy file as an archive ends in one of the last two.
        lone = isinstance(error, AttributeError | TypeError)
        reason = "a lone array" if lone else getattr(error, "strerror", None) or str(error)
        if "pickle" in reason:  # what NumPy says about text and objects, with unsafe advice
            reason = "other content"
        raise DataError(f"{path} must be an .npz file of plain arrays, found: {reason}.") from error
    for name in names:
        if name not in arrays:
            raise DataError(f"{path} must hold the array {name!r}, found {', '.join(arrays)}.")
    return arrays


def row_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Return the size of one row in bytes.

    Args:
        dtype: Type of the values.
        shape: Shape of a row.
    """
    return dtype.itemsize * int(np.prod(shape, dtype=np.int64))


def rows_at_once(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Return how many rows to read at a time: as many as 16 MB hold, from 1 to 4096.

    Args:
        dtype: Type of the values.
        shape: Shape of a row.
    """
    return max(1, min(4096, AT_ONCE // max(1, row_bytes(dtype, shape))))


def blocks(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in blocks of at most ``size``."""
    yield from (rows[start : start + size] for start in range(0, len(rows), size))
