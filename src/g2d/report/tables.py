"""Tables of results, written as text, Markdown, CSV, LaTeX or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from g2d.files import csv_cell, one_line, one_of
from g2d.report.formatting import ABSENT, number

BETTER, WORSE, TEST_SELECTED = "better", "worse", "test"
"""Marks of a cell or row: better or worse than the baseline after correction; selected on the
test split."""
SYMBOLS = {BETTER: "↑", WORSE: "↓", TEST_SELECTED: "(*)"}
PAGE_WIDTH = 90
"""Characters that fit across a page; wider LaTeX tables are broken."""


@dataclass(frozen=True)
class Column:
    """Column of a table.

    Args:
        name: Heading.
        unit: Unit, appended to the heading in brackets.
        digits: Number of digits after the point.
        signed: Whether positive numbers get a plus sign.
        group: Columns of a group stay together when a wide table is broken.
    """

    name: str
    unit: str = ""
    digits: int = 1
    signed: bool = False
    group: str = ""

    @property
    def heading(self) -> str:
        """The name with its unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Cell:
    """Number over seeds, plain number, or text.

    Args:
        value: Mean in the column's unit, or a text; None becomes a dash.
        sd: Standard deviation over seeds; None for a single seed.
        n: Number of seeds.
        low: Lower end of the 95 % interval.
        high: Upper end of the interval.
        p: Corrected p-value.
        marks: Keys of :data:`SYMBOLS`.
    """

    value: float | str | None = None
    sd: float | None = None
    n: int = 1
    low: float | None = None
    high: float | None = None
    p: float | None = None
    marks: tuple[str, ...] = ()

    def text(self, column: Column) -> str:
        """Return the cell without emphasis.

        Example:
            >>> Cell(84.21, sd=1.04).text(Column("fused")), Cell().text(Column("fused"))
            ('84.2 ± 1.0', '-')
            >>> Cell(3.1, low=1.2, high=5.0, marks=(BETTER,)).text(Column("gain", signed=True))
            '+3.1 [1.2, 5.0] ↑'
        """
        if isinstance(self.value, str):
            return self.value
        text = number(self.value, column.digits, signed=column.signed)
        if text != ABSENT and self.sd is not None:
            text += f" ± {number(self.sd, column.digits)}"
        if text != ABSENT and self.low is not None and self.high is not None:
            text += f" [{number(self.low, column.digits)}, {number(self.high, column.digits)}]"
        return " ".join([text, *(SYMBOLS[mark] for mark in self.marks)])

    @property
    def numeric(self) -> bool:
        """Whether the cell is aligned to the right."""
        return not isinstance(self.value, str) or self.value[:1] in "+-0123456789<["


@dataclass(frozen=True)
class Row:
    """Row of a table.

    Args:
        name: Name of the row.
        cells: One cell per column.
        marks: Keys of :data:`SYMBOLS`, written after the name.
        kind: ``"run"``, ``"teacher"`` or ``"control"``.
    """

    name: str
    cells: tuple[Cell, ...]
    marks: tuple[str, ...] = ()
    kind: str = "run"

    @property
    def label(self) -> str:
        """The name with its marks."""
        return " ".join([self.name, *(SYMBOLS[mark] for mark in self.marks)])


