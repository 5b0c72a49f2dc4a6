"""How the columns of a manifest are stored, and how one of its rows is decoded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import read_array
from numpy.typing import NDArray

from g2d.data.store.facts import Signal
from g2d.datasets.table.inferring import KINDS, Column, look
from g2d.datasets.table.rows import Table, empty, number, text
from g2d.errors import DataError, UnreadableError
from g2d.prepare import Decoded, Sample
from g2d.prepare.media import (
    decode_audio,
    fit_length,
    is_silent,
    read_audio,
    read_frames,
    read_image,
    spread,
)
from g2d.types import is_name

TABLE = "table"
"""Name of the modality that all columns of single numbers make up."""
RESERVED = frozenset({"target", "group", "present", "id", "files", "sha256"})
"""What a store calls things of its own."""
PROBED = 50
"""Files that are looked into, to see how long sound and sequences are."""
MOST_SECONDS = 10.0


@dataclass(frozen=True)
class Layout:
    """Modalities and the columns they come from.

    Args:
        signals: how each is stored. columns: of each. kinds: what the cells are (image, audio, video, array, text, number).
        parameters: rates, sizes and lengths.
    """

    signals: Mapping[str, Signal]
    columns: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]
    parameters: dict[str, Any]

    def files(self, cells: Mapping[str, Any]) -> tuple[str, ...]:
        """Paths that a row names."""
        return tuple(
            str(cells[c]).strip()
            for m, names in self.columns.items()
            if self.kinds[m] in FILES
            for c in names
            if not empty(cells.get(c))
        )

    def present(self, cells: Mapping[str, Any]) -> list[bool]:
        """Which modalities a row has."""
        return [not all(empty(cells.get(c)) for c in names) for names in self.columns.values()]

    def facts(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """What else a row says: its text and numbers, and which of its files belongs to which modality."""
        place = count()
        return {
            m: [
                None
                if empty(cells.get(c))
                else next(place)
                if self.kinds[m] in FILES
                else cells.get(c)
                for c in names
            ]
            for m, names in self.columns.items()
        }


@dataclass(frozen=True)
class TableDecode:
    """From a row's cells to stored values; an empty cell means that the row lacks the modality."""

    layout: Layout

    def _cells(self, sample: Sample, m: str) -> list[Any]:
        said = sample.facts[m]
        return (
            [None if place is None else sample.files[place] for place in said]
            if self.layout.kinds[m] in FILES
            else said
        )

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        values: dict[str, NDArray[Any] | None] = {}
        masks: dict[str, NDArray[np.bool_]] = {}
        told: list[str] = []
        for m, signal in self.layout.signals.items():
            cells = self._cells(sample, m)
            if all(cell is None for cell in cells):
                values[m] = None
                continue
            try:
                values[m], mask = READ[self.layout.kinds[m]](
                    source, cells, signal, Known(self.layout.parameters, told)
                )
            except UnreadableError as error:
                raise UnreadableError(error.reason, f"{m}: {error.detail}") from error
            if mask is not None:
                masks[m] = mask
        if not any(v is not None for v in values.values()):
            raise UnreadableError("zero-length", "all of its cells are empty")
        return Decoded(values, masks, tuple(told))


@dataclass(frozen=True)
class Known:
    """What reading a cell may need: rates and lengths, and a place for sentences about it."""

    parameters: Mapping[str, Any]
    told: list[str]


Read = tuple[NDArray[Any], NDArray[np.bool_] | None]


def _image(source: Path, cells: Sequence[Any], signal: Signal, known: Known) -> Read:
    return read_image(source / str(cells[0]).strip(), (signal.shape[0], signal.shape[1])), None


def _audio(source: Path, cells: Sequence[Any], signal: Signal, known: Known) -> Read:
    kept = fit_length(
        read_audio(source / str(cells[0]).strip(), known.parameters["rate"], known.told),
        signal.shape[0],
    )
    if is_silent(kept):
        raise UnreadableError("no-audio", "its peak is under a thousandth of full scale")
    return kept, None


def _video(source: Path, cells: Sequence[Any], signal: Signal, known: Known) -> Read:
    return read_frames(
        source / str(cells[0]).strip(),
        spread(signal.shape[0]),
        (signal.shape[1], signal.shape[2]),
        warnings=known.told,
    ), None


def _array(source: Path, cells: Sequence[Any], signal: Signal, known: Known) -> Read:
    values = load_values(source / str(cells[0]).strip())
    steps = len(values) if signal.masked else signal.shape[0]
    if values.shape != (steps, *signal.shape[1:]):
        usual = f"(steps, {signal.shape[1]})" if signal.masked else signal.shape
        raise UnreadableError("undecodable", f"its shape is {values.shape}, not {usual} as usual")
    if not signal.masked:
        return _single(values), None
    kept = values[: signal.shape[0]]
    if not np.isfinite(kept).all():
        raise UnreadableError("non-finite", "it holds NaN or infinity")
    padded, mask = np.zeros(signal.shape, np.float32), np.zeros(signal.shape[0], np.bool_)
    padded[: len(kept)], mask[: len(kept)] = _single(kept), True
    return padded, mask


