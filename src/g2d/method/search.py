"""What is worth searching in a method's arguments: its strengths, with ranges that are the same for every user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Log:
    """A positive number between two others, searched by its logarithm.

    Args:
        low, high: both included.
        per_modality: one number for each modality, as a mapping.
    """

    low: float
    high: float
    per_modality: bool = False

    def __post_init__(self) -> None:
        assert 0 < self.low < self.high


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two others, both included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values."""

    values: tuple[str | bool | float, ...]


Space = Log | Whole | Choice


def spaces(**arguments: Space) -> Mapping[str, Space]:
    """A method's search: its arguments and what they may be; nobody can change it.

    Example:
        >>> dict(spaces(alpha=Log(0.1, 10)))
        {'alpha': Log(low=0.1, high=10, per_modality=False)}
    """
    return MappingProxyType(arguments)
