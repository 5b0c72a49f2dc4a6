"""The process that reads a pickle: ``python -I child.py KIND PICKLE SHA256 FOLDER BYTES SECONDS``. Standard library and NumPy only.

Four gates, each of which would do: a scan of the opcodes, names that are not on a short list are not looked up, what is built is ours until the
file is read and is then walked, and the process has limits of memory and time.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import pickletools
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALLOWED = (
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING",
    "SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST APPEND APPENDS LIST",
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET GET BINGET LONG_BINGET PUT BINPUT",
    "LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD",
)
OPCODES = frozenset(name for line in _ALLOWED for name in line.split())
DEPTH = 8
SCALARS = frozenset({type(None), str, bytes, int, float, bool})
COVAREP, OPENFACE, OPENFACE_1, GLOVE = 81, 371, 75, 300
PLAIN = "plain containers, numbers, text and arrays"


class RefusedError(Exception):
    """What the file must hold, and what it holds instead."""


def shown(value: Any, most: int = 80) -> str:
    """A value of the file in a sentence: short, and without characters that a terminal would obey."""
    text = repr(value) if type(value) in SCALARS else f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}..."


# NumPy's own unpickling believes what a file says of a type: where the file denies that an array of objects holds objects, its bytes are taken for
# their addresses. So nothing of NumPy is built while a file is read. Its names stand for the classes below, which only keep what they are told;
# arrays are made of that when all is read, from bytes of exactly the right number.


class Name:
    """What a name of a file stands for: it can be called, and nothing else can be done to it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise RefusedError(f"{PLAIN}, found an attempt to change a function")


class DType:
    """Stands for a numpy.dtype: its code, and the order of its bytes."""

    __slots__ = ("code", "order")
    CODE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,8}|O\d?")

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if type(code) is not str or not self.CODE.fullmatch(code):
            raise RefusedError(f"arrays of plain numbers or text, found the type {shown(code)}")
        self.code, self.order = code, ""

    def __setstate__(self, state: Any) -> None:
        plain = (
            type(state) is tuple
            and len(state) == 8
            and all(type(part) is int for part in (state[0], *state[5:]))
            and state[2:5] == (None,) * 3
        )
        if not plain or state[1] not in ("<", ">", "|", "="):
            raise RefusedError(
                "arrays of plain numbers or text, found a type with something else in it"
            )
        self.order = state[1]

    @property
    def objects(self) -> bool:
        """Whether it is one of references, not of values."""
        return self.code[0] == "O"

    def numpy(self) -> np.dtype[Any]:
        """The type itself."""
        if self.objects or not self.order:
            raise RefusedError("arrays of plain numbers or text, found a type of something else")
        return np.dtype(self.order + self.code)


class Array:
    """Stands for a numpy.ndarray: what the file says of it."""

    __slots__ = ("state",)

    def __init__(self, state: Any = None) -> None:
        self.state = state

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def made(self) -> Any:
        """The array; nested lists where it is one of objects."""
        state = self.state
        if (
            type(state) is not tuple
            or len(state) != 5
            or state[0] != 1
            or type(state[2]) is not DType
            or state[3] not in (0, 1)
        ):
            raise RefusedError(f"{PLAIN}, found an array without a shape, a type and a content")
        _, shape, dtype, fortran, data = state
        if type(shape) is not tuple or not all(type(size) is int and size >= 0 for size in shape):
            raise RefusedError(f"{PLAIN}, found an array with an impossible shape")
        if type(data) is str:
            data = data.encode("latin1")  # bytes, as Python 2 wrote them
        unit = 1 if dtype.objects else dtype.numpy().itemsize
        fits = (
            type(data) is (list if dtype.objects else bytes)
            and len(data) == math.prod(shape) * unit
        )
        if not fits:
            raise RefusedError(
                f"{PLAIN}, found an array whose content does not fit its shape and type"
            )
        order: Any = "F" if fortran else "C"
        if dtype.objects:
            return np.fromiter(data, object, len(data)).reshape(shape, order=order).tolist()
        return np.ndarray(shape, dtype.numpy(), data, order=order)


