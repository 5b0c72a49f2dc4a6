"""The modality that is furthest behind its teacher learns alone, for as long as that helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

CAUGHT_UP = 0.02
"""Lag at which a modality has caught up with its teacher."""
LEAST_GAIN, PATIENCE = 0.002, 3
"""A modality that gained less in this many epochs together has stopped learning."""


@dataclass(frozen=True, slots=True)
class Turns:
    """State of modalities that learn alone in turns, self-timed by their lag.

    The lag of a modality is its teacher's confidence in the true target minus that of the student's
    own prediction from the modality, both on the validation rows, at the end of an epoch. See
    :func:`next_turn`.

    Args:
        learner: The modality that learns alone in the next epoch; None if all learn.
        finished: Modalities that have had their turn.
        exclusive: Number of epochs in which one modality learned alone.
        lags: Lags of the learner: the smallest so far, then those of the last 3 epochs of its turn.
        over: Whether all modalities learn until the end of the run.
    """

    learner: str | None = None
    finished: tuple[str, ...] = ()
    exclusive: int = 0
    lags: tuple[float, ...] = ()
    over: bool = False


def next_turn(
    turns: Turns, lag: Mapping[str, float], most: int, *, smallest_first: bool = False
) -> Turns:
    """Return who learns in the next epoch.

    The modality with the largest lag learns alone until its lag is at most 0.02, or until 3 epochs
    together lowered its smallest lag by less than 0.002. The next one is the modality with the
    largest lag above 0.02 among those that have not had a turn. When there is none left, or after
    ``most`` exclusive epochs in all, all modalities learn until the end.

    Args:
        turns: The state during the epoch that has ended.
        lag: Lag of every modality at its end; NaN if it is unknown, which counts as none.
        most: Largest number of exclusive epochs.
        smallest_first: Whether the smallest lag above 0.02 learns first, instead of the largest.

    Example:
        >>> turns = next_turn(Turns(), {"image": 0.5, "tone": 0.1}, most=15)
        >>> turns.learner
        'image'
        >>> next_turn(turns, {"image": 0.01, "tone": 0.2}, most=15).learner
        'tone'
    """
    if turns.over:
        return turns
    if (learner := turns.learner) is not None:
        lags = _shortened((*turns.lags, lag[learner]))
        turns = replace(turns, exclusive=turns.exclusive + 1, lags=lags)
        if turns.exclusive < most and lags[-1] > CAUGHT_UP and not _has_stopped(lags):
            return turns
        turns = replace(turns, finished=(*turns.finished, learner))
    behind = {m: v for m, v in lag.items() if v > CAUGHT_UP and m not in turns.finished}
    if not behind or turns.exclusive >= most:
        return replace(turns, learner=None, lags=(), over=True)
    learner = (min if smallest_first else max)(behind, key=behind.__getitem__)
    return replace(turns, learner=learner, lags=(behind[learner],))


def _shortened(lags: tuple[float, ...]) -> tuple[float, ...]:
    """Return the last lags, and before them the smallest of all others."""
    rest = len(lags) - PATIENCE
    return (min(lags[:rest]), *lags[rest:]) if rest > 0 else lags


def _has_stopped(lags: tuple[float, ...]) -> bool:
    """Return whether the last epochs together gained too little."""
    return len(lags) > PATIENCE and lags[0] - min(lags[1:]) < LEAST_GAIN
