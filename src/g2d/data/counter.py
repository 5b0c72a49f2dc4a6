"""Random numbers that are a function of (seed, epoch, sample, draw) and of nothing else.

A sample gets the same numbers whatever the batch size, the number of workers, the device or the
point where a run was resumed, because no generator has a state. Uniform and whole numbers are the
same bit for bit; the logarithm in normal ones is rounded as the device does it. The hash is the
finalizer of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), chained over its keys.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BELOW_ONE = 1 - 2**-24
"""The greatest float32 below 1."""
_STEP = 0x9E3779B97F4A7C15 - 2**64
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


def uniform(seed: int, epoch: int, index: Tensor, draw: int, size: tuple[int, ...] = ()) -> Tensor:
    """Return uniform numbers in (0, 1), shape ``(B, *size)`` float32.

    Args:
        seed: Seed of the run.
        epoch: Epoch.
        index: Sample ids, shape ``(B,)`` int64.
        draw: Number of the draw; different draws of a sample are independent.
        size: Shape of the numbers of one sample.

    Example:
        >>> a = uniform(0, 1, torch.arange(4), 0)
        >>> torch.equal(uniform(0, 1, torch.tensor([2]), 0), a[2:3])
        True
    """
    key = torch.full_like(index, seed)
    for part in (epoch, index, draw):
        key = _mixed(key + _STEP) + part
    count = math.prod(size)
    cells = torch.arange(count, device=index.device)
    bits = _mixed(_mixed(key[:, None] + _STEP) + cells)
    # Take the 24 highest bits and add a half, which excludes 0. Above one half the sum is rounded
    # to even, so that the greatest value would become 1 without the bound.
    numbers = ((_shift(bits, 40) + 0.5) / 2**24).to(torch.float32).clamp(max=_BELOW_ONE)
    return numbers.reshape(len(index), *size)


def normal(seed: int, epoch: int, index: Tensor, draw: int, size: tuple[int, ...] = ()) -> Tensor:
    """Return standard normal numbers, shape ``(B, *size)`` float32.

    They are the Box-Muller transform of two draws. The arguments are those of :func:`uniform`.
    """
    pair = uniform(seed, epoch, index, draw, (2, *size))
    return (-2 * pair[:, 0].log()).sqrt() * torch.cos(2 * math.pi * pair[:, 1])


def integers(
    high: int | Tensor, seed: int, epoch: int, index: Tensor, draw: int, size: tuple[int, ...] = ()
) -> Tensor:
    """Return whole numbers from 0 to ``high - 1``, shape ``(B, *size)`` int64.

    Args:
        high: Number of different values; a number per sample ``(B,)`` if ``size`` is empty.
        seed: Seed of the run.
        epoch: Epoch.
        index: Sample ids, shape ``(B,)`` int64.
        draw: Number of the draw.
        size: Shape of the numbers of one sample.
    """
    numbers = (uniform(seed, epoch, index, draw, size).double() * high).long()
    return torch.minimum(numbers, torch.as_tensor(high - 1, device=numbers.device))


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift to the right and fill with zeros; torch's own shift fills with the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(x: Tensor) -> Tensor:
    """Apply the finalizer of SplitMix64."""
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)
