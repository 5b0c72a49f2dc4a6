"""Decide which modalities a table has and how each is stored."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from g2d.data.store.facts import RESERVED, Signal
from g2d.data.views import defaults
from g2d.datasets.table.columns import NUMBER, TEXT, Column
from g2d.datasets.table.kinds import CATEGORY, UNUSED, Decision, override
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.spelling import empty
from g2d.datasets.table.values import Layout, load_values
from g2d.errors import DataError, UnreadableError
from g2d.prepare.media import decode_audio
from g2d.types import is_name

TABLE = "table"
"""Name of the modality that all columns of single numbers and of categories form together."""
PROBED = 50
"""Number of first rows whose files are opened to find lengths."""
MOST_SECONDS = 10.0
"""Longest sound stored by default."""
LENGTHS = ("rate", "seconds", "size", "frames", "steps", "characters")
"""Options that change the stored values; recorded as parameters of the store."""


def layout_of(
    columns: Mapping[str, Column],
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
    made: dict[str, tuple[str, ...]] = {}
    for name in kinds:
        if name not in single:
            made[_modality(name, made)] = (name,)
        elif single not in made.values():
            made[_modality(TABLE, made)] = single
    if not made:
        reasons = [f"{name!r} ({decisions[name].reason})" for name in unused]
        rest = f" Left out: {', '.join(reasons)}." if reasons else ""
        advice = f" To use one, give {override(unused[0], NUMBER, TEXT)}." if unused else ""
        raise DataError(
            "the table must have a column to learn from besides its target, found none."
            f"{rest}{advice}"
        )
    kind_of = {
        m: NUMBER if columns_of == single else kinds[columns_of[0]]
        for m, columns_of in made.items()
    }

    def signal(m: str) -> Signal:
        first, kind = made[m][0], kind_of[m]
        if kind == TEXT:
            return text_signal(columns[first], options.characters)
        if kind == NUMBER:
            values = {
                name: sorted(columns[name].values or (), key=str.encode)
                for name in made[m]
                if kinds[name] == CATEGORY
            }
            return number_signal({name: columns[name] for name in made[m]}, values)
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


def number_signal(columns: Mapping[str, Column], categories: Mapping[str, Sequence[str]]) -> Signal:
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
    layout: Layout, columns: Mapping[str, Column], seen: Mapping[str, Collection[str]]
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
