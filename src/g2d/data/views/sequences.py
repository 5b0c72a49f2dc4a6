"""Steps for padded sequences."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from g2d.data.views.step import Draw, Form, Step, row_shape
from g2d.types import Input, Sequence

SEQUENCES = Form(
    "a padded sequence of vectors (rows, steps, features)",
    lambda values: (
        isinstance(values, Sequence) and values.symbols is None and values.values.ndim == 3
    ),
)


class Pool(Step):
    """Average consecutive steps of a sequence, so that at most ``steps`` are left.

    Every n steps become one, n being the length of the stored sequences divided by ``steps``,
    rounded up. Padding does not count: the average is over the real steps.

    Args:
        steps: Greatest number of steps afterwards.

    Example:
        >>> import torch
        >>> values = torch.tensor([[[1.0], [3.0], [5.0], [0.0]]])
        >>> mask = torch.tensor([[True, True, True, False]])
        >>> draw = Draw(0, 0, torch.arange(1), train=False)
        >>> Pool(steps=2)(Sequence(values, mask), draw).values
        tensor([[[2.],
                 [5.]]])
    """

    takes: ClassVar[Form] = SEQUENCES
    name: Literal["pool"] = "pool"
    steps: int = Field(ge=1)

    def __call__(self, values: Input, draw: Draw) -> Sequence:
        """Return the shorter sequence; a step is real if it averages a real one."""
        assert isinstance(values, Sequence)
        each = -(-row_shape(values)[0] // self.steps)
        if each == 1:
            return values
        counts = _sums(values.mask[..., None].to(values.values), each)
        total = _sums(values.values * values.mask[..., None], each)
        return replace(values, values=total / counts.clamp(min=1), mask=counts[..., 0] > 0)


def _sums(values: Tensor, each: int) -> Tensor:
    """Return the sums ``(B, T / each, d)`` of every ``each`` consecutive steps."""
    missing = -values.shape[1] % each
    sums: Tensor = F.pad(values, (0, 0, 0, missing)).unflatten(1, (-1, each)).sum(2)
    return sums
