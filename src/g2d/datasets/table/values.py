"""Decode the cells of a row to the values of its modalities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import (
    read_array,
    read_array_header_1_0,
    read_array_header_2_0,
    read_magic,
)
from numpy.typing import NDArray

from g2d.data.store.facts import Signal
from g2d.datasets.decoding import text_bytes
from g2d.datasets.table.columns import FILES, NUMBER, TEXT, text
from g2d.datasets.table.spelling import empty, number
from g2d.errors import UnreadableError
from g2d.prepare import Decoded, Sample
from g2d.prepare.media import (
    check_readable,
    fit_length,
    is_silent,
    read_audio,
    read_frames,
    read_image,
    spread,
)


@dataclass(frozen=True)
class Layout:
    """Modalities and the columns they come from.

    Args:
        signals: How each modality is stored.
        columns: Columns of each modality.
        kinds: Kind of the cells of each modality: image, audio, video, array, text or number.
        parameters: Rates, sizes and lengths.
        lines: Sentences about the length and the streams of each modality.
    """

    signals: Mapping[str, Signal]
    columns: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]
    parameters: dict[str, Any]
    lines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def second(self, m: str) -> bool:
        """Return whether a modality is the sound of videos that are another modality."""
        others = (other for other, names in self.columns.items() if names == self.columns[m])
        return self.kinds[m] == "audio" and any(self.kinds[other] == "video" for other in others)

    def files(self, cells: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the paths in a row."""
        return tuple(
            str(cells[c]).strip()
            for m, names in self.columns.items()
            if self.kinds[m] in FILES
            for c in names
            if not empty(cells.get(c))
        )

    def present(self, cells: Mapping[str, Any]) -> list[bool]:
        """Return which modalities a row has."""
        return [not all(empty(cells.get(c)) for c in names) for names in self.columns.values()]

    def facts(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """Return the texts and numbers of a row by modality; files by position in its files."""
        place = count()

        def fact(m: str, cell: Any) -> Any:
            if empty(cell):
                return None
            return next(place) if self.kinds[m] in FILES else cell

        return {m: [fact(m, cells.get(c)) for c in names] for m, names in self.columns.items()}


@dataclass(frozen=True)
class Context:
    """Information for decoding the cells of a modality.

    Args:
        source: Folder that paths are relative to.
        signal: How the modality is stored.
        parameters: Rates, sizes and lengths.
        warnings: List that receives sentences about the sample.
        columns: Columns that the cells come from.
    """

    source: Path
    signal: Signal
    parameters: Mapping[str, Any]
    warnings: list[str]
    columns: Sequence[str] = ()

    def path(self, cells: Sequence[Any]) -> Path:
        """Return the path that the only cell holds."""
        return self.source / str(cells[0]).strip()


@dataclass(frozen=True)
class TableDecode:
    """Decodes a row. If all cells of a modality are empty, the row lacks the modality."""

    layout: Layout

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        layout = self.layout
        values: dict[str, NDArray[Any] | None] = {}
        masks: dict[str, NDArray[np.bool_]] = {}
        warnings: list[str] = []
        for m, signal in layout.signals.items():
            kind, cells = layout.kinds[m], sample.facts[m]
            if kind in FILES:
                cells = [None if place is None else sample.files[place] for place in cells]
            if all(cell is None for cell in cells):
                values[m] = None
                continue
            try:
                context = Context(source, signal, layout.parameters, warnings, layout.columns[m])
                values[m], mask = DECODERS[kind](cells, context)
            except UnreadableError as error:
                if error.reason == "no-audio" and layout.second(m):
                    values[m] = None
                    continue
                raise UnreadableError(error.reason, f"{m}: {error.detail}") from error
            if mask is not None:
                masks[m] = mask
        if all(value is None for value in values.values()):
            raise UnreadableError("zero-length", "all of its cells are empty")
        return Decoded(values, masks, tuple(warnings))


Values = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Values of a modality, and the mask of its steps if it has one."""


def _image(cells: Sequence[Any], context: Context) -> Values:
    height, width, _ = context.signal.shape
    return read_image(context.path(cells), (height, width)), None


def _audio(cells: Sequence[Any], context: Context) -> Values:
    rate, samples = context.parameters["rate"], context.signal.shape[0]
    path, seconds = context.path(cells), samples / rate
    sound = read_audio(path, rate, context.warnings, seconds=seconds)
    kept = fit_length(sound, samples)
    if is_silent(kept):
        raise UnreadableError("no-audio", "its peak is below a thousandth of full scale")
    return kept, np.arange(samples) < len(sound) if context.signal.masked else None


def _video(cells: Sequence[Any], context: Context) -> Values:
    frames, height, width, _ = context.signal.shape
    size, warnings = (height, width), context.warnings
    return read_frames(context.path(cells), spread(frames), size, warnings=warnings), None


def _array(cells: Sequence[Any], context: Context) -> Values:
    signal, values = context.signal, load_values(context.path(cells))
    steps = len(values) if signal.masked else signal.shape[0]
    if values.shape != (steps, *signal.shape[1:]):
        usual = f"(steps, {signal.shape[1]})" if signal.masked else signal.shape
        raise UnreadableError(
            "undecodable", f"its shape is {values.shape}, most others have {usual}"
        )
    if not signal.masked:
        return _single(values), None
    kept = values[: signal.shape[0]]
    if not np.isfinite(kept).all():
        raise UnreadableError("non-finite", "it holds NaN or infinity")
    padded, mask = np.zeros(signal.shape, np.float32), np.zeros(signal.shape[0], np.bool_)
    padded[: len(kept)], mask[: len(kept)] = _single(kept), True
    return padded, mask


def _text(cells: Sequence[Any], context: Context) -> Values:
    return text_bytes(text(cells[0]), context.signal.shape[0]), None


def _number(cells: Sequence[Any], context: Context) -> Values:
    facts = context.signal.facts
    categories = facts.get("categories", {})
    usual = 1 if categories or len(cells) > 1 else context.signal.shape[0]
    numbers: list[float] = []
    for name, cell in zip(context.columns, cells, strict=True):
        if name in categories:  # an empty cell and an unknown value are none of the categories
            numbers.extend(category_of(cell) == value for value in categories[name])
            continue
        given = cell if isinstance(cell, list) else [cell]
        where = f" in {name}" if len(cells) > 1 else ""
        if len(given) != usual:
            detail = f"{len(given)} numbers{where}, most others have {usual}"
            raise UnreadableError("undecodable", detail)
        for value in given:
            parsed = number(value)
            if parsed is None:
                detail = f"{str(value)[:40]!r}{where} is not a number"
                raise UnreadableError("undecodable", detail)
            numbers.append(parsed)
    return _single(np.array(numbers) - facts.get("origin", 0.0)), None


def category_of(cell: Any) -> str:
    """Return the category that a cell names."""
    return str(cell).strip()


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    """Convert to float32, where NaN marks unknown values; refuse values that are too large."""
    with np.errstate(over="ignore"):
        stored = values.astype(np.float32)
    if np.isinf(stored).any():
        raise UnreadableError(
            "non-finite", f"{values[np.isinf(stored)][0]:g} is too large for float32"
        )
    return stored


DECODERS: dict[str, Callable[[Sequence[Any], Context], Values]] = {
    "image": _image,
    "audio": _audio,
    "video": _video,
    "array": _array,
    TEXT: _text,
    NUMBER: _number,
}
"""Function that decodes the cells of a modality, by kind."""


def load_values(path: Path) -> NDArray[Any]:
    """Load the numbers of an ``.npy`` file, ``(n,)`` or ``(steps, n)``.

    Raises:
        UnreadableError: The file is missing or damaged, or holds something else.
    """
    check_readable(path)
    try:
        with path.open("rb") as file:
            values: NDArray[Any] = read_array(file, allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python, so damage has many errors
        raise UnreadableError(
            "undecodable", "it is not a complete .npy file of plain numbers"
        ) from error
    _check_array(values.dtype, values.shape)
    return values


def array_shape(path: Path) -> tuple[int, ...]:
    """Return the shape of the numbers of an ``.npy`` file; only the header is read.

    Raises:
        UnreadableError: As in :func:`load_values`, except for damage after the header.
    """
    try:
        with path.open("rb") as file:
            read_header = HEADERS[read_magic(file)]
            shape, _, dtype = read_header(file)
    except FileNotFoundError:
        raise UnreadableError("missing-file", path.name) from None
    except Exception as error:  # as in load_values
        raise UnreadableError("undecodable", "it has no header of an .npy file") from error
    _check_array(dtype, shape)
    return tuple(shape)


HEADERS: dict[tuple[int, int], Callable[[Any], Any]] = {
    (1, 0): read_array_header_1_0,
    (2, 0): read_array_header_2_0,
}
"""Functions that read the header of an array of numbers, by the version of the format."""


def _check_array(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Refuse an array that holds something else than numbers in one or two axes."""
    if dtype.kind not in "fiub" or len(shape) not in (1, 2) or 0 in shape:
        raise UnreadableError("undecodable", "it must hold numbers in one or two axes")