def _text(source: Path, cells: Sequence[Any], signal: Signal, known: Known) -> Read:
    return text_bytes(text(cells[0]), signal.shape[0]), None


def _number(source: Path, cells: Sequence[Any], signal: Signal, known: Known) -> Read:
    numbers: list[float] = []
    for name, cell in zip(signal.facts["columns"], cells, strict=True):
        given = cell if isinstance(cell, list) else [cell]
        where, usual = (f" of {name}" if len(cells) > 1 else ""), signal.shape[0] // len(cells)
        if len(given) != usual:
            raise UnreadableError(
                "undecodable", f"{len(given)} numbers{where} where others have {usual}"
            )
        for value in given:
            read = number(value)
            if read is None:
                raise UnreadableError("undecodable", f"{str(value)[:40]!r}{where} is no number")
            numbers.append(read)
    return _single(np.array(numbers) - signal.facts.get("origin", 0.0)), None


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    """In single precision; NaN stands for what is not known."""
    with np.errstate(over="ignore"):
        stored = values.astype(np.float32)
    if np.isinf(stored).any():
        raise UnreadableError(
            "non-finite", f"{values[np.isinf(stored)][0]:g} is more than single precision holds"
        )
    return stored


READ: dict[str, Callable[[Path, Sequence[Any], Signal, Known], Read]] = {
    "image": _image, "audio": _audio, "video": _video, "array": _array, "text": _text, "number": _number,
}  # fmt: skip


def text_bytes(said: str, length: int) -> NDArray[np.uint8]:
    """UTF-8, padded with zeros, cut at a whole character.

    Example:
        >>> text_bytes("né", 2).tobytes()
        b'n\\x00'
    """
    kept = said.encode()[:length].decode(errors="ignore").encode()
    stored = np.zeros(length, np.uint8)
    stored[: len(kept)] = np.frombuffer(kept, np.uint8)
    return stored


def load_values(path: Path) -> NDArray[Any]:
    """An ``.npy`` file of numbers."""
    try:
        with path.open("rb") as file:
            values: NDArray[Any] = read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise UnreadableError("missing-file", path.name) from None
    except (
        Exception
    ) as error:  # its header is parsed as Python: a damaged one ends in any of a dozen ways
        raise UnreadableError("undecodable", "it is no whole .npy file of plain numbers") from error
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2) or not values.size:
        raise UnreadableError("undecodable", "it must hold numbers in one or two axes")
    return values


def read_new_rows(
    layout: Layout, id_column: str, path: Path
) -> tuple[
    list[str], dict[str, NDArray[Any]], dict[str, NDArray[np.bool_]], dict[str, NDArray[np.bool_]]
]:
    """Rows of another table with the same columns: names, values, masks, and which rows have which modality.

    Texts are as long as they are here, not as those that were prepared.

    Raises:
        DataError: a column is missing, or a row cannot be read.
    """
    table = Table(path)
    columns = look(table)
    if absent := [
        c for names in layout.columns.values() for c in names if c not in columns and not table.json
    ]:
        raise DataError(
            f"{path} must have the columns that the data were prepared from, found no {', '.join(absent)}."
        )
    characters = layout.parameters["characters"]
    texts = {
        m: _text_signal(columns.get(names[0], Column()), characters)
        for m, names in layout.columns.items()
        if layout.kinds[m] in WORDS
    }
    layout = replace(layout, signals={**layout.signals, **texts})
    decode = TableDecode(layout)
    ids: list[str] = []
    rows: list[Decoded] = []
    for number_of_row, cells in enumerate(table, start=1):
        name = str(number_of_row if empty(cells.get(id_column)) else cells[id_column])
        try:
            rows.append(
                decode(path.parent, Sample(name, 0, name, layout.files(cells), layout.facts(cells)))
            )
        except UnreadableError as error:
            raise DataError(
                f"row {name} of {path} must be readable, found {error.reason}: {error.detail}."
            ) from error
        ids.append(name)
    values, masks, present = {}, {}, {}
    for m, signal in layout.signals.items():
        empty_row = np.zeros(signal.shape, signal.dtype)
        values[m] = np.stack(
            [empty_row if (value := row.values[m]) is None else value for row in rows]
        )
        present[m] = np.array([row.values[m] is not None for row in rows])
        if signal.masked:
            masks[m] = np.stack(
                [row.masks.get(m, np.zeros(signal.shape[0], np.bool_)) for row in rows]
            )
    return ids, values, masks, present


