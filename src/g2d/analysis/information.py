"""Information that predictions of single modalities share, or hold only together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2d.errors import UnsupportedError
from g2d.task import Task

ROWS_PER_CELL = 4
"""Number of rows per occupied cell of a table that its entropy needs."""

Codes = NDArray[np.int64]


def mutual_information(first: Codes, second: Codes, *, corrected: bool = True) -> float:
    """Return the mutual information of two columns of class numbers, in bits.

    I(X; Y) = H(X) + H(Y) - H(X, Y), with entropies of the observed frequencies, to each of which
    (K - 1) / (2 N ln 2) is added for K occupied cells and N rows (Miller, 1955). Without this
    correction, information is overestimated on few rows.

    Args:
        first: Class numbers ``(N,)``.
        second: Class numbers ``(N,)``.
        corrected: Whether to correct the bias.

    Example:
        >>> x = np.array([0, 1] * 100)
        >>> mutual_information(x, x, corrected=False), mutual_information(x, 0 * x)
        (1.0, 0.0)
    """
    return (
        _entropy(first, corrected=corrected)
        + _entropy(second, corrected=corrected)
        - _entropy(_joined(first, second), corrected=corrected)
    )


def co_information(
    first: Codes, second: Codes, target: Codes, *, corrected: bool = True
) -> float | None:
    """Return the co-information of two modalities' predictions and the class, in bits.

    I(y1; Y) + I(y2; Y) - I(y1, y2; Y), which is redundancy minus synergy of a partial information
    decomposition: above 0 the modalities tell the same, below 0 they tell more together than
    apart.

    Args:
        first: Predicted classes of one modality ``(N,)``.
        second: Predicted classes of another modality ``(N,)``.
        target: True classes Y ``(N,)``.
        corrected: Whether to correct the bias, see :func:`mutual_information`.

    Returns:
        The co-information; None with fewer than :data:`ROWS_PER_CELL` rows per combination of
        classes that occurs, because the bias is too large to correct then.

    Example:
        >>> a, b = np.array([0, 0, 1, 1] * 25), np.array([0, 1, 0, 1] * 25)
        >>> co_information(a, b, a ^ b, corrected=False)
        -1.0
        >>> co_information(a, a, a, corrected=False)
        1.0
    """
    both = _joined(first, second)
    if len(target) < ROWS_PER_CELL * len(np.unique(_joined(both, target))):
        return None
    return (
        mutual_information(first, target, corrected=corrected)
        + mutual_information(second, target, corrected=corrected)
        - mutual_information(both, target, corrected=corrected)
    )


def co_informations(
    predictions: Mapping[str, Tensor], target: Tensor, has: Mapping[str, Tensor], task: Task
) -> dict[tuple[str, str], float | None]:
    """Return the corrected co-information of every pair of modalities.

    Args:
        predictions: Predicted classes ``(N,)``, or states of several labels ``(N, C)``, per
            modality alone.
        target: The true ones. Rows with the same labels have one class here.
        has: Rows that have the modality ``(N,)``, bool; only rows with both count.
        task: Kind of target.

    Raises:
        UnsupportedError: The targets are values.
    """
    if not task.discrete:
        raise UnsupportedError("co-information must have classes, found values.")
    codes = _codes({**predictions, "": target})
    pairs = {}
    for a, b in combinations(predictions, 2):
        rows = has[a] & has[b]
        columns = torch.stack([codes[a], codes[b], codes[""]])[:, rows].numpy()
        pairs[a, b] = co_information(*columns) if rows.any() else None
    return pairs


def _codes(answers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return answers ``(N,)`` or ``(N, C)`` as numbers ``(N,)``, equal where answers are equal."""
    every = torch.cat([answer.long() for answer in answers.values()])
    numbers = every if every.ndim == 1 else every.unique(dim=0, return_inverse=True)[1]
    return dict(zip(answers, numbers.chunk(len(answers)), strict=True))


def _joined(first: Codes, second: Codes) -> Codes:
    """Return one number per combination of two class numbers."""
    return first * (int(second.max(initial=0)) + 1) + second


def _entropy(codes: Codes, *, corrected: bool) -> float:
    """Return the entropy of a column, in bits."""
    counts = np.unique(codes, return_counts=True)[1]
    shares = counts / len(codes)
    bias = (len(counts) - 1) / (2 * len(codes) * math.log(2)) if corrected else 0.0
    return float(-(shares * np.log2(shares)).sum()) + bias
