"""The process that reads a pickle: ``python -I child.py KIND PICKLE FOLDER BYTES SECONDS``. Standard library and NumPy only.

Four gates, each of which would do: a scan of the opcodes, names that are not on a short list are not looked up, what is built is walked,
and the process has limits of memory and time.
"""

from __future__ import annotations

import json
import pickle
import pickletools
import sys
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

_ALLOWED = (
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING",
    "SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST APPEND APPENDS LIST",
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET GET BINGET LONG_BINGET PUT BINPUT",
    "LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD",
)
OPCODES = frozenset(name for line in _ALLOWED for name in line.split())
DEPTH = 8
PLAIN_KINDS = "biufSU"
COVAREP, OPENFACE = (81,), (371, 75)


class RefusedError(Exception):
    """What the file must hold, and what it holds instead."""


class _NDArray:
    """Stands for the class numpy.ndarray, which nothing may call."""


def _reconstruct(kind: Any, shape: Any, code: Any) -> Any:
    if kind is not _NDARRAY or tuple(shape) != (0,):
        raise RefusedError("plain arrays, found a call of numpy's _reconstruct with something else")
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _scalar(dtype: Any, value: Any = b"") -> Any:
    if not isinstance(dtype, np.dtype) or dtype.kind not in PLAIN_KINDS or not isinstance(value, bytes):
        raise RefusedError("plain numbers, found a NumPy scalar of objects")
    return np.frombuffer(value, dtype, 1)[0]


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> Any:
    if not isinstance(buffer, bytes | bytearray) or not isinstance(dtype, np.dtype) or dtype.kind not in PLAIN_KINDS:
        raise RefusedError("plain arrays, found one of objects in a buffer")
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise RefusedError("plain values, found a call of _codecs.encode with something else")
    return text.encode("latin1")


_NDARRAY = _NDArray()
NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
}
for _core in ("numpy.core", "numpy._core"):
    NAMES |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _frombuffer,
    }
for _builtins in ("builtins", "__builtin__"):
    NAMES |= {(_builtins, made.__name__): made for made in (list, dict, int, set)}


