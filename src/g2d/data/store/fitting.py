"""What the views of a store learn on a protocol's training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.arrays import blocks, rows_at_once
from g2d.data.store.facts import Signal
from g2d.data.views import Chain
from g2d.types import Input

FITTED_ROWS = 2000
"""Training rows on which statistics of sound and pictures are learnt, evenly spaced; tables, sequences and text use all."""
_SAMPLED = frozenset({"audio", "image", "video"})


def fit_chain(
    chain: Chain,
    signal: Signal,
    train: NDArray[np.int64],
    stored: Callable[[NDArray[np.int64]], Input],
    present: NDArray[np.bool_] | None,
) -> Chain:
    """The chain with what it learns on the training rows that have the modality; where none has, it changes nothing.

    Args:
        train: their numbers. stored: values of some rows. present: ``(N,)``, which rows have the modality; None if all have.
    """
    rows = train if present is None else train[present[train]]
    if signal.kind in _SAMPLED and len(rows) > FITTED_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, FITTED_ROWS).round().astype(np.int64)]

    def blockwise() -> Iterator[Input]:
        for block in blocks(rows, rows_at_once(np.dtype(signal.dtype), signal.shape)):
            yield stored(block)

    return chain.fitted(blockwise)
