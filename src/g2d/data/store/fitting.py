"""Fitting of the views of a store on the training rows of a protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.arrays import blocks, rows_at_once
from g2d.data.store.facts import Signal
from g2d.data.views import Chain
from g2d.types import Input

FITTED_ROWS = 2000
"""Number of training rows, evenly spaced, on which views of sound and pictures are fitted; those
of tables, sequences and text are fitted on all."""
_SAMPLED = frozenset({"audio", "image", "video"})


def fit_chain(
    chain: Chain,
    signal: Signal,
    train: NDArray[np.int64],
    stored: Callable[[NDArray[np.int64]], Input],
    present: NDArray[np.bool_] | None,
) -> Chain:
    """Return a view fitted on the training rows that have the modality.

    Args:
        chain: The view.
        signal: How the modality is stored.
        train: Numbers of the training rows.
        stored: Function from row numbers to their stored values.
        present: Which rows have the modality, shape ``(N,)``; None if all have it.
    """
    rows = train if present is None else train[present[train]]
    if signal.kind in _SAMPLED and len(rows) > FITTED_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, FITTED_ROWS).round().astype(np.int64)]

    def blockwise() -> Iterator[Input]:
        for block in blocks(rows, rows_at_once(np.dtype(signal.dtype), signal.shape)):
            yield stored(block)

    return chain.fitted(blockwise)
