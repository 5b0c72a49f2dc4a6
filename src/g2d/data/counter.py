"""Random numbers that are a function of (seed, epoch, sample, draw), and of nothing else.

A sample gets the same numbers whatever the batch size, the workers, the device or the point of resuming: there is no generator whose
state could differ. Uniform and whole numbers are the same bit for bit; the logarithm in normal ones is rounded as the device does it.
The hash is the finalizer of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014), chained over its keys.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BELOW_ONE = 1 - 2**-24
"""The float32 before 1."""
_STEP, _FIRST, _SECOND = (
    value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def uniform(seed: int, epoch: int, index: Tensor, draw: int, size: tuple[int, ...] = ()) -> Tensor:
    """Numbers in (0, 1), ``(B, *size)`` float32.

    Args:
        index: sample ids ``(B,)`` int64.
        draw: which of a sample's draws; different numbers are independent.

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
    # The 24 highest bits and a half, which keeps 0 out; beyond one half it is rounded to even, and the last value of all would be 1.
    return (
        ((_shift(bits, 40) + 0.5) / 2**24)
        .to(torch.float32)
        .clamp(max=_BELOW_ONE)
        .reshape(len(index), *size)
    )


def normal(seed: int, epoch: int, index: Tensor, draw: int, size: tuple[int, ...] = ()) -> Tensor:
    """Standard normal numbers, ``(B, *size)`` float32, by the Box-Muller transform of two draws."""
    pair = uniform(seed, epoch, index, draw, (2, *size))
    return (-2 * pair[:, 0].log()).sqrt() * torch.cos(2 * math.pi * pair[:, 1])


def integers(
    high: int, seed: int, epoch: int, index: Tensor, draw: int, size: tuple[int, ...] = ()
) -> Tensor:
    """Whole numbers 0..high-1, ``(B, *size)`` int64."""
    return (uniform(seed, epoch, index, draw, size).double() * high).long().clamp_max(high - 1)


def _shift(x: Tensor, bits: int) -> Tensor:
    """A logical shift to the right; torch's own fills with the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)
