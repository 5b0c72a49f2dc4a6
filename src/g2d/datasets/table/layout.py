"""Decide which modalities a table has and how each is stored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from g2d.data.store.facts import RESERVED, Signal
from g2d.data.views import defaults
from g2d.datasets.table.columns import KINDS, NUMBER, TEXT, Column, empty
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.values import Layout, load_values
from g2d.errors import DataError, UnreadableError
from g2d.prepare.media import decode_audio
from g2d.types import is_name

TABLE = "table"
"""Name of the modality that all columns of single numbers form together."""
PROBED = 50
"""Number of first rows whose files are opened to find lengths."""
MOST_SECONDS = 10.0
"""Longest sound stored by default."""
LENGTHS = ("rate", "seconds", "size", "frames", "steps", "characters")
"""Options that change the stored values; recorded as parameters of the store."""


def layout_of(
    columns: Mapping[str, Column], options: Any, names: Sequence[str], table: TableFile
) -> Layout:
    """Form the modalities of a table.

    Every column of files, texts or lists is a modality. All columns of single numbers together are
    another one.

    Args:
        columns: Statistics of the columns.
        options: Options of the user.
        names: Columns that are available for modalities.
        table: The table, to open the files of the first rows.

    Raises:
        DataError: No column is left, or an option names an unknown kind.
    """
    if unknown := [f"{name}: {kind}" for name, kind in options.kinds.items() if kind not in KINDS]:
        raise DataError(
            f"kinds must give columns a kind ({', '.join(KINDS)}), found {', '.join(unknown)}."
        )
    kinds = {
        name: options.kinds.get(name, columns[name].kind) for name in names if columns[name].cells
    }
    single = tuple(
        name for name, kind in kinds.items() if kind == NUMBER and columns[name].width == 1
    )
    made: dict[str, tuple[str, ...]] = {}
    for name in kinds:
        if name not in single:
            made[_modality(name, made)] = (name,)
        elif single not in made.values():
            made[_modality(TABLE, made)] = single
    if not made:
        raise DataError(
            "the table must have a column to learn from besides its target, found none."
        )
    kind_of = {m: kinds[columns_of[0]] for m, columns_of in made.items()}

    def signal(m: str) -> Signal:
        first, kind = made[m][0], kind_of[m]
        if kind == TEXT:
            return text_signal(columns[first], options.characters)
        if kind == NUMBER:
            return _number_signal({name: columns[name] for name in made[m]})
        cells = (row.get(first) for row in table.rows(0, min(PROBED, len(table))))
        folder = table.path.parent
        paths = [folder / str(cell).strip() for cell in cells if not empty(cell)]
        return SIGNALS[kind](paths, options)

    parameters = {key: getattr(options, key) for key in LENGTHS}
    return Layout({m: signal(m) for m in made}, made, kind_of, parameters)


def _modality(column: str, taken: Collection[str]) -> str:
    """Turn a column's name into a valid name for files and modules.

    Example:
        >>> _modality("left eye", ()), _modality("target", ()), _modality("a/b.c", ("a_b_c",))
        ('left_eye', 'target_', 'a_b_c_')
    """
    name = re.sub(r"\W+", "_", column).strip("_") or "column"
    while name in RESERVED or name in taken or not is_name(name):
        name += "_"
    return name


def text_signal(column: Column, characters: int) -> Signal:
    """Return how texts are stored: as long as the longest one, up to a maximum of bytes."""
    length = max(1, min(column.longest, characters))
    return Signal("text", "uint8", (length,), defaults.TEXT)


def _number_signal(columns: Mapping[str, Column]) -> Signal:
    """Return how one column of lists, or all columns of single numbers, are stored."""
    width = next(iter(columns.values())).width if len(columns) == 1 else len(columns)
    origins = [column.origin for column in columns.values()]
    facts = {"columns": list(columns)} | ({"origin": origins} if any(origins) else {})
    return Signal("table", "float32", (width,), defaults.NUMBERS, facts)


def _image_signal(paths: Sequence[Path], options: Any) -> Signal:
    return Signal("image", "uint8", (options.size, options.size, 3), defaults.PIXELS)


def _video_signal(paths: Sequence[Path], options: Any) -> Signal:
    return Signal(
        "video", "uint8", (options.frames, options.size, options.size, 3), defaults.PIXELS
    )


def _audio_signal(paths: Sequence[Path], options: Any) -> Signal:
    seconds = options.seconds or min(
        max((_seconds(path) for path in paths), default=0.0) or MOST_SECONDS, MOST_SECONDS
    )
    rate = options.rate
    shape = (int(np.ceil(seconds * rate)),)
    return Signal("audio", "int16", shape, defaults.sound(rate), {"rate": rate})


def _seconds(path: Path) -> float:
    """Return the length of a sound, 0 if it cannot be read (decoding will report that)."""
    try:
        samples, rate = decode_audio(path)
        return len(samples) / rate
    except UnreadableError:
        return 0.0


def _array_signal(paths: Sequence[Path], options: Any) -> Signal:
    shapes = []
    for path in paths:
        try:
            shapes.append(load_values(path).shape)
        except UnreadableError:
            continue
    if not shapes:
        raise DataError(
            "arrays named in a table must be .npy files of numbers in one or two axes, "
            f"found none among the first {len(paths)}."
        )
    # The most frequent shape decides, so that an unusual file costs only its own row.
    axes = Counter(map(len, shapes)).most_common(1)[0][0]
    usual = [shape for shape in shapes if len(shape) == axes]
    width = Counter(shape[-1] for shape in usual).most_common(1)[0][0]
    if axes == 1:
        return Signal("table", "float32", (width,), defaults.NUMBERS)
    steps = min(max(shape[0] for shape in usual), options.steps)
    return Signal("sequence", "float32", (steps, width), defaults.SEQUENCE, masked=True)


SIGNALS: dict[str, Callable[[Sequence[Path], Any], Signal]] = {
    "image": _image_signal,
    "audio": _audio_signal,
    "video": _video_signal,
    "array": _array_signal,
}
"""How files of each kind are stored, given some of them and the options."""
