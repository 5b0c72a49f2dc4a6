"""Part of a diagnosis on a page, and the cells of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from g2d.report.curves import Figure
from g2d.report.formatting import Scale
from g2d.report.tables import Cell, Table

PLAIN = Scale()
SHARE = Scale(100.0, "%", 1)
"""Shares in percent that may be negative, like an explained variance or a loss of score."""


@dataclass(frozen=True)
class Part:
    """Part of a diagnosis: sentences, a table or a figure.

    Args:
        title: Heading.
        words: Sentences.
        tables: Tables without a title.
        figures: Figures.
    """

    title: str
    words: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()

    @property
    def broad(self) -> bool:
        """Whether the part takes the whole width of the page."""
        return bool(self.words) or any(len(table.columns) > 3 for table in self.tables)


def estimated(estimate: tuple[float, float, float] | float | None, scale: Scale) -> Cell:
    """Return the cell of a value, with its interval if it has one.

    Args:
        estimate: A value with the ends of its interval, a value, or None.
        scale: How it is printed.
    """
    if not isinstance(estimate, tuple):
        return Cell(scale.of(estimate))
    value, low, high = map(scale.of, estimate)
    return Cell(value, low=low, high=high)
