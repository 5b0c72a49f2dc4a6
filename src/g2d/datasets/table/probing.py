"""Cells and files of a sample of a table's rows, from which lengths and streams are measured."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os.path import normpath
from pathlib import Path
from typing import Any

from g2d.data.lengths import measured_rows
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.spelling import empty
from g2d.errors import UnreadableError
from g2d.prepare import default_workers
from g2d.prepare.media import StreamLengths, stream_lengths


class Probe:
    """Cells and files of the measured rows.

    Args:
        table: The table.
        columns: Columns of files and texts.

    Attributes:
        rows: Number of rows of the table.
        whole: Whether all rows are measured.
    """

    def __init__(self, table: TableFile, columns: Sequence[str]) -> None:
        self.rows, self.folder = len(table), table.folder
        self._cells: dict[str, list[Any]] = {name: [] for name in columns}
        self._streams: dict[str, list[StreamLengths]] = {}
        measured = measured_rows(self.rows)
        self.whole = len(measured) == self.rows
        if not columns:
            return
        for row in table if self.whole else (table[row] for row in measured.tolist()):
            for name, cells in self._cells.items():
                cells.append(row.get(name))

    def total(self, measured: int) -> int:
        """Return of how many rows some measured ones are a sample: of all, or of themselves."""
        return measured if self.whole else self.rows

    def cells(self, column: str) -> list[Any]:
        """Return the cells of a column that are not empty."""
        return [cell for cell in self._cells[column] if not empty(cell)]

    def paths(self, column: str) -> list[Path]:
        """Return the files that a column names."""
        return [self.folder / str(cell).strip() for cell in self.cells(column)]

    def same_files(self, one: str, other: str) -> bool:
        """Return whether two columns name the same file wherever both name one."""
        pairs = zip(self._cells[one], self._cells[other], strict=True)
        both = [pair for pair in pairs if not any(map(empty, pair))]
        return bool(both) and all(
            normpath(str(a).strip()) == normpath(str(b).strip()) for a, b in both
        )

    def streams(self, column: str) -> list[StreamLengths]:
        """Return the lengths of the streams of every readable file of a column."""
        if column not in self._streams:
            with ThreadPoolExecutor(default_workers()) as pool:
                lengths = list(pool.map(_streams_of, self.paths(column)))
            self._streams[column] = [streams for streams in lengths if streams is not None]
        return self._streams[column]


def _streams_of(path: Path) -> StreamLengths | None:
    """Return the lengths of a file's streams, None if it cannot be read (decoding reports that)."""
    try:
        return stream_lengths(path)
    except UnreadableError:
        return None
