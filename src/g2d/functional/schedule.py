"""Sequential Modality Prioritization: who learns when, and how much (Eqs. 6-7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from statistics import fmean
from typing import Literal

from g2d.errors import ArgumentError

Others = Literal["mean", "sum", "min"]
_COMBINE: dict[str, Callable[[Sequence[float]], float]] = {"mean": fmean, "sum": sum, "min": min}


def stage(epoch: int, tau: Sequence[int]) -> int:
    """The stage j that a 1-based epoch belongs to: sum_{i<j} tau_i < e <= sum_{i<=j} tau_i  (Eq. 6).

    A stage of length zero is skipped; after the end of the schedule the last stage goes on.

    Raises:
        ArgumentError: the epoch is not 1-based, or a length is negative.

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


def prioritized(ranking: Sequence[str], epoch: int, tau: Sequence[int]) -> tuple[str, ...]:
    """The prioritized modalities M (Eq. 6): {pi[j]} in stage j = 1..k-1, all of them in the last stage.

    Args:
        ranking: pi, least confident first.
        tau: prioritization epochs tau_1..tau_k, one per modality.

    Raises:
        ArgumentError: tau has not one length per modality.

    Example:
        >>> [prioritized(("image", "tone"), e, (5, 5)) for e in (5, 6)]
        [('image',), ('image', 'tone')]
    """
    if len(tau) != len(ranking):
        raise ArgumentError(
            f"tau must hold one length per modality ({len(ranking)}: {', '.join(sorted(ranking))}), found {tuple(tau)}."
        )
    j = stage(epoch, tau)
    return tuple(ranking) if j == len(tau) else (ranking[j - 1],)


def coefficients(prioritized: Collection[str], modalities: Sequence[str]) -> dict[str, float]:
    """kappa^m = 1 if m is prioritized, else 0  (Eq. 7).

    Example:
        >>> coefficients(("tone",), ("image", "tone"))
        {'image': 0.0, 'tone': 1.0}
    """
    return {m: float(m in prioritized) for m in modalities}


def partial_suppression(
    scores: Mapping[str, float], *, strength: float = 1.0, against: Others = "mean"
) -> dict[str, float]:
    """Damp whoever is above the others: kappa^m = 1 - tanh(strength * x), x = s^m / mean_{j≠m} s^j, where x > 1; else 1.

    With the teachers' confidence as score this is the partial suppression of Table 6; with the student's own scores and a
    strength alpha it is the coefficient of OGM-GE. Denominators are kept above 1e-8.

    Args:
        scores: s^m per modality.
        strength: alpha; 0 damps nobody.
        against: what s^m is compared with: the ``"mean"``, the ``"sum"`` or the ``"min"`` of the other scores; the same for two
            modalities.

    Example:
        >>> {m: round(c, 6) for m, c in partial_suppression({"audio": 1.2, "video": 0.8}, strength=0.8).items()}
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


def checked_window(window: Sequence[int] | None) -> tuple[int, int] | None:
    """A first and a last epoch, counted from 1, in which a method modulates; None is always.

    Raises:
        ArgumentError: not two numbers, or the last is before the first.
    """
    if window is None:
        return None
    if len(window) != 2 or not 1 <= window[0] <= window[1]:
        raise ArgumentError(
            f"window must hold a first and a last epoch counted from 1, found {tuple(window)}."
        )
    return window[0], window[1]


def within(window: tuple[int, int] | None, epoch: int) -> bool:
    """Whether an epoch lies in a window, both ends included.

    Example:
        >>> within((1, 51), 51), within((1, 51), 52), within(None, 1000)
        (True, False, True)
    """
    return window is None or window[0] <= epoch <= window[1]
