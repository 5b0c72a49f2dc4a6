"""Sequential Modality Prioritization: who learns in an epoch, and how much (Eqs. 6-7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate, count
from statistics import fmean
from typing import Literal

from g2d.errors import ArgumentError
from g2d.functional.windows import are_shares, share_epochs

Others = Literal["mean", "sum", "min"]
Tau = Sequence[int] | Sequence[float] | Literal["none"] | None
"""Prioritization epochs tau, as a user may give them: see :func:`stage_epochs`."""
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
    if not lengths or not all(0 <= length < math.inf for length in lengths):
        raise ArgumentError(f"tau must hold one non-negative length per stage, found {lengths}.")
    if are_shares(lengths) and abs(sum(lengths) - 1) > 1e-3:
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
    if isinstance(tau, tuple) and not are_shares(tau):
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
