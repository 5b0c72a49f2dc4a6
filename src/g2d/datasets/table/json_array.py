"""Read a JSON array element by element."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from g2d.errors import DataError

BLOCK = 2**20
"""Characters that are read at a time."""
_BLANK = re.compile(r"[ \t\r\n]*")


def json_array(path: Path) -> Iterator[Any]:
    """Yield the elements of a JSON array, with one of them in memory at a time."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8-sig") as file:
        text, more = _Window(file), True
        text.skip("[")
        while more:
            if text.starts("]"):
                return
            try:
                yield text.element(decoder)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{path} must be a JSON array of objects, found in element "
                    f"{text.count + 1}: {error}."
                ) from error
            more = text.skip(",")
        if not text.starts("]"):
            raise DataError(f"{path} must end with ], found something else or an incomplete file.")


class _Window:
    """A part of a text, moved forward as it is read.

    Args:
        file: The text.

    Attributes:
        count: Number of values read.
    """

    def __init__(self, file: TextIO) -> None:
        self.file, self.text, self.place = file, "", 0
        self.count, self.ended = 0, False

    def _grow(self) -> bool:
        block = self.file.read(BLOCK)
        self.text, self.place, self.ended = self.text[self.place :] + block, 0, not block
        return bool(block)

    def starts(self, sign: str) -> bool:
        """Return whether the next sign that is not blank is this one."""
        while True:
            self.place = _BLANK.match(self.text, self.place).end()  # type: ignore[union-attr]
            if self.place < len(self.text) or not self._grow():
                return self.text.startswith(sign, self.place)

    def skip(self, sign: str) -> bool:
        """Move behind a sign if it is next; return whether it was."""
        is_next = self.starts(sign)
        self.place += len(sign) if is_next else 0
        return is_next

    def element(self, decoder: json.JSONDecoder) -> Any:
        """Return the next value and move behind it."""
        self.starts("")
        while True:
            try:
                value, end = decoder.raw_decode(self.text, self.place)
                if end < len(self.text) or self.ended:  # else a number may go on
                    break
            except ValueError:
                if self.ended:
                    raise
            self._grow()
        self.place, self.count = end, self.count + 1
        return value
