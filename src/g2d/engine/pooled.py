"""Inputs of a model as one vector per row, for controls that need no deep learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from g2d.data import Loader, Source, Split
from g2d.data.splits import UNUSED
from g2d.data.views import Chain, LogSpectrogram
from g2d.data.views.sound import LogMel
from g2d.functional.spectrogram import as_float, log_spectrogram
from g2d.types import Input, Sequence

GRID = 8
"""Largest side of the grid that a picture is averaged to."""
BUCKETS = 4096
"""Number of columns that token ids are counted in."""
FRAME, HOP = 512, 256
"""Length and distance of the frames of sound that no view has turned into a spectrogram."""

Values = NDArray[np.float32]
Form = Literal["sound", "spectrogram", "other"]
"""Kind of input of a modality, where its shape does not show it."""


@dataclass(frozen=True)
class PooledRows:
    """Rows of a split as vectors.

    Args:
        values: Vectors ``(N, d)`` per modality; zero in rows that lack the modality.
        has: Which rows have the modality ``(N,)``, per modality.
        counts: Modalities whose vectors count tokens.
        target: Targets of the rows.
    """

    values: dict[str, Values]
    has: dict[str, NDArray[np.bool_]]
    counts: frozenset[str]
    target: Tensor


def pooled_rows(source: Source, split: Split, most: int, batch_size: int = 512) -> PooledRows:
    """Return rows of a split as vectors, pooled from what a model sees in its first epoch.

    Args:
        source: The data.
        split: Name of the split.
        most: Number of rows from which on evenly spread ones are taken.
        batch_size: Rows per step.
    """
    part = _spread(source, split, most)
    kept: dict[str, list[Values]] = {m: [] for m in source.modalities}
    has: dict[str, list[NDArray[np.bool_]]] = {m: [] for m in source.modalities}
    counts: set[str] = set()
    targets: list[Tensor] = []
    for batch in Loader(part, split, batch_size).epoch(1):
        targets.append(batch.target)
        for m, given in batch.inputs.items():
            own = batch.has(m)
            vectors, counted = pooled(given, form_of(source, m))
            kept[m].append((vectors * own[:, None]).numpy())
            has[m].append(own.numpy())
            counts |= {m} if counted else set()
    return PooledRows(
        {m: np.concatenate(parts) for m, parts in kept.items()},
        {m: np.concatenate(parts) for m, parts in has.items()},
        frozenset(counts),
        torch.cat(targets),
    )


def pooled(given: Input, form: Form = "other") -> tuple[Tensor, bool]:
    """Return one vector per row.

    - Pictures ``(B, C, H, W)`` and videos ``(B, C, T, H, W)``: averages over a grid of at most
      8 x 8 cells, and over the frames.
    - Spectrograms ``(B, C, bands, T)``: mean and standard deviation of every band.
    - Sound ``(B, L)``: the same of its spectrogram.
    - Token ids: how often each occurs, in 4,096 columns.
    - Sequences ``(B, T, d)``: the mean over the real steps.
    - Numbers ``(B, d)``: as they are.

    Args:
        given: Input of a model.
        form: Whether a vector is sound, and a grid a spectrogram.

    Returns:
        Vectors ``(B, d)``, float32 and finite, and whether they count tokens.

    Example:
        >>> pooled(torch.ones(2, 3, 20, 30))[0].shape, pooled(torch.ones(2, 5))[0].shape
        (torch.Size([2, 192]), torch.Size([2, 5]))
        >>> ids = torch.tensor([[3, 3, 1, 0]])
        >>> vectors, counted = pooled(Sequence(ids, ids > 0))
        >>> vectors[0, :4].tolist(), counted
        ([0.0, 1.0, 0.0, 2.0], True)
    """
    values, mask = (given.values, given.mask) if isinstance(given, Sequence) else (given, None)
    if not values.is_floating_point() and values.ndim == 2:
        return _counted(values, mask), True
    values = as_float(values) if values.dtype == torch.int16 else values.float()
    if form == "sound" and values.ndim == 2:
        form, mask, values = "spectrogram", None, log_spectrogram(values, FRAME, HOP)[:, None]
    if mask is not None:
        vectors = _masked_mean(values, mask)
    elif values.ndim >= 4 and form == "spectrogram":
        moments = values.mean(-1), values.std(-1, correction=0)
        vectors = torch.cat([moment.flatten(1) for moment in moments], 1)
    elif values.ndim >= 4:
        frames = values.mean(2) if values.ndim == 5 else values
        height, width = (min(GRID, side) for side in frames.shape[-2:])
        vectors = F.adaptive_avg_pool2d(frames, (height, width)).flatten(1)
    elif values.ndim == 3:
        vectors = values.mean(1)
    else:
        vectors = values.reshape(len(values), -1)
    return vectors.nan_to_num(0.0, 0.0, 0.0), False


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over real steps of sequences ``(B, T, ...)``."""
    flat = values.flatten(2) if values.ndim > 2 else values[..., None]
    real = mask[..., None].to(flat)
    return (flat * real).sum(1) / real.sum(1).clamp(min=1)


def _counted(ids: Tensor, mask: Tensor | None) -> Tensor:
    """Return how often every token id occurs in a row, ids modulo the number of columns."""
    real = (ids > 0 if mask is None else mask).float()
    return torch.zeros(len(ids), BUCKETS).scatter_add_(1, ids.long() % BUCKETS, real)


def form_of(source: Source, modality: str) -> Form:
    """Return whether a modality is sound, or a view makes a spectrogram of it."""
    view = source.views[modality]
    steps = view.steps if isinstance(view, Chain) else ()
    if any(isinstance(step, LogSpectrogram | LogMel) for step in steps):
        return "spectrogram"
    return "sound" if source.arrays[modality].dtype == np.int16 else "other"


def _spread(source: Source, split: Split, most: int) -> Source:
    """Return the source with at most that many rows of a split, evenly spread."""
    rows = source.rows(split)
    if len(rows) <= most:
        return source
    part = source.seen(source.views)
    part.split = source.split.copy()
    chosen = rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
    left_out = np.setdiff1d(rows, chosen)
    part.split[left_out] = UNUSED
    return part
