"""Helpers for files, names and imports that every layer needs."""

from __future__ import annotations

import difflib
import errno
import glob
import hashlib
import importlib
import json
import os
import platform
import re
import shutil
import stat
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g2d.errors import ArgumentError, DataError, MissingDependencyError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and move it into place when the block succeeds.

    A reader sees the old file or the new one, never half of it. If the block raises, the temporary
    file is deleted and the old file stays. What killed processes left of writing the same file is
    deleted.

    Args:
        path: The file to write. Missing parent folders are created.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with replaced(Path(folder, "a.txt")) as temporary:
        ...         _ = temporary.write_text("whole")
        ...     [child.name for child in Path(folder).iterdir()]
        ['a.txt']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in temporary_paths(path):
        if is_abandoned(leftover):
            remove(leftover)
    temporary = temporary_path(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        # Also after success: moving one of two links to the same file onto the other does nothing.
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_written(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to ``path``, and move it into place when the block succeeds.

    If the block raises, nothing is left. What killed processes left of writing the same folder is
    deleted.

    Args:
        path: The folder to write; it must not exist, or be empty. Missing parents are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in temporary_paths(path):
        if is_abandoned(leftover):
            remove(leftover)
    temporary = temporary_path(path)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rmdir()  # on Windows, no folder may be in the way
        temporary.replace(path)
    finally:
        remove(temporary)


_TEMPORARY = re.compile(r"\..+\.(?:([0-9a-f]{6})-)?(\d+)(?:-([0-9a-f]{6}))?\.tmp")
"""Names of temporary files: the computer (not in earlier versions), the process, its token."""
_TOKEN = os.urandom(3).hex()
"""Token of this process: in a container, a later process often has the same number."""
LONG_AGO = 600.0
"""Seconds without a sign of life after which a process on another computer counts as ended."""


def this_process() -> tuple[str, int]:
    """Return the name of this computer and the number of this process."""
    return platform.node(), os.getpid()


def is_alive(pid: int) -> bool:
    """Return whether a process of this computer still runs; on Windows always True."""
    if sys.platform == "win32":  # where signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes ``path`` before moving it into place.

    Example:
        >>> name = temporary_path(Path("run/result.json")).name
        >>> name.startswith(".result.json."), name.endswith(".tmp")
        (True, True)
    """
    return path.with_name(f".{path.name}.{_computer()}-{this_process()[1]}-{_TOKEN}.tmp")


def temporary_paths(path: Path) -> Iterator[Path]:
    """Yield the temporary paths of all processes that write ``path`` or were killed doing so."""
    yield from path.parent.glob(f".{glob.escape(path.name)}.*.tmp")


def is_temporary(path: Path) -> bool:
    """Return whether a name is one that :func:`temporary_path` gives.

    Example:
        >>> is_temporary(Path("a/.recipe.yaml.4711.tmp")), is_temporary(Path("a/notes.tmp"))
        (True, False)
    """
    return _TEMPORARY.fullmatch(path.name) is not None


def is_abandoned(path: Path) -> bool:
    """Return whether a file is a temporary one whose writer no longer runs.

    The writer is looked for if it ran on this computer; one of an earlier version has ended. On
    another computer it counts as ended once the file has not been written for :data:`LONG_AGO`.
    """
    match = _TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    computer, pid, token = match.groups()
    if computer is None:
        return True
    if computer == _computer() and sys.platform != "win32":
        if int(pid) == this_process()[1]:
            return token != _TOKEN
        return not is_alive(int(pid))
    try:
        return time.time() - path.lstat().st_mtime > LONG_AGO
    except OSError:  # its writer has just moved it into place
        return False


def sweep(folder: Path, *, deep: bool = True) -> None:
    """Delete what killed processes left of files that they were writing.

    Files of processes that still run are kept.

    Args:
        folder: The folder; it need not exist.
        deep: Also look into the folders inside it.
    """
    for path in list(folder.rglob(".*.tmp") if deep else folder.glob(".*.tmp")):
        if is_abandoned(path):
            remove(path)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _computer() -> str:
    """Return six characters that differ between computers, for the name of a file."""
    return hashlib.sha256(this_process()[0].encode()).hexdigest()[:6]


def is_same(path: Path, other: Path) -> bool:
    """Return whether two paths lead to the same file or folder, whatever their spelling.

    Args:
        path: A path; what does not exist is the same as nothing.
        other: Another one.
    """
    try:
        return path.samefile(other)
    except OSError:
        return False


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically, indented and ending in a newline."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_text(path: Path, most: int = 2**28) -> str:
    """Read a UTF-8 file of a bounded size.

    A pipe or a device, whose reading might never end, is not opened.

    Args:
        path: The file.
        most: Largest size in bytes.

    Raises:
        OSError: There is no such file, it is not a regular file, or it is larger.
        UnicodeDecodeError: It is not UTF-8 text.
    """
    kind = path.stat().st_mode
    if not stat.S_ISREG(kind):
        name = "a directory" if stat.S_ISDIR(kind) else "a pipe or a device"
        raise OSError(errno.EINVAL, f"it is {name}, not a file", str(path))
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content.decode("utf-8")


def read_json(path: Path, most: int = 2**28) -> Any:
    """Read a JSON file of a bounded size.

    Args:
        path: The file.
        most: Largest size in bytes.

    Raises:
        OSError: See :func:`read_text`.
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        return json.loads(read_text(path, most))
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


NAME_RULE = "1 to 200 bytes without slashes, control characters and line breaks, and not . or .."
"""The rule for names of runs, classes and modalities, in words."""


def is_plain_name(text: str) -> bool:
    """Return whether a text can name a run, a class or a modality; see :data:`NAME_RULE`.

    Such a name is no path, fits into a file name, and is one line of a terminal or a table.

    Example:
        >>> [is_plain_name(text) for text in ("g2d, seed 1", "../a", "..", "", "a\\x1b[1m")]
        [True, False, False, False, False]
    """
    return (
        text not in ("", ".", "..")
        and not set("/\\") & set(text)
        and one_line(text) == text
        and len(text.encode()) <= 200
    )


def require_names(what: str, names: Iterable[str]) -> None:
    """Refuse names of classes or modalities that break :data:`NAME_RULE`.

    Args:
        what: What the names belong to, for the message, for example ``"classes"``.
        names: The names.

    Raises:
        DataError: One of them breaks the rule.

    Example:
        >>> require_names("classes", ["a/b"])
        Traceback (most recent call last):
            ...
        g2d.errors.DataError: classes must have names of 1 to 200 bytes ..., found 'a/b'. Rename it.
    """
    for name in names:
        if not is_plain_name(name):
            raise DataError(
                f"{what} must have names of {NAME_RULE}, found {name!r:.300}. Rename it."
            )


def one_line(text: str) -> str:
    """Return a text with a space in place of every control character and line break.

    Example:
        >>> one_line("two\\nlines and a \\x1b[1mcode")
        'two lines and a  [1mcode'
    """
    return "".join(
        " " if unicodedata.category(character) in _UNPRINTABLE else character for character in text
    )


def csv_cell(value: Any) -> Any:
    """Return a cell of a CSV file that no spreadsheet runs as a formula.

    A text that begins like a formula gets an apostrophe before it, which spreadsheets hide. Numbers
    stay as they are, also as texts.

    Example:
        >>> [csv_cell(value) for value in ("=1+1", "@a", "-0.5", -0.5, "a=b", "-")]
        ["'=1+1", "'@a", '-0.5', -0.5, 'a=b', '-']
    """
    if not isinstance(value, str) or len(value) < 2 or value[0] not in "=+-@\t\r\n":
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories of control characters, of halves of characters, and of line breaks."""


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name most similar to ``name``, or None if none is similar.

    Example:
        >>> nearest("aplha", ["tau", "alpha", "beta"])
        'alpha'
    """
    return next(iter(difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)), None)


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return a sentence that suggests the nearest valid name, or an empty text.

    The sentence begins with a space, so that it can be appended to a message.

    Example:
        >>> did_you_mean("gd2", ["joint", "g2d"])
        " Did you mean 'g2d'?"
    """
    near = nearest(name, valid)
    return "" if near is None else f" Did you mean {near!r}?"


def one_of(name: str, value: object, valid: Iterable[str]) -> None:
    """Refuse a value that is not among the valid ones.

    Args:
        name: Name of the argument, for the message.
        value: Value of the argument.
        valid: Valid values.

    Raises:
        ArgumentError: The value is none of them; the message suggests the nearest one.

    Example:
        >>> one_of("split", "train", ("train", "valid", "test"))
        >>> one_of("split", "tran", ("train", "valid", "test"))
        Traceback (most recent call last):
            ...
        g2d.errors.ArgumentError: split must be one of train, valid, test, found 'tran'. Did ...
    """
    choices = list(valid)
    if value not in choices:
        raise ArgumentError(choice_fault(name, value, choices))


def choice_fault(name: str, value: object, valid: Iterable[str]) -> str:
    """Return the message for a value that is not among the valid ones.

    Example:
        >>> choice_fault("split", "tran", ("train", "test"))
        "split must be one of train, test, found 'tran'. Did you mean 'train'?"
    """
    choices = list(valid)
    hint = did_you_mean(str(value), choices)
    return f"{name} must be one of {', '.join(choices)}, found {value!r}.{hint}"


EXTRAS: dict[str, tuple[str, ...]] = {
    "media": ("av", "Pillow"),
    "hf": ("transformers", "tokenizers"),
    "lora": ("peft",),
    "figures": ("vl-convert-python",),
    "tune": ("optuna",),
    "tables": ("openpyxl", "pyarrow"),
    "hdf5": ("h5py",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "lightning": ("lightning",),
    "onnx": ("onnx", "onnxruntime"),
    "hub": ("huggingface_hub",),
    "ray": ("ray",),
}
"""The extras of this package, and the libraries that each installs."""

_INSTALLED_AS = {"PIL": "Pillow", "vl_convert": "vl-convert-python"}
"""Names under which pip installs modules of another name."""


def import_extra(module: str, extra: str, feature: str) -> Any:
    """Import a library that is installed by an extra of this package.

    Args:
        module: Name of the module to import, for example ``"optuna"``.
        extra: Name of the extra that installs it.
        feature: What needs the library, for the message, for example ``"a search"``.

    Returns:
        The module.

    Raises:
        MissingDependencyError: The library is not installed.

    Example:
        >>> import_extra("not_a_library", "tune", "a search")
        Traceback (most recent call last):
            ...
        g2d.errors.MissingDependencyError: a search needs not_a_library, which is not installed: ...
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        library = _INSTALLED_AS.get(library, library)
        raise MissingDependencyError(
            f"{feature} needs {library}, which is not installed: pip install 'g2d[{extra}]'."
        ) from error
