"""Search spaces: the hyperparameters of a method that ``g2d tune`` searches, and their ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Log:
    """A positive number, searched on a logarithmic scale.

    Args:
        low: Smallest value, included.
        high: Largest value, included.
        per_modality: Search one number for each modality.
    """

    low: float
    high: float
    per_modality: bool = False

    def __post_init__(self) -> None:
        assert 0 < self.low < self.high


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number.

    Args:
        low: Smallest value, included.
        high: Largest value, included.
    """

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values."""

    values: tuple[str | bool | float, ...]


Space = Log | Whole | Choice


def spaces(**arguments: Space) -> Mapping[str, Space]:
    """Return the search space of a method as a read-only mapping of arguments to ranges.

    Example:
        >>> dict(spaces(alpha=Log(0.1, 10)))
        {'alpha': Log(low=0.1, high=10, per_modality=False)}
    """
    return MappingProxyType(arguments)