def _ndarray(*_: Any) -> Any:
    raise RefusedError(f"{PLAIN}, found a call of numpy.ndarray")


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    if kind is not NDARRAY or shape != (0,) or code not in ("b", b"b"):
        raise RefusedError(f"{PLAIN}, found a call of numpy's _reconstruct with something else")
    return Array()


def _scalar(dtype: Any, data: Any) -> Any:
    if type(dtype) is not DType or dtype.objects:
        raise RefusedError("plain numbers, found a NumPy scalar of objects")
    return Array((1, (), dtype, False, data)).made().item()


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> Array:
    if type(buffer) not in (bytes, bytearray) or order not in ("C", "F"):
        raise RefusedError(f"{PLAIN}, found a call of numpy's _frombuffer with something else")
    return Array((1, shape, dtype, order == "F", bytes(buffer)))


def _encode(text: Any, encoding: Any) -> bytes:
    if type(text) is not str or encoding != "latin1":
        raise RefusedError("plain values, found a call of _codecs.encode with something else")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _defaultdict(factory: Any = None) -> dict[Any, Any]:
    return {}


NDARRAY = Name(_ndarray)
NAMES: dict[tuple[str, str], Name] = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Name(DType),
    ("_codecs", "encode"): Name(_encode),
    ("collections", "OrderedDict"): Name(dict),
    ("collections", "defaultdict"): Name(_defaultdict),
}
for _core in ("numpy.core", "numpy._core"):
    NAMES |= {
        (f"{_core}.multiarray", "_reconstruct"): Name(_reconstruct),
        (f"{_core}.multiarray", "scalar"): Name(_scalar),
        (f"{_core}.numeric", "_frombuffer"): Name(_frombuffer),
    }
for _builtins in ("builtins", "__builtin__"):
    NAMES |= {(_builtins, made.__name__): Name(made) for made in (list, dict, int, set)}
    NAMES[_builtins, "bytes"] = Name(_no_bytes)  # so protocols 0 to 2 write empty bytes


class Unpickler(pickle.Unpickler):
    """Looks up nothing that is not on the list."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return NAMES[module, name]
        except KeyError:
            raise RefusedError(f"{PLAIN}, found the name {shown(f'{module}.{name}')}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError(f"{PLAIN}, found a reference to something outside")


def read(file: BufferedReader) -> Any:
    """What a pickle holds, in plain containers."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name not in OPCODES:
            raise RefusedError(f"{PLAIN}, found the opcode {opcode.name}")
        if opcode.name == "GLOBAL" and tuple(str(argument).split(" ", 1)) not in NAMES:
            raise RefusedError(
                f"{PLAIN}, found the name {shown(str(argument).replace(' ', '.', 1))}"
            )
    if file.read(1):
        raise RefusedError(f"one pickle, found more bytes after its end at byte {file.tell() - 1}")
    file.seek(0)
    return Walk()(Unpickler(file, encoding="latin1").load())[0]


