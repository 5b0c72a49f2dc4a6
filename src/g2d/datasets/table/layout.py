"""Decide which modalities a table has and how each is stored."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from g2d.data.store.facts import RESERVED, Signal
from g2d.data.views import defaults
from g2d.datasets.table.columns import FILES, NUMBER, TEXT, Profile
from g2d.datasets.table.kinds import BOTH, CATEGORY, UNUSED, Decision, override
from g2d.datasets.table.probing import Probe
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.signals import Stored, signal_of
from g2d.datasets.table.streams import Part, check_different, parts_of
from g2d.datasets.table.values import Layout
from g2d.errors import DataError
from g2d.types import is_name

TABLE = "table"
"""Name of the modality that all columns of single numbers and of categories form together."""
LENGTHS = ("rate", "seconds", "size", "frames", "steps", "characters")
"""Options that change the stored values; recorded as parameters of the store."""
BOUNDS = {
    "audio": ("seconds", "max_seconds", None),
    "array": ("steps", "max_steps", 128),
    TEXT: ("characters", "max_tokens", 2000),
}
"""Option of the length of a kind, its upper bound, and what a store without the kind records (the
default of the first version, so that its hash remains)."""


def layout_of(
    columns: Mapping[str, Profile],
    options: Any,
    decisions: Mapping[str, Decision],
    table: TableFile,
) -> Layout:
    """Form the modalities of a table.

    Every column of files, texts or lists is a modality. All columns of single numbers and of
    categories together are another one.

    Args:
        columns: Statistics of the columns.
        options: Options of the user.
        decisions: Kinds of the columns that are available for modalities.
        table: The table, to open the files of the first rows.

    Raises:
        DataError: No column is left.
    """
    kinds = {name: decision.kind for name, decision in decisions.items()}
    unused = [name for name, kind in kinds.items() if kind in UNUSED]
    kinds = {name: kind for name, kind in kinds.items() if kind not in UNUSED}
    single = tuple(
        name
        for name, kind in kinds.items()
        if kind == CATEGORY or (kind == NUMBER and columns[name].width == 1)
    )
    measured = [name for name, kind in kinds.items() if kind in (*FILES, BOTH, TEXT)]
    probe = Probe(table, measured)
    notes: dict[str, str] = {}
    used = {name: decisions[name] for name in measured}
    parts = list(parts_of(used, probe, notes))
    check_different(parts, probe)
    made: dict[str, tuple[str, ...]] = {}
    kind_of: dict[str, str] = {}
    for name, kind in kinds.items():
        if name in single:
            if single not in made.values():
                m = _modality(TABLE, made)
                made[m], kind_of[m] = single, NUMBER
            continue
        own = [part for part in parts if part.column == name]
        for part in own or [Part(name, kind, name)]:
            other_columns = () if part.name == name else kinds
            m = _modality(part.name, {*made, *other_columns})
            made[m], kind_of[m] = (name,), part.kind
    if not made:
        reasons = [f"{name!r} ({decisions[name].reason})" for name in unused]
        rest = f" Left out: {', '.join(reasons)}." if reasons else ""
        advice = f" To use one, give {override(unused[0], NUMBER, TEXT)}." if unused else ""
        raise DataError(
            "the table must have a column to learn from besides its target, found none."
            f"{rest}{advice}"
        )

    def stored(m: str) -> Stored:
        first, kind = made[m][0], kind_of[m]
        if kind == NUMBER:
            values = {
                name: sorted(columns[name].values or (), key=str.encode)
                for name in made[m]
                if kinds[name] == CATEGORY
            }
            return Stored(number_signal({name: columns[name] for name in made[m]}, values))
        return signal_of(first, columns[first], kind, probe, options)

    forms = {m: stored(m) for m in made}
    lines = {
        m: tuple(line for line in (notes.pop(made[m][0], ""), form.length) if line)
        for m, form in forms.items()
    }
    parameters = _parameters(options, kind_of.values())
    return Layout({m: form.signal for m, form in forms.items()}, made, kind_of, parameters, lines)


def _parameters(options: Any, kinds: Collection[str]) -> dict[str, Any]:
    """Return the options that change the stored values of some kinds of modalities."""
    parameters = {key: getattr(options, key) for key in LENGTHS}
    for kind, (length, most, before) in BOUNDS.items():
        if kind in kinds:
            parameters[most] = getattr(options, most)
        elif parameters[length] is None:
            parameters[length] = before
    return parameters


LONGEST = 100
"""Bytes of the name of a modality that are taken from a column's name."""


def _modality(column: str, taken: Collection[str]) -> str:
    """Turn a column's name into a valid name for files and modules.

    Example:
        >>> _modality("left eye", ()), _modality("target", ()), _modality("a/b.c", ("a_b_c",))
        ('left_eye', 'target_', 'a_b_c_')
        >>> len(_modality("x" * 1000, ()))
        100
    """
    name = re.sub(r"\W+", "_", column).strip("_") or "column"
    name = name.encode()[:LONGEST].decode(errors="ignore")
    while name in RESERVED or name in taken or not is_name(name):
        name += "_"
    return name


def number_signal(
    columns: Mapping[str, Profile], categories: Mapping[str, Sequence[str]]
) -> Signal:
    """Return how one column of lists, or all columns of numbers and categories, are stored.

    A category is stored as one number for each of its values: 1 for the value of the row, else 0.

    Args:
        columns: Profiles of the columns.
        categories: Values of the columns that are categories.
    """
    elements: list[tuple[str, float]] = []
    for name, column in columns.items():
        values = categories.get(name)
        if values is None:
            elements.append((name, column.origin))
        else:
            elements.extend((f"{name}={value}", 0.0) for value in values)
    names, origins = [name for name, _ in elements], [origin for _, origin in elements]
    facts: dict[str, Any] = {"columns": names} | ({"origin": origins} if any(origins) else {})
    if categories:
        facts["categories"] = {name: list(values) for name, values in categories.items()}
    width = len(elements)
    if len(columns) == 1 and not categories:
        width = next(iter(columns.values())).width
    return Signal("table", "float32", (width,), defaults.NUMBERS, facts)


def keep_categories(
    layout: Layout, columns: Mapping[str, Profile], seen: Mapping[str, Collection[str]]
) -> Layout:
    """Return a layout without the categories that no training row has.

    Args:
        layout: Modalities and their columns.
        columns: Profiles of the columns.
        seen: Values of every category's column on the training rows.
    """
    signals = dict(layout.signals)
    for m, signal in layout.signals.items():
        known = signal.facts.get("categories", {})
        kept = {
            name: [value for value in values if value in seen[name]] or values
            for name, values in known.items()
        }
        if kept != known:
            signals[m] = number_signal({name: columns[name] for name in layout.columns[m]}, kept)
    return replace(layout, signals=signals)
