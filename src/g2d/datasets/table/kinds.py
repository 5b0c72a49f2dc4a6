"""Decide what every column of a table is, and how to change the decision."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import exists, splitext
from pathlib import Path

from g2d.datasets.table.columns import FILES, NEARLY, NUMBER, SUFFIXES, TEXT, Profile
from g2d.datasets.table.signatures import kind_of_file
from g2d.datasets.table.spelling import Decimal
from g2d.errors import DataError
from g2d.prepare.causes import path_fault

CATEGORY, COUNTER, DATE, LEFT_OUT = "category", "counter", "date", "leave-out"
"""Kinds of columns that hold words of a small set, row numbers, times, and nothing of use."""
BOTH = "video+audio"
"""Kind of a column of videos whose pictures and sound are two modalities."""
KINDS = (*SUFFIXES, BOTH, TEXT, NUMBER, CATEGORY, DATE, LEFT_OUT)
"""Kinds that the option ``kinds`` accepts."""
CHOICES = (NUMBER, CATEGORY, TEXT, DATE, LEFT_OUT)
"""Kinds that a line about a decision offers; the others are for columns of paths."""
UNUSED = frozenset({COUNTER, DATE, LEFT_OUT})
"""Kinds of columns that are no part of a modality."""
MANY_ROWS = 50
"""Number of rows from which the share of different values counts."""
FEW_VALUES, MOST_VALUES = 10, 50
"""Most values of a category in a table of fewer rows, and of more."""
MOST_SHARE = 0.2
"""Share of different values that a category stays below."""
MOST_WORDS = 4
"""Most words of a category."""
GIVEN_VALUES = 1000
"""Most values of a column that the user calls a category."""
COUNTER_ROWS = 20
"""Number of rows that a counter exceeds."""
INDEX = re.compile(r"(?:|index|unnamed: \d.*|__index_level_\d+__)", re.IGNORECASE)
"""Names that programs give to the numbers of rows."""
UNIT = re.compile(
    r"[-+]?[$€£¥] ?[-+]?\d[\d.,' ]*|[-+]?\d[\d.,' ]*(?:[$€£¥%°]|[a-zA-Zµμ°]{1,3}(?:/[a-z]{1,3})?)"
)
"""Numbers with a currency, a percent sign or a short unit."""
UNITS = 3
"""Most different units in a column of numbers."""
OPENED = 20
"""Number of files that are opened to recognize their kind."""
READABLE = (
    "pictures (.jpg, .png, ...), sound (.wav, .mp3, ...), video (.mp4, ...) "
    "and arrays of numbers (.npy)"
)


@dataclass(frozen=True)
class Decision:
    """The kind of a column and the reason.

    Args:
        kind: One of :data:`KINDS`, or a counter.
        reason: Reason in a few words.
        given: Whether the user chose the kind.
    """

    kind: str
    reason: str
    given: bool = False


def decimal_of(
    columns: Mapping[str, Profile], delimiter: str, known: Decimal | None = None
) -> Decimal:
    """Return the decimal sign of a table.

    The cells that are numbers under one sign only decide. Where there are none (1,234 is a number
    under both), a table whose cells are separated by semicolons has commas.

    Args:
        columns: Profiles of the columns.
        delimiter: Sign between the cells of a row.
        known: Decimal sign of a table with the same columns, if there is one.
    """
    votes: dict[Decimal, int] = {".": 0, ",": 0}
    for column in columns.values():
        for sign, tally in column.tallies.items():
            if tally.numbers > NEARLY * column.cells:
                votes[sign] += tally.alone
    if any(votes.values()):
        return "," if votes[","] > votes["."] else "."
    open_to_both = any(column.respelled and column.is_number for column in columns.values())
    return known or ("," if delimiter == ";" and open_to_both else ".")


def decide(
    columns: Mapping[str, Profile],
    given: Mapping[str, str],
    names: Sequence[str],
    source: Path,
    folder: Path,
) -> dict[str, Decision]:
    """Return the kind of every column that is free for a modality and not empty.

    Args:
        columns: Profiles of the columns.
        given: Kinds that the user gives.
        names: Columns that have no other role.
        source: The table.
        folder: Folder to which paths in it are relative.

    Raises:
        DataError: An option names an unknown kind, or a column cannot be read as it is.
    """
    if unknown := [f"{name}: {kind}" for name, kind in given.items() if kind not in KINDS]:
        raise DataError(
            f"kinds must give columns a kind ({', '.join(KINDS)}), found {', '.join(unknown)}."
        )
    rows = max((column.cells for column in columns.values()), default=0)
    decisions, faults = {}, []
    for name in names:
        column = columns[name]
        if not column.cells:
            continue
        if name in given:
            decisions[name] = Decision(given[name], "as given", given=True)
            continue
        try:
            decisions[name] = _decision(column, name, rows, source, folder)
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    for name, decision in decisions.items():
        if decision.kind == CATEGORY:
            _check_category(columns[name], name)
    return decisions


def _decision(column: Profile, name: str, rows: int, source: Path, folder: Path) -> Decision:
    """Return the kind of a column by its profile."""
    if column.nested:
        raise DataError(
            f"the column {name!r} must hold plain values or lists of them, found objects or lists "
            f"of lists, such as {column.example[:60]!r}. Give each part a column, save arrays as "
            f".npy files, or give {override(name, LEFT_OUT)}."
        )
    if _is_counter(column, name, rows):
        return Decision(COUNTER, "its whole numbers count or name the rows")
    if column.is_number:
        codes = column.whole and column.different and column.cells > COUNTER_ROWS
        return Decision(NUMBER, "all different whole numbers" if codes else "numbers")
    if column.dates > NEARLY * column.cells:
        return Decision(DATE, f"dates or times such as {column.example!r}")
    kind, count = column.suffixes.most_common(1)[0] if column.suffixes else (TEXT, 0)
    if kind in FILES and count > NEARLY * column.cells:
        return Decision(kind, "paths by their suffix")
    known = sum(column.suffixes[kind] for kind in FILES)
    if known + column.others.total() > NEARLY * column.cells:
        return _file_kind(column, name, folder)
    paths = column.slashes > NEARLY * column.cells
    if paths and (kind_of := _kind_of_files(column, folder)):
        return Decision(kind_of, "paths, by the first bytes of the files")
    if _is_category(column):
        return Decision(CATEGORY, "few different values")
    _check_unit(column, name)
    one_word = column.words <= 1 and not column.lists and bool(column.values)
    if paths or one_word:
        if kind_of := _kind_of_files(column, folder):
            return Decision(kind_of, "paths, by the first bytes of the files")
        if paths:
            return _file_kind(column, name, folder)
        if suffix := _left_suffix(column, source, folder):
            raise DataError(
                f"the column {name!r} must give names of files in full, found {column.example!r}, "
                f"where {suffix} exists. Write it so, or give {override(name, TEXT, LEFT_OUT)}."
            )
    _check_decimal(column, name)
    if column.wordless > NEARLY * column.cells:
        raise DataError(
            f"the column {name!r} must hold numbers, words or paths, found "
            f"{column.example[:60]!r}. Give each number a column (lists of numbers: JSONL, Parquet "
            f"or .npy files), or give {override(name, TEXT, LEFT_OUT)}."
        )
    if column.words > 1 or column.lists:
        return Decision(TEXT, "words")
    reason = "many different words"
    if column.different:
        reason += f", all different; if they only name the rows, id={name} or leave them out"
    return Decision(TEXT, reason)


def _is_counter(column: Profile, name: str, rows: int) -> bool:
    """Return whether a column counts the rows: by 1 from row to row, or under an index's name."""
    if rows <= COUNTER_ROWS or column.cells < rows or column.lists:
        return False
    if column.numbers != column.cells or not column.whole:
        return False
    return column.tally.counts or (bool(INDEX.fullmatch(name)) and column.different)