class Walk:
    """Puts what the stand-ins stand for in their place, and admits only what a feature file can hold.

    What is shared is looked at once: a small file can say a list of lists of lists that no machine could count.
    """

    def __init__(self) -> None:
        self.done: dict[int, tuple[Any, Any, int]] = {}
        """By its id, a value (so that the id stays its own), its plain form, and how many containers stand in one another in it."""

    def __call__(self, value: Any, around: int = 0) -> tuple[Any, int]:
        if type(value) in SCALARS:
            return value, 0
        if id(value) not in self.done:
            self._not_deeper(around + 1)
            self.done[id(value)] = (value, *self._plain(value, around))
        _, plain, height = self.done[id(value)]
        self._not_deeper(around + height)
        return plain, height

    def _plain(self, value: Any, around: int) -> tuple[Any, int]:
        if type(value) is Array:
            made, inner = value.made(), 0
            if not isinstance(made, np.ndarray):
                made, inner = self(made, around + 1)
            return made, 1 + inner
        if type(value) is dict:
            keys, first = self._all(value.keys(), around + 1)
            values, second = self._all(value.values(), around + 1)
            return dict(zip(keys, values, strict=True)), 1 + max(first, second)
        if type(value) in (list, tuple, set, frozenset):
            parts, inner = self._all(value, around + 1)
            return parts if parts is value else type(value)(parts), 1 + inner
        raise RefusedError(f"{PLAIN}, found {shown(value)}")

    def _all(self, values: Iterable[Any], around: int) -> tuple[Any, int]:
        """Of what a container holds; where that is numbers or text it stays as it is."""
        if SCALARS.issuperset(map(type, values)):
            return values, 0
        parts = [self(value, around) for value in values]
        return [plain for plain, _ in parts], max(height for _, height in parts)

    def _not_deeper(self, depth: int) -> None:
        if depth > DEPTH:
            raise RefusedError(f"at most {DEPTH} containers in one another, found more")


def folds(value: Any, folder: Path) -> None:
    """``train``, ``dev``, ``test``: lists of ids."""
    names = {"train", "dev", "test"}
    _keys(value, names, names)
    for ids in value.values():
        if type(ids) not in (list, tuple, set, np.ndarray):
            raise RefusedError(f"a list of ids for each fold, found {shown(ids)}")
    (folder / "folds.json").write_text(
        json.dumps({name: [_id(i) for i in ids] for name, ids in value.items()})
    )


def labels(value: Any, folder: Path) -> None:
    """Id -> 0 or 1."""
    table = {}
    for i, label in _table(value).items():
        what = f"one number as the label of id {_id(i)}"
        number = _numbers(label, what)
        if number.size != 1:
            raise RefusedError(f"{what}, found {number.size}")
        table[_id(i)] = float(number.item())
    (folder / "labels.json").write_text(json.dumps(table))


def embedding(value: Any, folder: Path) -> None:
    """A row of 300 numbers per word index."""
    np.save(
        folder / "embedding.npy",
        _rows(_numbers(value, f"rows of {GLOVE} numbers"), GLOVE, "word").astype(np.float32),
    )


INDEXES = {"punchline_embedding_indexes", "context_embedding_indexes"}
SENTENCES = {"punchline_sentence", "context_sentences"}
INTERVALS = {"punchline_intervals", "context_intervals"}


def words(value: Any, folder: Path, needed: set[str]) -> None:
    """Id -> word indexes of the punchline and its context, and in version 2 the sentences."""
    punch, context, said = {}, {}, {}
    for key, entry in _table(value).items():
        i = _id(key)
        _keys(entry, needed, INDEXES | SENTENCES | INTERVALS)
        punch[i] = _indexes(entry["punchline_embedding_indexes"], i)
        context[i] = [_indexes(sentence, i) for sentence in entry["context_embedding_indexes"]]
        said[i] = [
            _text(entry.get("punchline_sentence", ""), i),
            [_text(text, i) for text in entry.get("context_sentences", [])],
        ]
    _ragged(folder, punch, context, np.zeros((0, 1), np.int64))
    (folder / "sentences.json").write_text(json.dumps(said))


def features(value: Any, folder: Path, width: int) -> None:
    """Id -> numbers per word of the punchline and of its context."""
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
    """All rows of all ids, one after the other, and where each begins; ``none`` is an array of no row."""
    ids = sorted(punch)
    np.save(folder / "ids.npy", np.array(ids, np.int64))
    for name, parts in (
        ("punch", [punch[i] for i in ids]),
        ("context", [part for i in ids for part in context[i]]),
    ):
        np.save(folder / f"{name}.npy", np.concatenate([none, *parts]))
        np.save(folder / f"{name}_offset.npy", np.cumsum([0, *(len(part) for part in parts)]))
    np.save(folder / "sentence_offset.npy", np.cumsum([0, *(len(context[i]) for i in ids)]))


