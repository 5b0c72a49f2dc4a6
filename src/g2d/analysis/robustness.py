"""What remains when a modality is corrupted, more and more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from g2d.analysis.rows import Predict, collect
from g2d.errors import ArgumentError
from g2d.task import Task
from g2d.types import Batch, Input
from g2d.types import Sequence as Padded

LEVELS = (0.0, 0.5, 1.0, 2.0, 4.0)


def under_corruption(
    predict: Predict,
    batches: Iterable[Batch],
    task: Task,
    modality: str,
    levels: Sequence[float] = LEVELS,
    seed: int = 0,
) -> dict[float, float]:
    """The fused score by the level of Gaussian noise on one modality's inputs.

    Between token ids there is no noise: of those the share that noise would have of the variance, s^2 / (1 + s^2), is replaced by drawn ones.

    Args:
        levels: standard deviations s of the noise, in units of the inputs' own over all rows; 0 is no noise.
        seed: of the noise, the same for every level.
    """
    rows = list(batches)
    if not rows or modality not in rows[0].inputs:
        raise ArgumentError(
            f"modality must be one of the inputs ({', '.join(rows[0].inputs) if rows else 'none'}), found {modality!r}."
        )
    std = torch.cat([_values(batch.inputs[modality]).flatten() for batch in rows]).std()
    found = {}
    for level in levels:
        g = torch.Generator().manual_seed(seed)
        noisy = [
            replace(
                batch,
                inputs={**batch.inputs, modality: _noisy(batch.inputs[modality], level, std, g)},
            )
            for batch in rows
        ]
        found[level] = float(collect(predict, noisy).hits(task).mean())
    return found


def _values(values: Input) -> torch.Tensor:
    return (values.values if isinstance(values, Padded) else values).float()


def _noisy(values: Input, level: float, std: torch.Tensor, generator: torch.Generator) -> Input:
    if isinstance(values, Padded) and values.symbols is not None:
        return _exchanged(values, level**2 / (1 + level**2), values.symbols, generator)
    plain = _values(values)
    noisy = plain + level * std * torch.randn(plain.shape, generator=generator).to(plain)
    if not isinstance(values, Padded):
        return noisy
    return Padded(
        torch.where(values.mask.reshape(*values.mask.shape, *[1] * (noisy.ndim - 2)), noisy, plain),
        values.mask,
    )


def _exchanged(tokens: Padded, share: float, symbols: int, generator: torch.Generator) -> Padded:
    """Some of the real tokens, and more of them the greater the share, are any token."""
    ids = tokens.values
    hit = torch.rand(ids.shape, generator=generator).to(ids.device) < share
    drawn = torch.randint(symbols, ids.shape, generator=generator).to(ids)
    return replace(tokens, values=torch.where(hit & tokens.mask, drawn, ids))
