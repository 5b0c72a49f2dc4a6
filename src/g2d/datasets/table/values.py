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

from g2d.data.gaps import USUAL, Gaps, Invalid, fill_invalid
from g2d.data.store.facts import SOUND, VIDEO, Signal
from g2d.datasets.decoding import text_bytes
from g2d.datasets.table.columns import FILES, NUMBER, TEXT, text
from g2d.datasets.table.spelling import empty, number
from g2d.errors import G2DError, NoStreamError, UnreadableError
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
from g2d.prepare.outcomes import ABSENT, NO_STREAM, UNREADABLE
from g2d.prepare.plan import LACKING, as_unreadable


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
        return self.kinds[m] == SOUND and any(self.kinds[other] == VIDEO for other in others)

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
        invalid: What replaces invalid numbers.
    """

    source: Path
    signal: Signal
    parameters: Mapping[str, Any]
    warnings: list[str]
    columns: Sequence[str] = ()
    invalid: Invalid = "mean"

    def path(self, cells: Sequence[Any]) -> Path:
        """Return the path that the only cell holds."""
        return self.source / str(cells[0]).strip()


Values = tuple[NDArray[Any] | None, NDArray[np.bool_] | None, int]
"""Values of a modality, the mask of its steps if it has one, and the outcome."""


@dataclass(frozen=True)
class TableDecode:
    """Decodes a row to values, absent modalities and unreadable ones.

    Args:
        layout: Modalities and their columns.
        gaps: What absent and unreadable cells do to their row.
    """

    layout: Layout
    gaps: Gaps = USUAL

    def __call__(self, source: Path, sample: Sample) -> Decoded:
        warnings: list[str] = []
        read = {m: self._cell(m, source, sample, warnings) for m in self.layout.signals}
        if all(values is None for values, _, _ in read.values()):
            raise UnreadableError("zero-length", "; ".join(warnings) or "all its cells are empty")
        return Decoded(
            {m: values for m, (values, _, _) in read.items()},
            {m: mask for m, (_, mask, _) in read.items() if mask is not None},
            tuple(warnings),
            {m: outcome for m, (_, _, outcome) in read.items() if outcome},
        )

    def _cell(self, m: str, source: Path, sample: Sample, warnings: list[str]) -> Values:
        """Return what a row has of a modality."""
        kind, cells = self.layout.kinds[m], sample.facts[m]
        if kind in FILES:
            cells = [None if place is None else sample.files[place] for place in cells]
        if all(cell is None for cell in cells):
            return self._lacking(m, "its cell is empty", ABSENT)
        layout, sentences = self.layout, list[str]()
        columns, invalid = layout.columns[m], self.gaps.invalid
        context = Context(source, layout.signals[m], layout.parameters, sentences, columns, invalid)
        try:
            values, mask, outcome = DECODERS[kind](cells, context)
        except NoStreamError as error:
            return self._lacking(m, error.detail, NO_STREAM)
        except G2DError:
            raise
        except Exception as error:
            fault = as_unreadable(error)
            if fault.reason == "no-audio" and layout.second(m):
                return self._lacking(m, fault.detail, NO_STREAM)
            if self.gaps.unreadable == "skip":
                raise UnreadableError(fault.reason, f"{m}: {fault.detail}", m) from error
            warnings.append(f"{m} is absent: {fault.reason}: {fault.detail}")
            return None, None, UNREADABLE
        if values is None:
            warnings.append(f"{m} is absent: none of its numbers is finite")
            return self._lacking(m, "none of its numbers is finite", outcome)
        warnings.extend(sentences)
        return values, mask, outcome

    def _lacking(self, m: str, why: str, outcome: int) -> Values:
        """Return an absent modality, or skip its row."""
        if self.gaps.absent == "skip":
            raise UnreadableError(LACKING, f"{m}: {why}", m)
        return None, None, outcome


def _image(cells: Sequence[Any], context: Context) -> Values:
    height, width, _ = context.signal.shape
    return read_image(context.path(cells), (height, width)), None, 0


def _audio(cells: Sequence[Any], context: Context) -> Values:
    rate, samples = context.parameters["rate"], context.signal.shape[0]
    path, seconds = context.path(cells), samples / rate
    sound = read_audio(path, rate, context.warnings, seconds=seconds)
    kept = fit_length(sound, samples)
    if is_silent(kept):
        raise UnreadableError("no-audio", "its peak is below a thousandth of full scale")
    return kept, np.arange(samples) < len(sound) if context.signal.masked else None, 0


def _video(cells: Sequence[Any], context: Context) -> Values:
    frames, height, width, _ = context.signal.shape
    size, warnings = (height, width), context.warnings
    return read_frames(context.path(cells), spread(frames), size, warnings=warnings), None, 0


def _array(cells: Sequence[Any], context: Context) -> Values:
    signal, values = context.signal, load_values(context.path(cells))
    steps = len(values) if signal.masked else signal.shape[0]
    if values.shape != (steps, *signal.shape[1:]):
        usual = f"(steps, {signal.shape[1]})" if signal.masked else signal.shape
        raise UnreadableError(
            "undecodable", f"its shape is {values.shape}, most others have {usual}"
        )
    if not signal.masked:
        return _numbers(values, context)
    kept, _, outcome = _numbers(values[: signal.shape[0]], context)
    if kept is None:
        return None, None, outcome
    padded, mask = np.zeros(signal.shape, np.float32), np.zeros(signal.shape[0], np.bool_)
    padded[: len(kept)], mask[: len(kept)] = kept, True
    return padded, mask, outcome


def _text(cells: Sequence[Any], context: Context) -> Values:
    return text_bytes(text(cells[0]), context.signal.shape[0]), None, 0


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
    return _numbers(np.array(numbers), context, np.asarray(facts.get("origin", 0.0)))


def category_of(cell: Any) -> str:
    """Return the category that a cell names."""
    return str(cell).strip()


def _numbers(
    values: NDArray[Any], context: Context, origin: NDArray[np.float64] | float = 0.0
) -> Values:
    """Return numbers as they are stored, with invalid ones replaced.

    Args:
        values: The numbers.
        context: Information for decoding.
        origin: What is subtracted before storing.

    Raises:
        UnreadableError: A number is invalid, and its row is to be left out.
    """
    stored, bad = fill_invalid(values - origin, context.invalid, zero=np.negative(origin))
    if not bad.any():
        return stored, None, 0
    if context.invalid == "skip":
        first = values[bad][0]
        detail = "it holds NaN" if np.isnan(first) else f"{first:g} is too large for float32"
        raise UnreadableError("non-finite", detail)
    if context.invalid == "mean" and bad.all():
        return None, None, ABSENT
    return stored, None, int(bad.sum())


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
    check_readable(path)
    try:
        with path.open("rb") as file:
            read_header = HEADERS[read_magic(file)]
            shape, _, dtype = read_header(file)
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
