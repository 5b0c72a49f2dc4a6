"""Sequential Modality Prioritization: who learns in an epoch, and how much (Eqs. 6-7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate, count
from statistics import fmean
from typing import Literal

from g2d.errors import ArgumentError

Others = Literal["mean", "sum", "min"]
Tau = Sequence[int] | Sequence[float] | Literal["none"] | None
"""Prioritization epochs tau, as a user may give them: see :func:`stage_epochs`."""
Window = Sequence[int] | Sequence[float] | None
"""Epochs in which a method modulates, as a user may give them: see :func:`window_epochs`."""
_COMBINE: dict[str, Callable[[Sequence[float]], float]] = {"mean": fmean, "sum": sum, "min": min}


def stage(epoch: int, tau: Sequence[int]) -> int:
    """Return the stage j of an epoch e: sum_{i<j} tau_i < e <= sum_{i<=j} tau_i  (Eq. 6).

    A stage of length zero is skipped. After the end of the schedule the last stage continues.

    Args:
        epoch: Epoch e, counted from 1.
        tau: Length of every stage in epochs.

    Returns:
        The number of the stage, counted from 1.

    Raises:
        ArgumentError: The epoch is below 1, or a length is negative.

    Example:
        >>> [stage(e, (75, 75, 150)) for e in (1, 75, 76, 150, 151, 300)]
        [1, 1, 2, 2, 3, 3]
        >>> stage(1, (0, 150))
        2
    """
    if epoch < 1:
        raise ArgumentError(f"epoch must be counted from 1, found {epoch}.")
    if not tau or min(tau) < 0:
        raise ArgumentError(f"tau must hold one non-negative length per stage, found {tuple(tau)}.")
    ends = accumulate(tau)
    return next((j for j, end in enumerate(ends, start=1) if epoch <= end), len(tau))


def checked_tau(tau: Tau, modalities: Sequence[str] | None = None) -> Tau:
    """Check prioritization epochs and return them, a list as a tuple.

    Args:
        tau: Prioritization epochs, see :func:`stage_epochs`.
        modalities: Names of the modalities, to check that there is one length for each.

    Raises:
        ArgumentError: tau is a text other than ``"none"``, holds a negative length, mixes epochs
            and shares, or does not hold one length per modality.

    Example:
        >>> checked_tau([15, 15]), checked_tau([0.5, 0.5]), checked_tau("none")
        ((15, 15), (0.5, 0.5), 'none')
    """
    if tau is None or tau == "none":
        return tau
    if isinstance(tau, str):
        raise ArgumentError(f"tau must be a list of lengths or 'none', found {tau!r}.")
    lengths = tuple(tau)
    if not lengths or min(lengths) < 0:
        raise ArgumentError(f"tau must hold one non-negative length per stage, found {lengths}.")
    if _are_shares(lengths) and abs(sum(lengths) - 1) > 1e-3:
        raise ArgumentError(
            f"tau must hold whole epochs, or shares of the run that add up to 1, found {lengths}."
        )
    if modalities is not None and len(lengths) != len(modalities):
        names = ", ".join(sorted(modalities))
        raise ArgumentError(
            f"tau must hold one length per modality ({len(modalities)}: {names}), found {lengths}."
        )
    return lengths


def stage_epochs(tau: Tau, epochs: int | None, modalities: Sequence[str]) -> tuple[int, ...]:
    """Return the prioritization epochs tau_1..tau_k as whole numbers of epochs.

    With shares, the exclusive stages together last floor(E * their shares) of E epochs. This part
    is divided by the shares, the remainder goes to the earlier stages, and all other epochs belong
    to the last stage.

    Args:
        tau: One of

            - whole epochs, one per modality, returned as they are;
            - shares of the run that add up to 1, one per modality: floating-point numbers;
            - None, the default: half of the run in equal exclusive stages, half for all
              modalities, as in the paper (150/150 and 75/75/150);
            - ``"none"``: no exclusive stage.
        epochs: E, the length of the run; needed unless tau holds whole epochs.
        modalities: Names of the k modalities.

    Raises:
        ArgumentError: ``epochs`` is needed but unknown, or too few for one epoch per stage.

    Example:
        >>> stage_epochs(None, 30, ("image", "tone", "word"))
        (8, 7, 15)
        >>> stage_epochs([0.5, 0.5], 4, ("image", "tone"))
        (2, 2)
        >>> stage_epochs("none", 4, ("image", "tone"))
        (0, 4)
        >>> stage_epochs(None, 1, ("image", "tone"))
        Traceback (most recent call last):
        g2d.errors.ArgumentError: epochs must be 2 or more to give each stage an epoch, found 1.
    """
    tau, k = checked_tau(tau, modalities), len(modalities)
    if isinstance(tau, tuple) and not _are_shares(tau):
        return tau
    if epochs is None:
        raise ArgumentError(
            "epochs must be known unless tau holds whole epochs, found None. "
            "Pass TrainState(epochs=...), or one number of epochs per modality as tau."
        )
    if isinstance(tau, tuple):
        shares = tuple(share / sum(tau) for share in tau)
    elif tau == "none" or k == 1:
        shares = (0.0,) * (k - 1) + (1.0,)
    else:
        shares = (0.5 / (k - 1),) * (k - 1) + (0.5,)
    if not _all_reached(shares, epochs):
        fewest = next(e for e in count(epochs + 1) if _all_reached(shares, e))
        raise ArgumentError(
            f"epochs must be {fewest} or more to give each stage an epoch, found {epochs}."
        )
    return _divided(shares, epochs)


def _are_shares(lengths: Sequence[float]) -> bool:
    """Return whether the lengths are shares of a run rather than whole epochs."""
    return any(isinstance(length, float) for length in lengths)


def _all_reached(shares: Sequence[float], epochs: int) -> bool:
    """Return whether every stage with a share gets at least one epoch."""
    lengths = _divided(shares, epochs)
    return all(length or not share for share, length in zip(shares, lengths, strict=True))


def _divided(shares: Sequence[float], epochs: int) -> tuple[int, ...]:
    """Divide epochs by shares; the largest remainders, and among equal ones the first, round up."""
    lengths = [share_epochs(share, epochs) for share in shares[:-1]]
    exclusive = max(share_epochs(sum(shares[:-1]), epochs), sum(lengths))
    by_remainder = sorted(
        range(len(lengths)), key=lambda j: round(lengths[j] - shares[j] * epochs, 6)
    )
    for j in by_remainder[: exclusive - sum(lengths)]:
        lengths[j] += 1
    return (*lengths, epochs - exclusive)


def prioritized(ranking: Sequence[str], epoch: int, tau: Sequence[int]) -> tuple[str, ...]:
    """Return the prioritized modalities M of an epoch (Eq. 6).

    M = {pi[j]} in stage j = 1..k-1, and all modalities in the last stage.

    Args:
        ranking: Modalities pi, the least confident first.
        epoch: Epoch, counted from 1.
        tau: Prioritization epochs tau_1..tau_k, one per modality.

    Raises:
        ArgumentError: The number of lengths differs from the number of modalities.

    Example:
        >>> [prioritized(("image", "tone"), e, (5, 5)) for e in (5, 6)]
        [('image',), ('image', 'tone')]
    """
    checked_tau(tau, ranking)
    j = stage(epoch, tau)
    return tuple(ranking) if j == len(tau) else (ranking[j - 1],)


def coefficients(prioritized: Collection[str], modalities: Sequence[str]) -> dict[str, float]:
    """Return kappa^m per modality: 1 if m is prioritized, else 0  (Eq. 7).

    Args:
        prioritized: Prioritized modalities M.
        modalities: All modalities, in the order of the data.

    Example:
        >>> coefficients(("tone",), ("image", "tone"))
        {'image': 0.0, 'tone': 1.0}
    """
    return {m: float(m in prioritized) for m in modalities}


def partial_suppression(
    scores: Mapping[str, float], *, strength: float = 1.0, against: Others = "mean"
) -> dict[str, float]:
    """Return coefficients that suppress modalities whose score is above that of the others.

    kappa^m = 1 - tanh(strength * x) with x = s^m / mean_{j≠m} s^j, where x > 1; else 1.

    With the teachers' confidence as score this is the partial suppression of Table 6. With the
    student's own scores and a strength alpha it is the coefficient of OGM-GE. Denominators are
    kept above 1e-8.

    Args:
        scores: Score s^m per modality.
        strength: Strength alpha; 0 suppresses no modality.
        against: Number that s^m is divided by: the ``"mean"``, the ``"sum"`` or the ``"min"`` of
            the other scores; all the same for two modalities.

    Returns:
        kappa^m per modality.

    Example:
        >>> kappa = partial_suppression({"audio": 1.2, "video": 0.8}, strength=0.8)
        >>> {m: round(value, 6) for m, value in kappa.items()}
        {'audio': 0.166345, 'video': 1.0}
    """
    if len(scores) < 2:
        return dict.fromkeys(scores, 1.0)
    combine = _COMBINE[against]
    ratio = {
        m: s / max(combine([other for j, other in scores.items() if j != m]), 1e-8)
        for m, s in scores.items()
    }
    return {m: 1.0 - math.tanh(strength * x) if x > 1 else 1.0 for m, x in ratio.items()}


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
    if len(pair) == 2 and _are_shares(pair) and 0 <= pair[0] < pair[1] <= 1:
        return float(pair[0]), float(pair[1])
    if len(pair) == 2 and not _are_shares(pair) and 1 <= pair[0] <= pair[1]:
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
    if not _are_shares(checked):
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
