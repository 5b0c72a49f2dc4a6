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


def create(path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """An array of zeros whose room on the disk is taken now: a disk that fills up later would kill whoever writes to it, without a word."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def is_full(error: OSError) -> bool:
    """The disk is, or the user's share of it."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


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
        for block in blocks(
            np.flatnonzero(order != np.arange(len(order))),
            rows_at_once(values.dtype, values.shape[1:]),
        ):
            values[block] = values[order[block]]
        values.flush()
        _say_rows(path, values.dtype, shape)
    size = row_bytes(values.dtype, shape)
    del values
    with path.open("r+b") as file:
        file.truncate(_header_bytes(path) + size)


def _say_rows(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Another number of rows in the header, whose length stays: NumPy leaves room for the digits."""
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape},
    )
    assert len(header.getvalue()) == _header_bytes(path)
    with path.open("r+b") as file:
        file.write(header.getvalue())


def _header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell()