def _numbers(value: Any, what: str) -> NDArray[Any]:
    """What is no number is refused: NumPy would make one of None and of text."""
    try:
        numbers = np.asarray(value)
    except ValueError:
        raise RefusedError(f"{what}, found rows of different lengths") from None
    if numbers.size and numbers.dtype.kind not in "biuf":
        raise RefusedError(
            f"{what}, found {shown(next((part for part in _leaves(value) if type(part) not in (bool, int, float)), value))}"
        )
    return numbers


def _leaves(value: Any) -> Iterable[Any]:
    for part in value if isinstance(value, list | tuple) else ():
        yield from _leaves(part) if isinstance(part, list | tuple) else (part,)


def _rows(numbers: NDArray[Any], width: int, what: str) -> NDArray[Any]:
    """``(rows, width)``; no row at all may come without a width."""
    if numbers.ndim and not len(numbers):
        return np.zeros((0, width), numbers.dtype)
    if numbers.ndim != 2 or numbers.shape[1] != width:
        raise RefusedError(
            f"{width} numbers per {what}, found {numbers.shape[1] if numbers.ndim == 2 else f'the shape {numbers.shape}'}"
        )
    return numbers


def _features(value: Any, width: int, i: int) -> NDArray[Any]:
    where = f"word of id {i}"
    with np.errstate(over="ignore"):  # beyond float32 is infinite, which is counted later
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
    """``(words, 1)``; version 1 writes them so, version 2 without the last axis."""
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
    value.encode()  # half a character, which no file of text can hold, is refused here
    return value


def _table(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise RefusedError(f"a mapping, found {shown(value)}")
    return value


def _keys(value: Any, needed: set[str], known: set[str]) -> None:
    there = set(_table(value))
    if there - known:
        raise RefusedError(
            f"the keys {', '.join(sorted(known))}, found {shown(min(there - known, key=repr))}"
        )
    if needed - there:
        raise RefusedError(f"the keys {', '.join(sorted(needed))}, found no {min(needed - there)}")


KINDS: dict[str, Callable[[Any, Path], None]] = {
    "folds": folds,
    "labels": labels,
    "embedding": embedding,
    "words": partial(words, needed=INDEXES | SENTENCES),
    "words-v1": partial(words, needed=INDEXES),
    "covarep": partial(features, width=COVAREP),
    "openface": partial(features, width=OPENFACE),
    "openface-v1": partial(features, width=OPENFACE_1),
}


def limit(memory: int, seconds: int) -> None:
    """No more memory, no more time, no file larger than what memory could hold."""
    try:
        import resource
    except ImportError:  # not on Windows; the parent still stops it in time
        return
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, memory),
    ):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(
            what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
        )


def _still(file: BufferedReader, digest: str) -> None:
    """Refuse a file that is not the one whose hash names its conversion."""
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
        raise RefusedError(
            "the same bytes from start to end, found that it changed while it was read"
        )
    file.seek(0)


def main(kind: str, path: str, digest: str, folder: str, memory: str, seconds: str) -> int:
    """Exit code 0, or 3 with a sentence on stderr."""
    limit(int(memory), int(seconds))
    try:
        with Path(path).open("rb") as file:
            _still(file, digest)
            value = read(file)
            _still(file, digest)
        KINDS[kind](value, Path(folder))
    except RefusedError as error:
        sys.stderr.write(str(error))
    except MemoryError:
        sys.stderr.write(f"no more than {int(memory) / 2**30:.1f} GiB, found that it asks for more")
    except OSError as error:
        sys.stderr.write(f"what can be read and written again, found: {error.strerror}")
    except Exception as error:
        sys.stderr.write(
            f"{PLAIN}, found damage or something else ({type(error).__name__}: {shown(str(error), 200)})"
        )
    else:
        return 0
    return 3


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
