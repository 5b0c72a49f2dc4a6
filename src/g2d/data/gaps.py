"""Rules for gaps: numbers that are missing or infinite, modalities that a row lacks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

Absent = Literal["lack", "skip"]
Unreadable = Literal["skip", "lack"]
Invalid = Literal["mean", "zero", "skip"]
OnError = Literal["stop", "absent", "skip"]
"""Ways to treat a new row with a cell that cannot be read."""


@dataclass(frozen=True)
class Gaps:
    """Rules for what a row does not have.

    Args:
        absent: What an empty cell, or a file without the wanted stream, does to its row: the row
            lacks the modality (``"lack"``), or it is left out (``"skip"``).
        unreadable: What a missing, damaged or silent file does to its row, in the same words.
        invalid: What replaces a number that is empty, NaN or infinite: the mean of the training
            rows (``"mean"``) or zero (``"zero"``); or ``"skip"`` leaves the row out.
    """

    absent: Absent = "lack"
    unreadable: Unreadable = "skip"
    invalid: Invalid = "mean"

    def plain(self) -> dict[str, str]:
        """Return the rules by name."""
        return asdict(self)

    def changed(self) -> dict[str, str]:
        """Return the rules that are not the default, which the content hash of a store covers."""
        usual = USUAL.plain()
        return {name: rule for name, rule in self.plain().items() if rule != usual[name]}


USUAL = Gaps()
"""Rules where the user gives none."""


def fill_invalid(
    values: NDArray[Any],
    invalid: Invalid,
    dtype: DTypeLike = np.float32,
    zero: NDArray[Any] | float = 0.0,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Convert numbers to a floating-point type, and replace those that are not finite in it.

    This is the one rule for cells of a table, arrays and sequences. NaN marks a number that the
    view replaces by the mean of the training rows.

    Args:
        values: The numbers, of any shape.
        invalid: What replaces an invalid number. With ``"skip"``, NaN stays and infinity
            becomes NaN, because the row will not be used.
        dtype: Type of the result.
        zero: The stored form of zero, a number or one per column.

    Returns:
        The numbers, and which of them are invalid.

    Example:
        >>> fill_invalid(np.array([1.0, np.inf, np.nan, 1e300]), "zero")[0].tolist()
        [1.0, 0.0, 0.0, 0.0]
        >>> fill_invalid(np.array([1.0, -np.inf]), "mean")[0].tolist()
        [1.0, nan]
    """
    with np.errstate(over="ignore"):
        stored = values.astype(dtype)
    bad = ~np.isfinite(stored)
    if bad.any():
        stored[bad] = np.broadcast_to(zero, stored.shape)[bad] if invalid == "zero" else np.nan
    return stored, bad


def without_numbers(bad: NDArray[np.bool_], mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return which rows ``(N,)`` have no valid number at all, and so lack the modality.

    Args:
        bad: Which numbers are invalid ``(N, ...)``.
        mask: Which steps are real ``(N, steps)``; None if all are.
    """
    rows = len(bad)
    counts, real = bad.reshape(rows, -1).sum(1), np.full(rows, bad[:1].size)
    if mask is not None:
        real = mask.sum(1) * bad[:1, 0].size
    lacking: NDArray[np.bool_] = (counts == real) & (real > 0)
    return lacking
