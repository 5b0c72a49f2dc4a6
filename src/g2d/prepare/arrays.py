"""Arrays on disk as preparation writes them."""

from __future__ import annotations

import errno
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.arrays import blocks, row_bytes, rows_at_once
from g2d.files import replaced


def create(path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """Create an array of zeros and reserve its space on the disk.

    Without the reservation, a process that writes to a memory-mapped file is killed without a
    message when the disk is full.

    Args:
        path: File to create.
        dtype: Type of the values.
        shape: Shape of the array.
    """
    np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def save(path: Path, values: NDArray[Any]) -> None:
    """Write a small array atomically."""
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)


def is_full(error: OSError) -> bool:
    """Return whether an error means that the disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def open_for_writing(path: Path) -> np.memmap[Any, np.dtype[Any]]:
    """Map an existing array into memory, writable in place."""
    values: np.memmap[Any, np.dtype[Any]] = np.load(path, mmap_mode="r+", allow_pickle=False)
    return values


def fill_holes(kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order of the rows after some were dropped: holes are filled from the end.

    Most rows stay where they are, so that :func:`shrink` moves few of them.

    Args:
        kept: Numbers of the rows to keep, ascending.

    Example:
        >>> fill_holes(np.array([0, 2, 3, 5])).tolist()
        [0, 5, 2, 3]
    """
    order = np.arange(len(kept))
    stay = kept[kept < len(kept)]
    order[np.setdiff1d(order, stay, assume_unique=True)] = kept[kept >= len(kept)]
    return order


def shrink(path: Path, order: NDArray[np.int64]) -> None:
    """Reduce an array on disk to some of its rows, in place, because a store can fill a disk.

    If interrupted, it can be repeated: a row that is read is never overwritten.

    Args:
        path: File of the array.
        order: Rows to keep, as :func:`fill_holes` orders them.
    """
    values = open_for_writing(path)
    shape = (len(order), *values.shape[1:])
    if len(values) > len(order):
        moved = np.flatnonzero(order != np.arange(len(order)))
        for block in blocks(moved, rows_at_once(values.dtype, values.shape[1:])):
            values[block] = values[order[block]]
        values.flush()
        _write_shape(path, values.dtype, shape)
    size = row_bytes(values.dtype, shape)
    del values
    with path.open("r+b") as file:
        file.truncate(_header_bytes(path) + size)


def _write_shape(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Write another number of rows into the header; its length stays, because NumPy pads it."""
    header, descr = BytesIO(), np.lib.format.dtype_to_descr(dtype)
    facts = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, facts)
    assert len(header.getvalue()) == _header_bytes(path)
    with path.open("r+b") as file:
        file.write(header.getvalue())


def _header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell()
