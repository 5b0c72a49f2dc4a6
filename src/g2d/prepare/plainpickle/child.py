"""The process that reads a pickle, on the standard library and NumPy alone.

It runs as ``python -I child.py CONVERTERS KIND PICKLE SHA256 FOLDER BYTES SECONDS``. ``CONVERTERS``
is the path of a module of this package whose ``CONVERTERS`` maps a kind to the function that checks
what was read and writes it as plain files.

Four independent barriers keep a malicious file harmless: a scan of the opcodes; a list of the only
names that are looked up; placeholders for NumPy's types while the file is read, and a walk
over the result; and limits of memory and time for the process.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import pickle
import pickletools
import re
import sys
from collections.abc import Callable, Iterable
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

_ALLOWED = (
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2",
    "LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE",
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST",
    "APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM",
    "SETITEMS EMPTY_SET ADDITEMS FROZENSET GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT",
    "MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD",
)
OPCODES = frozenset(name for line in _ALLOWED for name in line.split())
"""Opcodes that a pickle may use."""
DEPTH = 8
"""Deepest nesting of containers."""
SCALARS = frozenset({type(None), str, bytes, int, float, bool})
PLAIN = "plain containers, numbers, text and arrays"
Converter = Callable[[Any, Path], None]
"""Function that checks what a pickle holds and writes it into a folder as plain files."""


class RefusedError(Exception):
    """Error about a file that is not read: the rule for its content, and what it holds instead."""


def shown(value: Any, most: int = 80) -> str:
    """Return a value of the file for a message: short, and free of control characters."""
    text = repr(value) if type(value) in SCALARS else f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}..."


# NumPy's own unpickling trusts what a file says about a type: if the file denies that an array of
# objects holds objects, the bytes are taken for their addresses. So nothing of NumPy is built while
# a file is read. NumPy's names are replaced by the classes below, which only store their arguments;
# arrays are built from these after the whole file was read, and only if the number of bytes fits.


class Name:
    """Placeholder for an importable name in the pickle; only calling it is allowed."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise RefusedError(f"{PLAIN}, found an attempt to change a function")


class DType:
    """Placeholder for a numpy.dtype: its code and its byte order."""

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
            raise RefusedError("arrays of plain numbers or text, found a type with more in it")
        self.order = state[1]

    @property
    def objects(self) -> bool:
        """Whether the array holds references to objects."""
        return self.code[0] == "O"

    def numpy(self) -> np.dtype[Any]:
        """Return the NumPy type; refuse a type of objects."""
        if self.objects or not self.order:
            raise RefusedError("arrays of plain numbers or text, found a type of something else")
        return np.dtype(self.order + self.code)


class Array:
    """Placeholder for a numpy.ndarray: its state as the file gives it."""

    __slots__ = ("state",)

    def __init__(self, state: Any = None) -> None:
        self.state = state

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def made(self) -> Any:
        """Build the array, or nested lists if it holds objects."""
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
            data = data.encode("latin1")  # Python 2 wrote bytes as text
        unit = 1 if dtype.objects else dtype.numpy().itemsize
        kind: Any = list if dtype.objects else bytes
        if type(data) is not kind or len(data) != math.prod(shape) * unit:
            raise RefusedError(f"{PLAIN}, found an array whose content does not fit its shape")
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


NDARRAY = Name(_ndarray)
NAMES: dict[tuple[str, str], Name] = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Name(DType),
    ("_codecs", "encode"): Name(_encode),
    ("collections", "OrderedDict"): Name(dict),
    ("collections", "defaultdict"): Name(lambda factory=None: {}),
}
for _core in ("numpy.core", "numpy._core"):
    NAMES |= {
        (f"{_core}.multiarray", "_reconstruct"): Name(_reconstruct),
        (f"{_core}.multiarray", "scalar"): Name(_scalar),
        (f"{_core}.numeric", "_frombuffer"): Name(_frombuffer),
    }
for _builtins in ("builtins", "__builtin__"):
    NAMES |= {(_builtins, made.__name__): Name(made) for made in (list, dict, int, set)}
    NAMES[_builtins, "bytes"] = Name(lambda: b"")  # how protocols 0 to 2 write empty bytes


