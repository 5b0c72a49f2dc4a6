"""Fitting of the views of a store on the training rows of a protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g2d.data.lengths import MAX_TOKENS, length_to_keep, measured_rows
from g2d.data.store.arrays import blocks, rows_at_once
from g2d.data.store.facts import Signal
from g2d.data.views import Chain, read_chain
from g2d.data.views.step import Draw
from g2d.types import Input, Sequence

FITTED_ROWS = 2000
"""Number of training rows, evenly spaced, on which views of sound and pictures are fitted; those
of tables, sequences and text are fitted on all."""
_SAMPLED = frozenset({"audio", "image", "video"})


def complete_steps(
    steps: Iterable[Mapping[str, Any]],
    signal: Signal,
    train: NDArray[np.int64],
    stored: Callable[[NDArray[np.int64]], Input],
) -> list[Mapping[str, Any]]:
    """Return the steps of a user with a length for ``tokens`` that fits the data, if none is given.

    Without a tokenizer it is the length of the default view. A Hugging Face tokenizer makes other
    tokens, which are counted on training rows. Data whose default view has no length (stores of
    earlier versions) keep the default of the step.

    Args:
        steps: Per step its name and its options.
        signal: How the modality is stored.
        train: Numbers of the training rows.
        stored: Function from row numbers to their stored values.
    """
    lengths = [step["length"] for step in signal.view if "length" in step]
    return [
        {**step, "length": _tokens(step, lengths[0], train, stored)}
        if lengths and step.get("name") == "tokens" and "length" not in step
        else step
        for step in steps
    ]


def _tokens(
    step: Mapping[str, Any],
    length: int,
    train: NDArray[np.int64],
    stored: Callable[[NDArray[np.int64]], Input],
) -> int:
    """Return the length of a step ``tokens``, given that of the default view."""
    if not step.get("tokenizer"):
        return length
    most = max(MAX_TOKENS, length)
    (counting,) = read_chain("", [{**step, "length": most}]).steps
    rows = train[measured_rows(len(train))]
    counts: list[float] = []
    for block in blocks(rows, 256):
        tokens = counting(stored(block), Draw(0, 0, torch.from_numpy(block), train=False))
        assert isinstance(tokens, Sequence)
        counts += tokens.mask.sum(1).tolist()
    return int(length_to_keep(counts, most))


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
