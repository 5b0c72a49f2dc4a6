"""Find columns from which the target follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from g2d.datasets.table.columns import NUMBER, Profile
from g2d.datasets.table.kinds import LEFT_OUT, MOST_VALUES, override
from g2d.datasets.table.values import Layout

TIMES = 5
"""Rows per value from which it is no accident that the target follows from the value."""


class Leakage:
    """Columns of numbers and categories whose value decides the target, found row by row.

    Only columns with few different values are followed. A column is dropped at the first value
    that has two targets, so most columns cost a few rows.

    Args:
        layout: Modalities and their columns.
        columns: Profiles of the columns.
        target: Columns of the target.
    """

    def __init__(
        self, layout: Layout, columns: Mapping[str, Profile], target: Sequence[str]
    ) -> None:
        names = [
            name
            for m, group in layout.columns.items()
            if layout.kinds[m] == NUMBER
            for name in group
        ]
        self.target, self.rows = ", ".join(target), 0
        self.decided: dict[str, dict[str, list[float]]] = {
            name: {}
            for name in names
            if (values := columns[name].values)
            and 2 <= len(values) <= min(MOST_VALUES, columns[name].cells // TIMES)
            and not columns[name].lists
        }

    def add(self, cells: Mapping[str, Any], target: list[float]) -> None:
        """Count a row.

        Args:
            cells: Cells of the row by column.
            target: Target of the row in numbers.
        """
        if any(value != value for value in target):
            return
        self.rows += 1
        for name, decided in list(self.decided.items()):
            cell = cells.get(name)
            if cell is not None and decided.setdefault(str(cell).strip(), target) != target:
                del self.decided[name]

    def lines(self) -> Iterator[str]:
        """Yield a warning about every column from which the target follows."""
        for name, decided in self.decided.items():
            if len({tuple(target) for target in decided.values()}) > 1:
                yield (
                    f"the target {self.target} follows from {name} on all rows; if {name} is not "
                    f"known before the target, give {override(name, LEFT_OUT)}"
                )
