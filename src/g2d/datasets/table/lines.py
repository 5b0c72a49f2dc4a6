"""Sentences about what was decided for the columns of a table, each with the way to change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from g2d.datasets.table.columns import FILES, Profile
from g2d.datasets.table.kinds import CATEGORY, CHOICES, COUNTER, UNUSED, Decision, override
from g2d.datasets.table.rows import TableFile

LINES_AT_MOST = 40
"""Number of columns that get a line of their own."""
SHOWN = 6
"""Number of columns and classes that a line names."""
SIGNS = {".": "point", ",": "comma"}


def first(names: Sequence[str]) -> str:
    """Return the first names as text."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def table_lines(table: TableFile, roles: Mapping[str | None, str]) -> Iterator[str]:
    """Yield lines about cells that mean nothing and about rewritten numbers and paths.

    Args:
        table: The table.
        roles: Role of the columns that are no modality.
    """
    yield from table.notes
    columns = table.columns
    rewritten = [name for name in table.numeric if columns[name].respelled]
    if table.decimal == "," or rewritten:
        other = {".": "comma", ",": "point"}[table.decimal]
        decisive = [n for n in columns if columns[n].tally.alone or n in rewritten]
        examples = [f"{name} ({columns[name].example})" for name in decisive]
        yield (
            f"numbers: decimal {SIGNS[table.decimal]}, as in {first(examples) or 'no column'}; "
            f"to change: decimal={other}"
        )
    nothing = {name: column.nothing for name, column in columns.items() if column.nothing}
    if nothing:
        counts = [
            f"{roles.get(name, '')} {name}".strip()
            + f" ({', '.join(f'{cell} {count}' for cell, count in cells.most_common(3))})"
            for name, cells in nothing.items()
        ]
        yield f"cells that mean nothing: {first(counts)}; to keep them: missing=[]"
    if table.windows:
        named = first([name for name in columns if name in table.windows])
        yield f"paths: backslashes are read as slashes in {named}"


def decision_lines(
    columns: Mapping[str, Profile], decisions: Mapping[str, Decision]
) -> Iterator[str]:
    """Yield a line about every column whose kind was decided, those that are left out first.

    Args:
        columns: Profiles of the columns.
        decisions: Kinds of the columns.
    """
    decided = [(name, decision) for name, decision in decisions.items() if not decision.given]
    decided.sort(key=lambda item: item[1].kind not in UNUSED)
    for name, decision in decided[:LINES_AT_MOST]:
        choices = [choice for choice in CHOICES if choice != decision.kind]
        yield f"column {name!r}: {_what(columns[name], decision)}; to change: " + override(
            name, *choices
        )
    if rest := [name for name, _ in decided[LINES_AT_MOST:]]:
        yield f"{len(rest)} more columns: {first(rest)}; to change: {override(rest[0], *CHOICES)}"


def unknown_categories(columns: Mapping[str, Profile], facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line about every column of new rows with values that no training row had.

    Args:
        columns: Profiles of the columns of the new rows.
        facts: Facts of the modality, with the values of each category.
    """
    for name, known in facts.get("categories", {}).items():
        values = columns[name].values if name in columns else set()
        unknown = sorted(values or (), key=str.encode)
        if unknown := [value for value in unknown if value not in known]:
            yield (
                f"{name}: {first([repr(value) for value in unknown])} is in no training row; "
                "rows with it have none of the categories"
            )


def _what(column: Profile, decision: Decision) -> str:
    """Describe a decision."""
    if decision.kind in UNUSED:
        noun = "row numbers" if decision.kind == COUNTER else "dates"
        return f"{noun}, left out ({decision.reason})"
    if decision.kind == CATEGORY:
        values = sorted(column.values or ())
        return f"category, {len(values)} value{'s' if len(values) > 1 else ''} ({first(values)})"
    if decision.kind in FILES:
        return f"{decision.kind}, {decision.reason}"
    if decision.reason.startswith(decision.kind):
        return decision.kind
    return f"{decision.kind}, {decision.reason}"
