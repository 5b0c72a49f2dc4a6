"""How the cells of a table are written: which ones mean nothing, and the form of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

Decimal = Literal[".", ","]
"""Sign between the whole part of a number and its decimals."""
NOTHING = ("NA", "N/A", "#N/A", "<NA>", "NULL", "None", "NaN", "?", "-")
"""Cells that mean nothing besides blank ones, in any case."""
_DIGITS = r"[1-9]\d{{0,2}}(?P<group>[{groups}])\d{{3}}(?:(?P=group)\d{{3}})*(?:{decimal}\d*)?"
THOUSAND = 3
"""Digits between signs of thousands."""
_STARTS, _WORDS = frozenset("+-−.,"), frozenset({"inf", "infinity", "nan"})
_SPACES = " \u00a0\u2009\u202f"
_GROUPED = {
    ".": re.compile("[-+]?" + _DIGITS.format(groups=",'’" + _SPACES, decimal=r"\.")),
    ",": re.compile("[-+]?" + _DIGITS.format(groups=".'’" + _SPACES, decimal=",")),
}
"""Numbers with a sign between thousands, by decimal sign."""
_COMMA = re.compile(r"[-+]?(?:\d+,\d*|,\d+)(?:[eE][-+]?\d+)?")
"""Numbers with a decimal comma and no sign between thousands."""


def empty(cell: Any) -> bool:
    """Return whether a cell is blank text, null, NaN, or an empty list."""
    return (
        cell is None or cell == [] or (isinstance(cell, str) and not cell.strip()) or cell != cell
    )


def number(cell: Any) -> float | None:
    """Return a cell as a number, or None if it holds something else.

    An empty cell is NaN, a number that is too large is infinite.

    Example:
        >>> number(" 1e3 "), number("red"), number(True), number("1_0"), number(10**400)
        (1000.0, None, None, None, inf)
    """
    if empty(cell):
        return float("nan")
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    if isinstance(cell, str) and "_" in cell:  # Python reads 1_0 as 10
        return None
    try:
        return float(cell)
    except OverflowError:
        return inf
    except ValueError:
        return None


def canonical(text: str, decimal: Decimal) -> str | None:
    """Return a number as Python writes it, or None if the text is no number.

    Args:
        text: Text of a cell.
        decimal: Decimal sign of the table.

    Example:
        >>> canonical("1.234,5", ","), canonical("1,234", "."), canonical("1,234", ",")
        ('1234.5', '1234', '1.234')
        >>> canonical("72,5", "."), canonical("1.5", ","), canonical("red", ",")
        (None, None, None)
    """
    text = text.strip()
    if "−" in text:
        text = text.replace("−", "-")
    if (decimal == "." or "." not in text) and number(text) is not None:
        return text
    if match := _GROUPED[decimal].fullmatch(text):
        text = text.replace(match["group"], "")
    elif decimal == "." or not _COMMA.fullmatch(text):
        return None
    return text.replace(",", ".")


def both_numbers(cell: Any) -> tuple[float | None, float | None]:
    """Return a cell as a number under a decimal point, and under a decimal comma.

    Args:
        cell: A cell, or an element of a list.

    Example:
        >>> both_numbers("1,234"), both_numbers("1.5"), both_numbers("12"), both_numbers("red")
        ((1234.0, 1.234), (1.5, None), (12.0, 12.0), (None, None))
    """
    if not isinstance(cell, str) or not cell.strip():
        value = number(cell)
        return value, value
    text = cell.strip()
    if text[0] not in _STARTS and not text[0].isdigit():
        value = number(text) if text.lower() in _WORDS else None
        return value, value
    if "," not in text:
        value = number(text)
        before, sign, after = text.partition(".")
        if value is not None and not sign:
            return value, value
        if value is not None and len(after) != THOUSAND and before:
            return value, None
    point, comma = canonical(text, "."), canonical(text, ",")
    return (
        None if point is None else number(point),
        None if comma is None else number(comma),
    )


@dataclass(frozen=True)
class Nothing:
    """The cells that mean nothing: blank ones and some words and numbers.

    Args:
        words: Words in lower case.
        numbers: Numbers.

    Example:
        >>> nothing = Nothing.of([*NOTHING, -999])
        >>> [nothing(cell) for cell in (" n/a", "", None, -999.0, "-999", "nought", 0)]
        [True, True, True, True, True, False, False]
    """

    words: frozenset[str] = frozenset()
    numbers: frozenset[float] = frozenset()

    @classmethod
    def of(cls, cells: Iterable[Any]) -> Nothing:
        """Return the rule for some cells; those that are numbers mean nothing in any spelling."""
        given = [cell for cell in cells if not empty(cell)]
        values = [number(cell) for cell in given]
        finite = frozenset(value for value in values if value is not None and value == value)
        return cls(frozenset(str(cell).strip().lower() for cell in given), finite)

    def __call__(self, cell: Any) -> bool:
        if isinstance(cell, str):
            word = cell.strip()
            if not word or word.lower() in self.words:
                return True
            return bool(self.numbers) and number(word) in self.numbers
        if isinstance(cell, list):
            return not cell
        return cell is None or cell != cell or (not isinstance(cell, bool) and self._listed(cell))

    def _listed(self, cell: Any) -> bool:
        return bool(self.numbers) and number(cell) in self.numbers


def usual_nothing(missing: Iterable[Any] | None) -> tuple[Any, ...]:
    """Return all cells that mean nothing, given those that a user adds.

    Args:
        missing: Further cells, besides :data:`NOTHING`. None adds none; an empty list leaves
            blank cells alone.

    Example:
        >>> usual_nothing(()), usual_nothing([-999])[-2:]
        ((), ('-', -999))
    """
    if missing is None:
        return NOTHING
    return (*NOTHING, *missing) if (missing := tuple(missing)) else ()