class Unpickler(pickle.Unpickler):
    """Looks up nothing that is not on the list."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return NAMES[module, name]
        except KeyError:
            raise RefusedError(f"plain containers, numbers, text and arrays, found the name {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("plain containers, numbers, text and arrays, found a reference to something outside")


def read(path: Path) -> Any:
    """What a pickle holds."""
    with path.open("rb") as file:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name not in OPCODES:
                raise RefusedError(f"plain containers, numbers, text and arrays, found the opcode {opcode.name}")
            if opcode.name == "GLOBAL" and tuple(str(argument).split(" ", 1)) not in NAMES:
                raise RefusedError(f"plain containers, numbers, text and arrays, found the name {str(argument).replace(' ', '.')}")
        file.seek(0)
        made = Unpickler(file, encoding="latin1").load()
    walk(made)
    return made


def walk(value: Any, depth: int = 0) -> None:
    """Only what a feature file can hold."""
    if depth > DEPTH:
        raise RefusedError(f"at most {DEPTH} containers in one another, found more")
    if value is None or type(value) in (str, bytes, int, float, bool) or isinstance(value, np.generic):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            walk(key, depth + 1)
            walk(inner, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            walk(inner, depth + 1)
    elif type(value) is np.ndarray and value.dtype.kind in PLAIN_KINDS:
        return
    elif type(value) is np.ndarray and value.dtype.kind == "O":
        for inner in value.flat:
            walk(inner, depth + 1)
    else:
        raise RefusedError(f"plain containers, numbers, text and arrays, found a {type(value).__name__}")


def folds(value: Any, folder: Path) -> None:
    """``train``, ``dev``, ``test``: lists of ids."""
    _keys(value, {"train", "dev", "test"})
    (folder / "folds.json").write_text(json.dumps({name: [int(i) for i in ids] for name, ids in value.items()}))


def labels(value: Any, folder: Path) -> None:
    """Id -> 0 or 1."""
    (folder / "labels.json").write_text(json.dumps({int(i): float(np.asarray(label).reshape(-1)[0]) for i, label in _table(value).items()}))


def embedding(value: Any, folder: Path) -> None:
    """A row of 300 numbers per word index."""
    rows = np.asarray(value, np.float32)
    if rows.ndim != 2:
        raise RefusedError(f"a list of word vectors, found the shape {rows.shape}")
    np.save(folder / "embedding.npy", rows)


WORD_KEYS = {
    "punchline_embedding_indexes", "context_embedding_indexes", "punchline_sentence", "context_sentences", "punchline_intervals", "context_intervals",
}  # fmt: skip


def words(value: Any, folder: Path) -> None:
    """Id -> word indexes of the punchline and its context, and in version 2 the sentences."""
    punch, context, said = {}, {}, {}
    for i, entry in _table(value).items():
        _keys(entry, WORD_KEYS, some=True)
        punch[int(i)] = np.asarray(entry["punchline_embedding_indexes"], np.int64).reshape(-1, 1)
        context[int(i)] = [np.asarray(sentence, np.int64).reshape(-1, 1) for sentence in entry["context_embedding_indexes"]]
        said[int(i)] = [str(entry.get("punchline_sentence", "")), [str(text) for text in entry.get("context_sentences", [])]]
    _ragged(folder, punch, context, np.int64, (1,))
    (folder / "sentences.json").write_text(json.dumps(said))


def features(value: Any, folder: Path, widths: tuple[int, ...]) -> None:
    """Id -> numbers per word of the punchline and of its context."""
    punch, context = {}, {}
    for i, entry in _table(value).items():
        _keys(entry, {"punchline_features", "context_features"}, some=True)
        punch[int(i)] = _matrix(entry["punchline_features"])
        context[int(i)] = [_matrix(sentence) for sentence in entry.get("context_features", [])]
    _ragged(folder, punch, context, np.float32, widths)


def covarep(value: Any, folder: Path) -> None:
    """81 numbers of sound per word."""
    features(value, folder, COVAREP)


def openface(value: Any, folder: Path) -> None:
    """371 numbers of the face per word; 75 in version 1."""
    features(value, folder, OPENFACE)


def _ragged(folder: Path, punch: dict[int, Any], context: dict[int, list[Any]], kind: Any, widths: tuple[int, ...]) -> None:
    """All rows of all ids, one after the other, and where each begins."""
    ids = sorted(punch)
    found = {part.shape[1] for i in ids for part in (punch[i], *context[i]) if part.size}
    if len(found) > 1 or not found <= set(widths):
        raise RefusedError(f"{' or '.join(map(str, widths))} numbers per word, found {sorted(found)}")
    width = found.pop() if found else widths[0]
    empty = np.zeros((0, width), kind)
    np.save(folder / "ids.npy", np.array(ids, np.int64))
    sentences = [part for i in ids for part in context[i]]
    for name, parts in (("punch", [punch[i] for i in ids]), ("context", sentences)):
        whole = [np.asarray(part, kind) if part.size else empty for part in parts]
        np.save(folder / f"{name}.npy", np.concatenate(whole) if whole else empty)
        np.save(folder / f"{name}_offset.npy", np.cumsum([0, *(len(part) for part in whole)]))
    np.save(folder / "sentence_offset.npy", np.cumsum([0, *(len(context[i]) for i in ids)]))


def _matrix(value: Any) -> Any:
    rows = np.asarray(value, np.float32)
    if rows.ndim == 1 and rows.size:
        raise RefusedError("rows of numbers per word, found single numbers")
    return rows.reshape(len(rows), -1) if rows.size else np.zeros((0, 0), np.float32)


def _table(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise RefusedError(f"a mapping of ids, found a {type(value).__name__}")
    return value


def _keys(value: Any, known: set[str], some: bool = False) -> None:
    there = set(_table(value))
    if there - known or (not some and there != known):
        raise RefusedError(f"the keys {', '.join(sorted(known))}, found {', '.join(sorted(map(str, there - known or there)))}")


KINDS = {"folds": folds, "labels": labels, "embedding": embedding, "words": words, "covarep": covarep, "openface": openface}


def limit(memory: int, seconds: int) -> None:
    """No more memory, no more time, no file larger than what memory could hold."""
    try:
        import resource
    except ImportError:  # not on Windows; the parent still stops it in time
        return
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, memory)):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(kind: str, path: str, folder: str, memory: str, seconds: str) -> int:
    """Exit code 0, or 3 with a sentence on stderr."""
    limit(int(memory), int(seconds))
    try:
        KINDS[kind](read(Path(path)), Path(folder))
    except RefusedError as error:
        sys.stderr.write(str(error))
        return 3
    except MemoryError:
        sys.stderr.write(f"no more than {int(memory) / 2**30:.1f} GiB, found that it asks for more")
        return 3
    except Exception as error:
        sys.stderr.write(f"plain containers, numbers, text and arrays, found damage or something else ({type(error).__name__}: {error})"[:400])
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
