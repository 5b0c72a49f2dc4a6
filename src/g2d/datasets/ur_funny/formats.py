"""The files of UR-FUNNY: check what their pickles hold and write it as plain arrays and JSON.

The converters run in the process that reads a pickle (:mod:`g2d.prepare.plainpickle`), where the
rest of the package cannot be imported. So this module imports only the standard library, NumPy and
the child itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.prepare.plainpickle.child import Converter, RefusedError, shown

VERSION = 2
"""Version of the written files. Raise it with every change, so that older files are not reused."""
COVAREP, OPENFACE, OPENFACE_1, GLOVE = 81, 371, 75, 300
"""Numbers per word of the sound, of the face in version 2 and in version 1, and of the text."""


def folds(value: Any, folder: Path) -> None:
    """Write ``folds.json``: the ids of ``train``, ``dev`` and ``test``."""
    names = {"train", "dev", "test"}
    _keys(value, names, names)
    for ids in value.values():
        if type(ids) not in (list, tuple, set, np.ndarray):
            raise RefusedError(f"a list of ids for each fold, found {shown(ids)}")
    (folder / "folds.json").write_text(
        json.dumps({name: [_id(i) for i in ids] for name, ids in value.items()})
    )


def labels(value: Any, folder: Path) -> None:
    """Write ``labels.json``: the label of every id, a number."""
    table = {}
    for i, label in _table(value).items():
        what = f"one number as the label of id {_id(i)}"
        number = _numbers(label, what)
        if number.size != 1:
            raise RefusedError(f"{what}, found {number.size}")
        table[_id(i)] = float(number.item())
    (folder / "labels.json").write_text(json.dumps(table))


def embedding(value: Any, folder: Path) -> None:
    """Write ``embedding.npy``: 300 numbers for every word index."""
    np.save(
        folder / "embedding.npy",
        _rows(_numbers(value, f"rows of {GLOVE} numbers"), GLOVE, "word").astype(np.float32),
    )


INDEXES = {"punchline_embedding_indexes", "context_embedding_indexes"}
SENTENCES = {"punchline_sentence", "context_sentences"}
INTERVALS = {"punchline_intervals", "context_intervals"}


def words(value: Any, folder: Path, needed: set[str]) -> None:
    """Write the word indexes of every punchline and its context, and ``sentences.json``.

    Args:
        value: Content of the pickle.
        folder: Folder for the files.
        needed: Keys that every entry must have; version 1 has no sentences.
    """
    punch, context, sentences = {}, {}, {}
    for key, entry in _table(value).items():
        i = _id(key)
        _keys(entry, needed, INDEXES | SENTENCES | INTERVALS)
        punch[i] = _indexes(entry["punchline_embedding_indexes"], i)
        context[i] = [_indexes(sentence, i) for sentence in entry["context_embedding_indexes"]]
        sentences[i] = [
            _text(entry.get("punchline_sentence", ""), i),
            [_text(text, i) for text in entry.get("context_sentences", [])],
        ]
    _ragged(folder, punch, context, np.zeros((0, 1), np.int64))
    (folder / "sentences.json").write_text(json.dumps(sentences))


def features(value: Any, folder: Path, width: int) -> None:
    """Write the features of every punchline and its context.

    Args:
        value: Content of the pickle.
        folder: Folder for the files.
        width: Numbers per word.
    """
    punch, context = {}, {}
    for key, entry in _table(value).items():
        i = _id(key)
        _keys(entry, {"punchline_features"}, {"punchline_features", "context_features"})
        punch[i] = _features(entry["punchline_features"], width, i)
        context[i] = [
            _features(sentence, width, i) for sentence in entry.get("context_features", [])
        ]
    _ragged(folder, punch, context, np.zeros((0, width), np.float32))


def _ragged(
    folder: Path, punch: dict[int, Any], context: dict[int, list[Any]], none: NDArray[Any]
) -> None:
    """Write the rows of all ids one after the other, and the position where each begins.

    Args:
        folder: Folder for the files.
        punch: Rows of every punchline, by id.
        context: Rows of every sentence before it, by id.
        none: Array without rows, which defines the type and width.
    """
    ids = sorted(punch)
    np.save(folder / "ids.npy", np.array(ids, np.int64))
    for name, parts in (
        ("punch", [punch[i] for i in ids]),
        ("context", [part for i in ids for part in context[i]]),
    ):
        np.save(folder / f"{name}.npy", np.concatenate([none, *parts]))
        np.save(folder / f"{name}_offset.npy", np.cumsum([0, *(len(part) for part in parts)]))
    np.save(folder / "sentence_offset.npy", np.cumsum([0, *(len(context[i]) for i in ids)]))


@dataclass(frozen=True)
class Ragged:
    """Rows of all samples one after the other, of the punchlines and of the sentences before them.

    Args:
        place: Position of every id.
        rows: Rows of the punchlines ``(R, d)``.
        offset: First row of every punchline, by position.
        context_rows: Rows of the sentences before the punchlines.
        context_offset: First row of every such sentence.
        sentence_offset: First such sentence of every position.
    """

    place: dict[int, int]
    rows: NDArray[Any]
    offset: NDArray[np.int64]
    context_rows: NDArray[Any]
    context_offset: NDArray[np.int64]
    sentence_offset: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> Ragged:
        """Open what :data:`CONVERTERS` wrote for words or features."""
        names = ("punch", "punch_offset", "context", "context_offset", "sentence_offset")
        arrays = [
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names
        ]
        ids = np.load(folder / "ids.npy", allow_pickle=False)
        return cls({int(i): place for place, i in enumerate(ids)}, *arrays)

    def punch(self, i: int) -> NDArray[Any]:
        """Return the rows ``(words, d)`` of a punchline."""
        place = self.place[i]
        return np.array(self.rows[self.offset[place] : self.offset[place + 1]])

    def context(self, i: int) -> list[NDArray[Any]]:
        """Return the rows ``(words, d)`` of every sentence before a punchline."""
        offset = self.context_offset
        return [np.array(self.context_rows[offset[s] : offset[s + 1]]) for s in self._sentences(i)]

    def lengths(self, i: int) -> tuple[int, tuple[int, ...]]:
        """Return the number of words of a punchline, and of every sentence before it."""
        place, offset = self.place[i], self.context_offset
        context = tuple(int(offset[s + 1] - offset[s]) for s in self._sentences(i))
        return int(self.offset[place + 1] - self.offset[place]), context

    def _sentences(self, i: int) -> range:
        place = self.place[i]
        return range(int(self.sentence_offset[place]), int(self.sentence_offset[place + 1]))


def _numbers(value: Any, what: str) -> NDArray[Any]:
    """Return an array of numbers; refuse None and text, which NumPy would convert."""
    try:
        numbers = np.asarray(value)
    except ValueError:
        raise RefusedError(f"{what}, found rows of different lengths") from None
    if numbers.size and numbers.dtype.kind not in "biuf":
        odd = (part for part in _leaves(value) if type(part) not in (bool, int, float))
        raise RefusedError(f"{what}, found {shown(next(odd, value))}")
    return numbers


def _leaves(value: Any) -> Iterable[Any]:
    for part in value if isinstance(value, list | tuple) else ():
        yield from _leaves(part) if isinstance(part, list | tuple) else (part,)


def _rows(numbers: NDArray[Any], width: int, what: str) -> NDArray[Any]:
    """Check that an array is ``(rows, width)``; an array without rows may lack the width."""
    if numbers.ndim and not len(numbers):
        return np.zeros((0, width), numbers.dtype)
    if numbers.ndim != 2 or numbers.shape[1] != width:
        shape = numbers.shape
        raise RefusedError(
            f"{width} numbers per {what}, "
            f"found {shape[1] if len(shape) == 2 else f'the shape {shape}'}"
        )
    return numbers


def _features(value: Any, width: int, i: int) -> NDArray[Any]:
    where = f"word of id {i}"
    with np.errstate(over="ignore"):  # values too large for float32 become infinite
        return _rows(_numbers(value, f"{width} numbers per {where}"), width, where).astype(
            np.float32
        )


def _whole(value: Any, what: str) -> NDArray[np.int64]:
    numbers = _numbers(value, what)
    with np.errstate(invalid="ignore"):
        whole = numbers.astype(np.int64)
    if (whole != numbers).any():
        raise RefusedError(f"{what}, found {numbers[whole != numbers][0]}")
    return whole


def _indexes(value: Any, i: int) -> NDArray[Any]:
    """Return word indexes ``(words, 1)``; version 2 stores them without the last axis."""
    whole = _whole(value, f"whole numbers as word indexes of id {i}")
    return _rows(whole[:, None] if whole.ndim == 1 else whole, 1, f"word of id {i}")


def _id(value: Any) -> int:
    what = "whole numbers as ids"
    number = _whole(value, what)
    if number.ndim:
        raise RefusedError(f"{what}, found {shown(value)}")
    return int(number)


def _text(value: Any, i: int) -> str:
    if type(value) is not str:
        raise RefusedError(f"text as the sentences of id {i}, found {shown(value)}")
    value.encode()  # refuses half of a surrogate pair, which no text file can hold
    return value


def _table(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise RefusedError(f"a mapping, found {shown(value)}")
    return value


def _keys(value: Any, needed: set[str], known: set[str]) -> None:
    keys = set(_table(value))
    if unknown := keys - known:
        raise RefusedError(
            f"the keys {', '.join(sorted(known))}, found {shown(min(unknown, key=repr))}"
        )
    if missing := needed - keys:
        raise RefusedError(f"the keys {', '.join(sorted(needed))}, found no {min(missing)}")


CONVERTERS: dict[str, Converter] = {
    "folds": folds,
    "labels": labels,
    "embedding": embedding,
    "words": partial(words, needed=INDEXES | SENTENCES),
    "words-v1": partial(words, needed=INDEXES),
    "covarep": partial(features, width=COVAREP),
    "openface": partial(features, width=OPENFACE),
    "openface-v1": partial(features, width=OPENFACE_1),
}
"""Converter of every kind of file."""
