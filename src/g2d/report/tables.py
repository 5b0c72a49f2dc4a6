"""A table of results: what stands in its cells, and its forms: text, Markdown, CSV, LaTeX, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from g2d.report.formatting import ABSENT, aligned, number

BETTER, WORSE, TEST_SELECTED = "better", "worse", "test"
"""Marks of a cell or row: different from the baseline after correction, for the better or the worse; selected on the test split."""
SYMBOLS = {BETTER: "↑", WORSE: "↓", TEST_SELECTED: "(*)"}


@dataclass(frozen=True)
class Column:
    """What stands below a heading.

    Args:
        name: the heading.
        unit: written behind it in brackets.
        digits: after the point.
        signed: write a plus sign.
        group: columns of one group stay side by side where a table is broken for a narrow screen.
    """

    name: str
    unit: str = ""
    digits: int = 1
    signed: bool = False
    group: str = ""

    @property
    def heading(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Cell:
    """A number over seeds, a plain number, or a text.

    Args:
        value: the mean, in the column's unit; a text stands as it is; None is a dash.
        sd: standard deviation over seeds; None where there is one.
        n: how many seeds.
        low, high: a 95 % interval.
        p: a corrected p-value.
        marks: of :data:`SYMBOLS`.
    """

    value: float | str | None = None
    sd: float | None = None
    n: int = 1
    low: float | None = None
    high: float | None = None
    p: float | None = None
    marks: tuple[str, ...] = ()

    def text(self, column: Column) -> str:
        """The cell without its emphasis: ``84.2 ± 1.0``, ``+3.1 [1.2, 5.0]``, a text, or a dash."""
        if isinstance(self.value, str):
            return self.value
        shown = number(self.value, column.digits, signed=column.signed)
        if shown != ABSENT and self.sd is not None:
            shown += f" ± {number(self.sd, column.digits)}"
        if shown != ABSENT and self.low is not None and self.high is not None:
            shown += f" [{number(self.low, column.digits)}, {number(self.high, column.digits)}]"
        return " ".join([shown, *(SYMBOLS[mark] for mark in self.marks)])


@dataclass(frozen=True)
class Row:
    """A line.

    Args:
        name: what it is called.
        cells: one per column.
        marks: of :data:`SYMBOLS`, shown behind the name.
        kind: ``"run"``, ``"teacher"`` or ``"control"``.
    """

    name: str
    cells: tuple[Cell, ...]
    marks: tuple[str, ...] = ()
    kind: str = "run"

    @property
    def label(self) -> str:
        return " ".join([self.name, *(SYMBOLS[mark] for mark in self.marks)])


@dataclass(frozen=True)
class Table:
    """A table that knows its own caption.

    Args:
        title: what it shows, of which data.
        columns: without the names of the rows.
        rows: top to bottom.
        notes: sentences below it: protocol, selection rule, what the marks mean.
        corner: the heading of the rows' names.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    corner: str = field(default="")

    def only(self, *groups: str) -> Table:
        """The same table with the columns of these groups, and the notes that do not speak of others."""
        kept = [i for i, column in enumerate(self.columns) if column.group in groups]
        rows = tuple(replace(row, cells=tuple(row.cells[i] for i in kept)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=rows)

    def text(self, width: int | None = None) -> str:
        """Aligned columns. A table wider than ``width`` characters is broken between groups of columns, with the names repeated."""
        blocks = [self._block(columns) for columns in self._broken(width)]
        return "\n".join(
            [self.title, "", "\n\n".join(blocks), *(("", *self.notes) if self.notes else ())]
        )

    def markdown(self) -> str:
        """A Markdown table; bold is what differs from the baseline for the better."""
        cells = [
            [
                _escaped_bars(row.label),
                *(
                    _bold_if_better(_escaped_bars, cell, column, "**{}**")
                    for cell, column in self._pairs(row)
                ),
            ]
            for row in self.rows
        ]
        grid = aligned(
            [self.corner, *(_escaped_bars(column.heading) for column in self.columns)], cells
        )
        return "\n".join(
            [
                f"**{self.title}**",
                "",
                grid,
                *(("", *(f"- {note}" for note in self.notes)) if self.notes else ()),
            ]
        )

    def csv(self) -> str:
        """Full precision: a column per number; deviation, count, interval and p-value in columns of their own where there are any."""
        parts = [
            [part for part in PARTS if any(_has(row.cells[i], part) for row in self.rows)]
            for i in range(len(self.columns))
        ]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        headings = [
            name
            for c, found in zip(self.columns, parts, strict=True)
            for name in (c.heading, *(f"{c.name} {part}" for part in found))
        ]
        writer.writerow([self.corner or "name", *headings, "marks"])
        for row in self.rows:
            values: list[Any] = [row.name]
            for cell, found in zip(row.cells, parts, strict=True):
                values += [
                    _plain(cell.value),
                    *(
                        _plain(getattr(cell, part)) if cell.value is not None else ""
                        for part in found
                    ),
                ]
            writer.writerow(
                [
                    *values,
                    " ".join(
                        dict.fromkeys(
                            [*row.marks, *(mark for cell in row.cells for mark in cell.marks)]
                        )
                    ),
                ]
            )
        return out.getvalue()

    def latex(self) -> str:
        """A ``tabular`` in the manner of booktabs, in a ``table`` with the title and notes as its caption."""
        heading = " & ".join(
            _tex(text) for text in (self.corner, *(column.heading for column in self.columns))
        )
        lines = [
            " & ".join(
                [
                    _tex(row.label),
                    *(
                        _bold_if_better(_tex, cell, column, r"\textbf{{{}}}")
                        for cell, column in self._pairs(row)
                    ),
                ]
            )
            + r" \\"
            for row in self.rows
        ]
        body = [
            rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}",
            r"\toprule",
            heading + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
        ]
        caption = " ".join([self.title + ".", *self.notes])
        return "\n".join(
            [
                r"% \usepackage{booktabs}",
                r"\begin{table}",
                r"\centering",
                *body,
                rf"\caption{{{_tex(caption)}}}",
                r"\end{table}",
            ]
        )

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        columns = [{"name": column.name, "unit": column.unit} for column in self.columns]
        rows = [
            {
                "name": row.name,
                "kind": row.kind,
                "marks": list(row.marks),
                "cells": [
                    {key: value for key, value in asdict(cell).items() if value not in (None, ())}
                    for cell in row.cells
                ],
            }
            for row in self.rows
        ]
        return {"title": self.title, "columns": columns, "rows": rows, "notes": list(self.notes)}

    def _pairs(self, row: Row) -> Iterator[tuple[Cell, Column]]:
        return zip(row.cells, self.columns, strict=True)

    def _block(self, columns: Sequence[int]) -> str:
        header = [self.corner, *(self.columns[i].heading for i in columns)]
        return aligned(
            header,
            [
                [row.label, *(row.cells[i].text(self.columns[i]) for i in columns)]
                for row in self.rows
            ],
        )

    def _broken(self, width: int | None) -> list[list[int]]:
        """Indices of columns, block by block."""
        blocks: list[list[int]] = [[]]
        groups: dict[str, list[int]] = {}
        for i, column in enumerate(self.columns):
            groups.setdefault(column.group or f"#{i}", []).append(i)
        for group in groups.values():
            longer = [*blocks[-1], *group]
            if (
                width is not None
                and blocks[-1]
                and len(self._block(longer).partition("\n")[0]) > width
            ):
                blocks.append(group)
            else:
                blocks[-1] = longer
        return blocks