class Unpickler(pickle.Unpickler):
    """Unpickler that looks up only the names in ``NAMES``."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return NAMES[module, name]
        except KeyError:
            raise RefusedError(f"{PLAIN}, found the name {shown(f'{module}.{name}')}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError(f"{PLAIN}, found a reference to something outside")


def read(file: BufferedReader) -> Any:
    """Read a pickle and return its content in plain containers.

    Args:
        file: Pickle, opened in binary mode at its start.

    Raises:
        RefusedError: The pickle uses an opcode or a name that is not allowed, has bytes after its
            end, or nests containers too deeply.
    """
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name not in OPCODES:
            raise RefusedError(f"{PLAIN}, found the opcode {opcode.name}")
        if opcode.name == "GLOBAL" and tuple(str(argument).split(" ", 1)) not in NAMES:
            name = str(argument).replace(" ", ".", 1)
            raise RefusedError(f"{PLAIN}, found the name {shown(name)}")
    if file.read(1):
        raise RefusedError(f"one pickle, found more bytes after its end at byte {file.tell() - 1}")
    file.seek(0)
    return Walk()(Unpickler(file, encoding="latin1").load())[0]


class Walk:
    """Replaces placeholders by arrays, and refuses everything but plain containers and values.

    A shared value is visited once, because a small file can describe nested lists with more
    elements than any machine could count.
    """

    def __init__(self) -> None:
        self.done: dict[int, tuple[Any, Any, int]] = {}
        """Memo: id -> (original, kept alive; plain copy; nesting depth)."""

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
        """Return the plain form of all values; numbers and text stay as they are."""
        if SCALARS.issuperset(map(type, values)):
            return values, 0
        parts = [self(value, around) for value in values]
        return [plain for plain, _ in parts], max(height for _, height in parts)

    def _not_deeper(self, depth: int) -> None:
        if depth > DEPTH:
            raise RefusedError(f"at most {DEPTH} containers in one another, found more")


def limit(memory: int, seconds: int) -> None:
    """Limit the memory, the processor time and the size of written files of this process."""
    try:
        import resource
    except ImportError:  # Windows; there the parent still enforces the time limit
        return
    limits = {"RLIMIT_AS": memory, "RLIMIT_CPU": seconds, "RLIMIT_FSIZE": memory}
    for name, most in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (soft, hard))


def load_converter(path: str, kind: str) -> Converter:
    """Import the module at ``path`` and return its converter for a kind of content."""
    # The module imports this one under its full name, and this process cannot see the package.
    sys.modules["g2d.prepare.plainpickle.child"] = sys.modules[__name__]
    spec = importlib.util.spec_from_file_location("converters", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    converter: Converter = module.CONVERTERS[kind]
    return converter


def _check_unchanged(file: BufferedReader, digest: str) -> None:
    """Refuse a file whose SHA-256 is not ``digest``, and go back to its start."""
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
        raise RefusedError("the same bytes from start to end, found that it changed meanwhile")
    file.seek(0)


def main(
    converters: str, kind: str, path: str, digest: str, folder: str, memory: str, seconds: str
) -> int:
    """Convert a pickle to plain files.

    Args:
        converters: Path of the module that holds the converter.
        kind: Name of the converter.
        path: Pickle to read.
        digest: Expected SHA-256 of the pickle.
        folder: Existing folder for the converted files.
        memory: Memory limit in bytes.
        seconds: Limit of processor time.

    Returns:
        Exit code 0, or 3 with one sentence on stderr.
    """
    limit(int(memory), int(seconds))
    convert = load_converter(converters, kind)
    try:
        with Path(path).open("rb") as file:
            _check_unchanged(file, digest)
            value = read(file)
            _check_unchanged(file, digest)
        convert(value, Path(folder))
    except RefusedError as error:
        sys.stderr.write(str(error))
    except MemoryError:
        sys.stderr.write(f"no more than {int(memory) / 2**30:.1f} GiB, found that it asks for more")
    except OSError as error:
        sys.stderr.write(f"content that can be read and written, found: {error.strerror}")
    except Exception as error:
        detail = f"{type(error).__name__}: {shown(str(error), 200)}"
        sys.stderr.write(f"{PLAIN}, found damage or something else ({detail})")
    else:
        return 0
    return 3


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