def _is_category(column: Profile) -> bool:
    """Return whether a column holds few different values of few words."""
    if column.values is None or column.lists or column.words > MOST_WORDS:
        return False
    count = len(column.values)
    if column.cells < MANY_ROWS:
        return count <= FEW_VALUES
    return count <= MOST_VALUES and count < MOST_SHARE * column.cells


def _check_category(column: Profile, name: str) -> None:
    if column.lists:
        raise DataError(f"a category must be one value per row, found lists in {name!r}.")
    if column.values is None or len(column.values) > GIVEN_VALUES:
        count = "more" if column.values is None else len(column.values)
        raise DataError(
            f"a category must have at most {GIVEN_VALUES} values, found {count} in {name!r}."
        )


def _check_decimal(column: Profile, name: str) -> None:
    """Refuse a column of numbers that are written with another decimal sign than the others."""
    if column.tallies["."].numbers + column.tallies[","].alone <= NEARLY * column.cells:
        return
    signs = {".": "point", ",": "comma"}
    raise DataError(
        f"the column {name!r} must write its numbers with the decimal {signs[column.decimal]} of "
        f"the table, found {column.example!r}. Write all numbers in one way, give "
        f"decimal=comma or decimal=point, or {override(name, TEXT, LEFT_OUT)}."
    )


