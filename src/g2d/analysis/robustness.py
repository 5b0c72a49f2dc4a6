"""Score of a model whose modality is more and more corrupted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from g2d.analysis.rows import Predict, collect
from g2d.errors import ArgumentError
from g2d.files import one_of
from g2d.task import Task
from g2d.types import Batch, Input
from g2d.types import Sequence as Padded

LEVELS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Standard deviations of the noise, in units of the inputs' own."""


def under_corruption(
    predict: Predict,
    batches: Iterable[Batch],
    task: Task,
    modality: str,
    levels: Sequence[float] = LEVELS,
    seed: int = 0,
) -> dict[float, float]:
    """Return the fused score by the level of Gaussian noise on one modality's inputs.

    Token ids cannot take noise. Of them a random share is replaced by random tokens: the share
    s^2 / (1 + s^2) that noise of standard deviation s would have of the variance.

    Args:
        predict: Function that returns the Output for a batch.
        batches: Batches as the encoders take them.
        task: Kind of target.
        modality: Modality to corrupt.
        levels: Standard deviations s of the noise, in units of the inputs' own over all rows; 0
            is no noise.
        seed: Seed of the noise, the same for every level.

    Returns:
        The mean of :func:`~g2d.analysis.rows.hits` per level.

    Raises:
        ArgumentError: There are no rows, or no inputs of that modality.
    """
    rows = list(batches)
    if not rows:
        raise ArgumentError("batches must hold rows to analyze, found none.")
    one_of("modality", modality, rows[0].inputs)
    std = torch.cat([_values(batch.inputs[modality]).flatten() for batch in rows]).std()
    score = {}
    for level in levels:
        g = torch.Generator().manual_seed(seed)
        noisy = [
            replace(
                batch,
                inputs={**batch.inputs, modality: _noisy(batch.inputs[modality], level, std, g)},
            )
            for batch in rows
        ]
        score[level] = float(collect(predict, noisy).hits(task).mean())
    return score


def _values(values: Input) -> torch.Tensor:
    return (values.values if isinstance(values, Padded) else values).float()


def _noisy(values: Input, level: float, std: torch.Tensor, generator: torch.Generator) -> Input:
    """Add noise to an input; padding stays zero."""
    if isinstance(values, Padded) and values.symbols is not None:
        return _exchanged(values, level**2 / (1 + level**2), values.symbols, generator)
    plain = _values(values)
    noisy = plain + level * std * torch.randn(plain.shape, generator=generator).to(plain)
    if not isinstance(values, Padded):
        return noisy
    mask = values.mask.reshape(*values.mask.shape, *[1] * (noisy.ndim - 2))
    return Padded(torch.where(mask, noisy, plain), values.mask)


def _exchanged(tokens: Padded, share: float, symbols: int, generator: torch.Generator) -> Padded:
    """Replace a share of the real tokens by random ones."""
    ids = tokens.values
    hit = torch.rand(ids.shape, generator=generator).to(ids.device) < share
    drawn = torch.randint(symbols, ids.shape, generator=generator).to(ids)
    return replace(tokens, values=torch.where(hit & tokens.mask, drawn, ids))
