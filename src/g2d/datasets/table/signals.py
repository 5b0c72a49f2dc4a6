"""How the texts and files of a column are stored, and how much of their length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.data.lengths import MAX_TOKENS, Length, Unit, described, length_to_keep
from g2d.data.store.facts import SOUND, Signal
from g2d.data.views import defaults, read_chain
from g2d.data.views.words import token_ends
from g2d.datasets.table.columns import TEXT, Profile, text
from g2d.datasets.table.probing import Probe
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.values import Layout, array_shape
from g2d.errors import DataError, UnreadableError
from g2d.prepare.causes import path_fault

MOST_BYTES = 16 * MAX_TOKENS
"""Longest text in bytes that is stored unless the user wants more."""
UNITS: dict[str, Unit] = {"audio": "s", "sequence": "steps", "text": "tokens"}
"""Units of the lengths of modalities by kind."""
ROOM = 1.25
"""Share of bytes that texts may need, compared with those of a sample of them."""


@dataclass(frozen=True)
class Stored:
    """Form in which a modality is stored, and a sentence about its length.

    Args:
        signal: Form of its values.
        length: What is kept of its length; empty if it has none.
    """

    signal: Signal
    length: str = ""


def signal_of(name: str, column: Profile, kind: str, probe: Probe, options: Any) -> Stored:
    """Return how a column of texts or files is stored.

    Args:
        name: Name of the column.
        column: Its profile.
        kind: Kind of its cells.
        probe: Cells and files of a sample of the rows.
        options: Options of the user.

    Raises:
        DataError: The files are arrays of an unusable shape.
    """
    if kind == TEXT:
        return _text(name, column, probe, options)
    return FILE_SIGNALS[kind](name, probe, options)


def text_length(column: Profile, characters: int | None) -> int:
    """Return the number of bytes in which all texts of a column can be stored.

    Args:
        column: Profile of the column.
        characters: Upper bound of the user; None for the usual one.
    """
    return max(1, min(column.longest, characters or MOST_BYTES))


def _token_ends(name: str, probe: Probe) -> list[NDArray[np.int64]]:
    """Return where the tokens of each text of a column end."""
    return list(token_ends([text(cell) for cell in probe.cells(name)]))


def _seconds(name: str, probe: Probe) -> list[float]:
    """Return the lengths of the sounds of a column."""
    return [file.sound for file in probe.streams(name) if file.sound]


def _shapes(name: str, probe: Probe) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays of a column that can be read."""
    shapes = []
    for path in probe.paths(name):
        try:
            shapes.append(array_shape(path))
        except UnreadableError:
            continue
    return shapes


def cut_lines(layout: Layout, table: TableFile) -> Iterator[str]:
    """Yield a line about every modality of which rows of a new table are cut.

    Args:
        layout: Modalities of the store.
        table: The new table.
    """
    columns = {m: layout.columns[m][0] for m, s in layout.signals.items() if s.kind in UNITS}
    probe = Probe(table, list(columns.values()))
    for m, name in columns.items():
        signal = layout.signals[m]
        lengths: list[float]
        if signal.kind == SOUND:
            lengths, kept = _seconds(name, probe), signal.shape[0] / signal.facts["rate"]
        elif signal.kind == "sequence":
            lengths = [shape[0] for shape in _shapes(name, probe) if len(shape) > 1]
            kept = signal.shape[0]
        else:
            lengths = [len(ends) for ends in _token_ends(name, probe)]
            kept = read_chain(m, signal.view).steps[0].model_dump().get("length", inf)
        if lengths:
            length = described(lengths, kept, UNITS[signal.kind], rows=probe.total(len(lengths)))
            if length.cut:
                yield f"{m}: {length}"


def _text(name: str, column: Profile, probe: Probe, options: Any) -> Stored:
    """Store texts as far as their first tokens reach, as many as 95 % of the texts have."""
    # The sample of a large table may hold no text of a column that is nearly empty.
    ends = _token_ends(name, probe) or list(token_ends([column.example]))
    counts, size = [max(1, len(own)) for own in ends], text_length(column, options.characters)
    if options.characters:
        tokens = max(max(1, int((own <= size).sum())) for own in ends)
    else:
        tokens = int(length_to_keep(counts, options.max_tokens))
        if tokens < max(counts):
            needed = max(int(own[min(tokens, len(own)) - 1]) for own in ends if len(own))
            size = min(size, needed if probe.whole else ceil(ROOM * needed))
    cut = sum(len(own) > tokens or bool((own > size).any()) for own in ends)
    length = Length(
        "tokens",
        max(counts),
        tokens,
        cut,
        len(ends),
        probe.total(len(ends)),
        f"characters={column.longest}",
    )
    return Stored(Signal("text", "uint8", (size,), defaults.text(tokens)), str(length))


def _image(name: str, probe: Probe, options: Any) -> Stored:
    return Stored(Signal("image", "uint8", (options.size, options.size, 3), defaults.PIXELS))


def _video(name: str, probe: Probe, options: Any) -> Stored:
    lengths = [file.video for file in probe.streams(name) if file.video]
    shape = (options.frames, options.size, options.size, 3)
    signal = Signal("video", "uint8", shape, defaults.PIXELS)
    if not lengths:
        return Stored(signal)
    kept = f"{options.frames} frames spread over all of it kept"
    line = f"longest {max(lengths):.1f} s, {kept}; frames={2 * options.frames} keeps more"
    return Stored(signal, line)


def _audio(name: str, probe: Probe, options: Any) -> Stored:
    lengths = _seconds(name, probe)
    seconds = options.seconds or options.max_seconds
    if lengths and not options.seconds:
        seconds = length_to_keep(lengths, options.max_seconds)
    shape, view = (max(1, ceil(round(seconds * options.rate, 3))),), defaults.sound(options.rate)
    signal = Signal("audio", "int16", shape, view, {"rate": options.rate}, masked=True)
    if not lengths:
        return Stored(signal)
    return Stored(
        signal,
        str(described(lengths, seconds, "s", rows=probe.total(len(lengths)), option="seconds")),
    )


def _array(name: str, probe: Probe, options: Any) -> Stored:
    shapes = _shapes(name, probe)
    if not shapes:
        cells = probe.cells(name)
        rule = (
            "arrays named in a table must be .npy files of numbers in one or two axes, "
            f"found none among the {len(cells)} of {name!r}."
        )
        if cells and not probe.paths(name)[0].exists():
            rule += f" For example, {path_fault(str(cells[0]).strip(), probe.folder)}"
        raise DataError(rule)
    # The most frequent shape decides, so that an unusual file costs only its own row.
    axes = Counter(map(len, shapes)).most_common(1)[0][0]
    usual = [shape for shape in shapes if len(shape) == axes]
    width = Counter(shape[-1] for shape in usual).most_common(1)[0][0]
    if axes == 1:
        return Stored(Signal("table", "float32", (width,), defaults.NUMBERS))
    lengths = [shape[0] for shape in usual]
    steps = options.steps or int(length_to_keep(lengths, options.max_steps))
    if probe.whole:
        steps = min(steps, max(lengths))
    signal = Signal("sequence", "float32", (steps, width), defaults.SEQUENCE, masked=True)
    return Stored(
        signal,
        str(described(lengths, steps, "steps", rows=probe.total(len(lengths)), option="steps")),
    )


FILE_SIGNALS: dict[str, Callable[[str, Probe, Any], Stored]] = {
    "image": _image,
    "audio": _audio,
    "video": _video,
    "array": _array,
}
"""How files of each kind are stored, given a column, a sample of its rows and the options."""