def _check_unit(column: Profile, name: str) -> None:
    """Refuse a column of numbers with a unit, which would be read as a text of digits."""
    values = column.values or set()
    with_unit = [value for value in values if UNIT.fullmatch(value)]
    units = {re.sub(r"[-+\d.,' ]", "", value) for value in with_unit}
    if len(with_unit) > NEARLY * len(values) and 1 <= len(units) <= UNITS:
        raise DataError(
            f"the column {name!r} must hold numbers without a unit, found {column.example!r}. "
            f"Remove the unit, or give {override(name, TEXT, LEFT_OUT)}."
        )


def _paths(column: Profile, folder: Path) -> Iterator[Path]:
    """Yield some paths of a column, in an order that does not depend on the process."""
    for value in sorted(column.values or ())[:OPENED]:
        yield folder / value.replace("\\", "/")


def _kind_of_files(column: Profile, folder: Path) -> str | None:
    """Return the kind of the files that a column names, None if they differ or do not exist."""
    kinds = {kind_of_file(path) for path in _paths(column, folder)}
    return kinds.pop() if len(kinds) == 1 else None


def _left_suffix(column: Profile, source: Path, folder: Path) -> str | None:
    """Return a file whose name without its suffix is a cell, but not the table itself."""
    for path in [*_paths(column, folder)][:3]:
        if len(path.name) > 255 or not re.fullmatch(r"[\w. -]+", path.name):
            continue
        for pattern in (f"{path.name}.*", f"*/{path.name}.*"):
            for file in path.parent.glob(pattern):
                if splitext(file.name)[1].lower() and file.stem == path.name and file != source:
                    return str(file.relative_to(folder))
    return None


def _file_kind(column: Profile, name: str, folder: Path) -> Decision:
    """Return the kind of files with unknown suffixes by their content.

    Raises:
        DataError: They are of no kind that can be read, or of several.
    """
    if kind := _kind_of_files(column, folder):
        return Decision(kind, "paths, by the first bytes of the files")
    listed = ", ".join(suffix for suffix, _ in column.others.most_common(3))
    kinds = [kind for kind in FILES if column.suffixes[kind]]
    what = "files of different kinds" if kinds else f"files of another kind ({listed or 'none'})"
    if not listed and not kinds:
        what = "what looks like paths of other files"
    rule = (
        f"the column {name!r} must name files that can be read: {READABLE}. Found {what}, such as "
        f"{column.example!r}. Convert them (texts belong into the table itself), or give "
        f"{override(name, TEXT, LEFT_OUT)}."
    )
    if not any(map(exists, _paths(column, folder))):
        rule += f" None of them exists: {path_fault(column.example, folder)}"
    raise DataError(rule)


def override(name: str, *choices: str) -> str:
    """Return the option that gives a column another kind.

    Args:
        name: Name of the column.
        choices: Kinds to offer.

    Example:
        >>> override("age", "number", "text"), override("left eye", "text"), override("a.b", "text")
        ('kinds.age=number|text', "'kinds.left eye=text'", "'kinds={a.b: text}'")
    """
    offered = "|".join(choices)
    if not name or "." in name or "=" in name:
        key = name if re.fullmatch(r"[\w.]+", name) else f'"{name}"'
        return f"'kinds={{{key}: {offered}}}'"
    setting = f"kinds.{name}={offered}"
    return setting if re.fullmatch(r"\w+", name) else f"'{setting}'"
