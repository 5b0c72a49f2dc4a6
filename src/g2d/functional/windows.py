"""Lengths and windows of a run, given as whole epochs (int) or as shares of the run (float)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from g2d.errors import ArgumentError

Window = Sequence[int] | Sequence[float] | None
"""Epochs in which a method modulates, as a user may give them: see :func:`window_epochs`."""


def are_shares(lengths: Sequence[float]) -> bool:
    """Return whether lengths are shares of a run rather than whole epochs: one is a float.

    Example:
        >>> are_shares((0, 150)), are_shares((0, 0.5)), are_shares((0.0, 1.0))
        (False, True, True)
    """
    return any(isinstance(length, float) for length in lengths)


def share_epochs(share: float, epochs: int) -> int:
    """Return the whole epochs in a share of a run: floor(share * E).

    A share that is short of a whole epoch by less than 1e-6 epochs counts as the whole epoch, so
    that rounded shares mean what they were rounded from.

    Args:
        share: Share of the run, from 0 to 1.
        epochs: E, the length of the run.

    Example:
        >>> share_epochs(0.5, 300), share_epochs(0.5, 5), share_epochs(0.29, 100)
        (150, 2, 29)
    """
    return math.floor(share * epochs + 1e-6)


def first_epochs(length: float | None, epochs: int | None, argument: str = "length") -> int | None:
    """Return how many of the first epochs of a run a length covers, one or more for a share.

    Args:
        length: Whole epochs (an int), or a share of the run (a float, such as 0.1); None, the
            default of an option without an end, is returned as it is.
        epochs: Length of the run in epochs; needed for a share.
        argument: Name of the option, for the error message.

    Raises:
        ArgumentError: ``length`` is a share and ``epochs`` is None.

    Example:
        >>> first_epochs(10, None), first_epochs(0.1, 300), first_epochs(0.1, 4)
        (10, 30, 1)
    """
    if not isinstance(length, float):
        return length
    return max(1, share_epochs(length, _known(epochs, argument)))


def checked_length(length: float | None, argument: str = "length") -> float | None:
    """Check a number of epochs or a share of the run, see :func:`first_epochs`, and return it.

    Raises:
        ArgumentError: It is negative, or a share above 1.
    """
    if length is not None and not 0 <= length <= (1 if isinstance(length, float) else math.inf):
        raise ArgumentError(
            f"{argument} must be a whole number of epochs, or a share of the run between 0.0 and "
            f"1.0, found {length}."
        )
    return length


def checked_window(window: Window) -> tuple[int, int] | tuple[float, float] | None:
    """Check the epochs in which a method modulates.

    Args:
        window: See :func:`window_epochs`.

    Returns:
        The two numbers as a tuple, or None.

    Raises:
        ArgumentError: There are not two numbers, they are neither epochs nor shares, or the window
            is empty.

    Example:
        >>> checked_window([1, 51]), checked_window([0, 0.5]), checked_window(None)
        ((1, 51), (0.0, 0.5), None)
    """
    if window is None:
        return None
    pair = tuple(window)
    if len(pair) == 2 and are_shares(pair) and 0 <= pair[0] < pair[1] <= 1:
        return float(pair[0]), float(pair[1])
    if len(pair) == 2 and not are_shares(pair) and 1 <= pair[0] <= pair[1]:
        return int(pair[0]), int(pair[1])
    raise ArgumentError(
        "window must hold a first and a last epoch counted from 1, or where it begins and ends as "
        f"shares of the run such as (0.0, 0.5), found {pair}."
    )


def window_epochs(window: Window, epochs: int | None) -> tuple[int, float]:
    """Return the first and the last epoch of a window, counted from 1, both included.

    A window of shares (s, e) of E epochs goes from epoch floor(s E) + 1 to floor(e E), and contains
    at least one epoch.

    Args:
        window: First and last epoch (two ints), or where the window begins and ends as shares of
            the run (floats); None is all epochs.
        epochs: E, the length of the run; needed for shares.

    Raises:
        ArgumentError: The window is given in shares and ``epochs`` is None.

    Example:
        >>> window_epochs((0.0, 0.5), 300), window_epochs((0.5, 1.0), 5), window_epochs((1, 51), 9)
        ((1, 150), (3, 5), (1, 51))
        >>> window_epochs(None, None)
        (1, inf)
    """
    checked = checked_window(window)
    if checked is None:
        return 1, math.inf
    if not are_shares(checked):
        return int(checked[0]), int(checked[1])
    known = _known(epochs, "window")
    first = share_epochs(checked[0], known) + 1
    return first, max(first, share_epochs(checked[1], known))


def within(window: Window, epoch: int, epochs: int | None = None) -> bool:
    """Return whether an epoch is in a window.

    Args:
        window: See :func:`window_epochs`.
        epoch: Epoch, counted from 1.
        epochs: Length of the run in epochs; needed for a window in shares.

    Example:
        >>> within((1, 51), 51), within((1, 51), 52), within((0.0, 0.5), 51, 100)
        (True, False, False)
    """
    first, last = window_epochs(window, epochs)
    return first <= epoch <= last


def _known(epochs: int | None, argument: str) -> int:
    """Return the length of the run, which shares of it need."""
    if epochs is None:
        raise ArgumentError(
            f"epochs must be known for {argument} in shares of the run, found None. "
            f"Pass TrainState(epochs=...), or give {argument} in whole epochs."
        )
    return epochs