def layout_of(
    columns: Mapping[str, Column], options: Any, names: Sequence[str], table: Table
) -> Layout:
    """Modalities from columns: every column of files, text or lists is one, all columns of single numbers together are another.

    Raises:
        DataError: there is nothing to learn from, or an option names no kind.
    """
    if wrong := [f"{name}: {kind}" for name, kind in options.kinds.items() if kind not in KINDS]:
        raise DataError(
            f"kinds must give columns a kind ({', '.join(KINDS)}), found {', '.join(wrong)}."
        )
    kinds = {
        name: options.kinds.get(name, columns[name].kind) for name in names if columns[name].cells
    }
    single = tuple(
        name for name, kind in kinds.items() if kind == "number" and columns[name].width == 1
    )
    made: dict[str, tuple[str, ...]] = {}
    for name in kinds:
        if name not in single:
            made[_modality(name, made)] = (name,)
        elif single not in made.values():
            made[_modality(TABLE, made)] = single
    if not made:
        raise DataError(
            "a manifest must have a column to learn from beside its target, found none."
        )
    kind_of = {m: kinds[columns_of[0]] for m, columns_of in made.items()}
    signals = {}
    for m, columns_of in made.items():
        first = columns[columns_of[0]]
        if kind_of[m] in WORDS:
            signals[m] = _text_signal(first, options.characters)
        elif kind_of[m] in FILES:
            cells = [row.get(columns_of[0]) for row in table.rows(0, min(PROBED, len(table)))]
            signals[m] = SIGNAL[kind_of[m]](
                [table.path.parent / str(cell).strip() for cell in cells if not empty(cell)],
                options,
            )
        else:
            signals[m] = _table_signal(
                first.width if len(columns_of) == 1 else len(columns_of),
                {name: columns[name].origin for name in columns_of},
            )
    said = {
        key: getattr(options, key)
        for key in ("rate", "seconds", "size", "frames", "steps", "characters")
    }
    return Layout(signals, made, kind_of, said)


def _modality(column: str, taken: Collection[str]) -> str:
    """A column's name, made fit for files and modules.

    Example:
        >>> _modality("left eye", ()), _modality("target", ()), _modality("a/b.c", ("a_b_c",))
        ('left_eye', 'target_', 'a_b_c_')
    """
    name = re.sub(r"\W+", "_", column).strip("_") or "column"
    while name in RESERVED or name in taken or not is_name(name):
        name += "_"
    return name


def _table_signal(width: int, origins: Mapping[str, float]) -> Signal:
    facts = {"columns": list(origins)} | (
        {"origin": list(origins.values())} if any(origins.values()) else {}
    )
    return Signal("table", "float32", (width,), ({"name": "standardize"},), facts)


def _text_signal(column: Column, characters: int) -> Signal:
    return Signal(
        "text", "uint8", (max(1, min(column.longest, characters)),), ({"name": "tokens"},)
    )


def _image_signal(paths: Sequence[Path], options: Any) -> Signal:
    shape = (options.size, options.size, 3)
    return Signal(
        "image", "uint8", shape, ({"name": "pixels"}, {"name": "standardize", "axes": "all"})
    )


def _video_signal(paths: Sequence[Path], options: Any) -> Signal:
    shape = (options.frames, options.size, options.size, 3)
    return Signal(
        "video", "uint8", shape, ({"name": "pixels"}, {"name": "standardize", "axes": "all"})
    )


def _audio_signal(paths: Sequence[Path], options: Any) -> Signal:
    seconds = options.seconds or min(
        max((_seconds(path) for path in paths), default=0.0) or MOST_SECONDS, MOST_SECONDS
    )
    mel = {
        "name": "log_mel",
        "rate": options.rate,
        "n_fft": 2 ** round(np.log2(0.04 * options.rate)),
        "hop": options.rate // 100,
        "bands": 40,
    }
    return Signal(
        "audio",
        "int16",
        (int(np.ceil(seconds * options.rate)),),
        (mel, {"name": "standardize", "axes": "all"}),
        {"rate": options.rate},
    )


def _seconds(path: Path) -> float:
    try:
        samples, rate = decode_audio(path)
        return len(samples) / rate
    except UnreadableError:
        return 0.0  # it will be reported when its turn comes


def _array_signal(paths: Sequence[Path], options: Any) -> Signal:
    shapes = []
    for path in paths:
        try:
            shapes.append(load_values(path).shape)
        except UnreadableError:
            continue
    if not shapes:
        raise DataError(
            f"arrays that a manifest names must be .npy files of numbers in one or two axes, found none among the first {len(paths)}."
        )
    # What is usual decides, so that a file that is not costs only its own row.
    axes = Counter(map(len, shapes)).most_common(1)[0][0]
    usual = [shape for shape in shapes if len(shape) == axes]
    width = Counter(shape[-1] for shape in usual).most_common(1)[0][0]
    if axes == 1:
        return Signal("table", "float32", (width,), ({"name": "standardize"},))
    longest = max(shape[0] for shape in usual)
    return Signal(
        "sequence",
        "float32",
        (min(longest, options.steps), width),
        ({"name": "standardize", "clip": 5.0},),
        masked=True,
    )


SIGNAL: dict[str, Callable[[Sequence[Path], Any], Signal]] = {
    "image": _image_signal,
    "audio": _audio_signal,
    "video": _video_signal,
    "array": _array_signal,
}
"""How files of each kind are stored."""
FILES = frozenset(SIGNAL)
WORDS = frozenset({"text"})
"""Kinds that are as long as they come."""