@dataclass(frozen=True)
class Table:
    """Table with its title and notes.

    Args:
        title: Quantity and data.
        columns: Columns without that of the names.
        rows: Rows from top to bottom.
        notes: Sentences below the table: protocol, selection rule, meaning of the marks.
        corner: Heading of the names.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    corner: str = ""

    def only(self, *groups: str) -> Table:
        """Return the table with the columns of some groups.

        Args:
            groups: Names of column groups.

        Raises:
            ArgumentError: No column belongs to one of them.
        """
        known = list(dict.fromkeys(column.group for column in self.columns if column.group))
        for group in groups:
            one_of("a group of columns", group, known)
        return self._with([i for i, column in enumerate(self.columns) if column.group in groups])

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """Return the table for a terminal.

        A table that is too wide is broken between groups of columns, and the names are repeated.

        Args:
            width: Number of characters; by default the width of the terminal, or 80.
        """
        width = width or shutil.get_terminal_size((80, 24)).columns
        parts = [
            *([textwrap.fill(one_line(self.title), width)] if self.title else []),
            *(_drawn(block, width) for block in self._broken(width, 2)),
            *(
                ["\n".join(textwrap.fill(one_line(note), width) for note in self.notes)]
                if self.notes
                else []
            ),
        ]
        return "\n\n".join(parts)

    def markdown(self) -> str:
        """Return a Markdown table; bold marks what is better than the baseline."""
        title = [f"**{_markdown(self.title)}**", ""] if self.title else []
        notes = ["", *(f"- {_markdown(note)}" for note in self.notes)] if self.notes else []
        header = [_markdown(heading) for heading in self._headings()]
        return "\n".join([*title, _aligned(header, self._texts(_markdown, "**{}**")), *notes])

    def csv(self) -> str:
        """Return CSV with full precision.

        Standard deviation, number of seeds, interval and p-value get their own columns if present.
        """
        parts = [
            [part for part in PARTS if any(_has(row.cells[i], part) for row in self.rows)]
            for i in range(len(self.columns))
        ]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        headings = [
            heading
            for column, names in zip(self.columns, parts, strict=True)
            for heading in (column.heading, *(f"{column.name} {part}" for part in names))
        ]
        writer.writerow(map(csv_cell, [self.corner or "name", *headings, "marks"]))
        for row in self.rows:
            values: list[Any] = [row.name]
            for cell, names in zip(row.cells, parts, strict=True):
                absent = cell.value is None
                values += ["" if absent else getattr(cell, part) for part in ("value", *names)]
            marks = [*row.marks, *(mark for cell in row.cells for mark in cell.marks)]
            writer.writerow(map(csv_cell, [*values, " ".join(dict.fromkeys(marks))]))
        return out.getvalue()

    def latex(self) -> str:
        """Return a LaTeX ``table`` with a label, rules of booktabs, and the notes below.

        A table that is wider than a page is broken into several ``tabular`` below each other.
        """
        label = re.sub(r"\W+", "-", self.title.partition(":")[0].lower()).strip("-") or "results"
        blocks = [block._tabular() for block in self._broken(PAGE_WIDTH, 2)]
        notes = [rf"{_tex(note)}\par" for note in self.notes]
        if notes:
            start = r"\par\smallskip\begin{minipage}{\linewidth}\footnotesize"
            notes = [start, *notes, r"\end{minipage}"]
        head = [
            "% \\usepackage{booktabs}\n\\begin{table}",
            r"\centering\small\setlength{\tabcolsep}{4pt}",
            f"\\caption{{{_tex(self.title)}.}}\n\\label{{tab:{label}}}",
        ]
        body = "\n\\par\\medskip\n".join(blocks)
        return "\n".join([*head, body, *notes, r"\end{table}"])

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        columns = [{"name": column.name, "unit": column.unit} for column in self.columns]

        def plain(cell: Cell) -> dict[str, Any]:
            return {key: value for key, value in asdict(cell).items() if value not in (None, ())}

        rows = [
            {"name": row.name, "kind": row.kind, "marks": list(row.marks)}
            | {"cells": [plain(cell) for cell in row.cells]}
            for row in self.rows
        ]
        return {"title": self.title, "columns": columns, "rows": rows, "notes": list(self.notes)}

    def _with(self, kept: Sequence[int], *, full: bool = False) -> Table:
        """Return the table with some columns, and if wanted without rows that they leave empty."""
        rows = [replace(row, cells=tuple(row.cells[i] for i in kept)) for row in self.rows]
        if full:
            rows = [row for row in rows if any(c.value is not None for c in row.cells)] or rows
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=tuple(rows))

    def _headings(self) -> list[str]:
        return [one_line(text) for text in (self.corner, *(c.heading for c in self.columns))]

    def _texts(self, escape: Callable[[str], str], bold: str) -> list[list[str]]:
        """Return the escaped texts of all rows, with the better cells in bold."""

        def cells(row: Row) -> Iterator[str]:
            yield escape(row.label)
            for cell, column in zip(row.cells, self.columns, strict=True):
                text = escape(cell.text(column))
                yield bold.format(text) if BETTER in cell.marks else text

        return [list(cells(row)) for row in self.rows]

    def _tabular(self) -> str:
        rows = self._texts(_tex, r"\textbf{{{}}}")
        head, *body = [
            " & ".join(cells) + r" \\" for cells in [map(_stacked, self._headings()), *rows]
        ]
        begin = rf"\begin{{tabular}}{{l{'r' * len(self.columns)}}}"
        rules = r"\toprule", head, r"\midrule", *body, r"\bottomrule"
        return "\n".join([begin, *rules, r"\end{tabular}"])

    def _broken(self, width: int, gap: int) -> list[Table]:
        """Return tables with consecutive columns, each within the width if possible."""
        widths = self._widths()
        groups: dict[str, list[int]] = {}
        for i, column in enumerate(self.columns):
            groups.setdefault(column.group or f"#{i}", []).append(i)
        room = width - min(widths[0], width // 2)

        def size(columns: Sequence[int]) -> int:
            return sum(widths[1 + i] + gap for i in columns)

        blocks: list[list[int]] = [[]]
        for group in groups.values():
            for part in [group] if size(group) <= room else [[i] for i in group]:
                if blocks[-1] and size([*blocks[-1], *part]) > room:
                    blocks.append(list(part))
                else:
                    blocks[-1] += part
        return [self] if len(blocks) == 1 else [self._with(block, full=True) for block in blocks]

    def _widths(self) -> list[int]:
        """Return the least width of every column: headings may be broken between words."""
        texts = [
            [row.label, *(cell.text(c) for cell, c in zip(row.cells, self.columns, strict=True))]
            for row in self.rows
        ]
        return [
            max(map(len, [*heading.split(), *(row[i] for row in texts), ""]))
            for i, heading in enumerate(self._headings())
        ]


PARTS = ("sd", "n", "low", "high", "p")
"""Parts of a cell that get their own columns in CSV."""


def as_csv(tables: Sequence[Table]) -> str:
    """Return CSV; several tables are separated by their titles as comments."""
    return "\n".join(
        f"# {one_line(table.title)}\n{table.csv()}" if len(tables) > 1 else table.csv()
        for table in tables
    )


def as_json(tables: Sequence[Table]) -> str:
    """Return JSON."""
    content = {"schema": 1, "tables": [table.plain() for table in tables]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "text": lambda tables: "\n\n".join(table.text() for table in tables) + "\n",
    "markdown": lambda tables: "\n\n".join(table.markdown() for table in tables) + "\n",
    "csv": as_csv,
    "latex": lambda tables: "\n\n".join(table.latex() for table in tables) + "\n",
    "json": as_json,
}
"""Functions that write several tables, by format."""


def _drawn(table: Table, width: int) -> str:
    """Return the rows of a table, aligned by rich."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawing
    from rich.text import Text

    widths = table._widths()
    drawing = Drawing(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for i, heading in enumerate(table._headings()):
        text = Text("\n".join(_wrapped(heading, widths[i])))
        justify: Literal["left", "right"] = "right" if i else "left"
        drawing.add_column(text, justify=justify, no_wrap=i > 0, vertical="bottom")
    for cells in table._texts(one_line, "{}"):
        drawing.add_row(*map(Text, cells))
    out = io.StringIO()
    # In a notebook too, the table is text: rich would display it instead of writing it.
    console = Console(
        file=out, width=width, color_system=None, force_jupyter=False, legacy_windows=False
    )
    console.print(drawing)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with padded columns."""
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def _has(cell: Cell, part: str) -> bool:
    absent = (None, 1) if part == "n" else (None,)
    return cell.value is not None and getattr(cell, part) not in absent


_MARKUP = re.compile(r"[\\|`*~]|\](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
"""Characters where Markdown would read them as markup, a link, HTML or the end of a cell."""


def _markdown(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", one_line(text))


TEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {c: f"\\{c}" for c in "&%$#_{}"}
    | {"±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "κ": r"$\kappa$", "τ": r"$\tau$"}
    | {"−": "$-$", "²": "$^2$", "<": "$<$", ">": "$>$", "Δ": r"$\Delta$"}
)
"""LaTeX of the characters that need it."""


def _tex(text: str) -> str:
    return one_line(text).translate(TEX)


def _wrapped(heading: str, width: int) -> list[str]:
    return textwrap.wrap(heading, width, break_long_words=False, break_on_hyphens=False)


def _stacked(heading: str) -> str:
    """Return a LaTeX heading of several short lines."""
    lines = [_tex(line) for line in _wrapped(heading, 12)]
    if len(lines) < 2:
        return "".join(lines)
    return r"\begin{tabular}[b]{@{}r@{}}" + r"\\".join(lines) + r"\end{tabular}"