PARTS = ("sd", "n", "low", "high", "p")


def as_csv(tables: Sequence[Table]) -> str:
    return "\n".join(
        f"# {table.title}\n{table.csv()}" if len(tables) > 1 else table.csv() for table in tables
    )


def as_json(tables: Sequence[Table]) -> str:
    return (
        json.dumps(
            {"schema": 1, "tables": [table.plain() for table in tables]},
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "text": lambda tables: "\n\n".join(table.text() for table in tables) + "\n",
    "markdown": lambda tables: "\n\n".join(table.markdown() for table in tables) + "\n",
    "csv": as_csv,
    "latex": lambda tables: "\n\n".join(table.latex() for table in tables) + "\n",
    "json": as_json,
}
"""What several tables can be written as, but for the page."""


def _has(cell: Cell, part: str) -> bool:
    return cell.value is not None and getattr(cell, part) not in (
        (None, 1) if part == "n" else (None,)
    )


def _plain(value: Any) -> Any:
    return "" if value is None else value


def _bold_if_better(escape: Callable[[str], str], cell: Cell, column: Column, bold: str) -> str:
    text = escape(cell.text(column))
    return bold.format(text) if BETTER in cell.marks else text


def _escaped_bars(text: str) -> str:
    return text.replace("|", r"\|")


TEX = {
    "\\": r"\textbackslash{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "−": "$-$",
    "κ": r"$\kappa$",
    "²": r"$^2$",
    "τ": r"$\tau$",
    "<": "$<$",
    ">": "$>$",
    "Δ": r"$\Delta$",
}


def _tex(text: str) -> str:
    return "".join(TEX.get(character, character) for character in text)
