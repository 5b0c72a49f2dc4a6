"""Helpers for files, names and imports that every layer needs."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from g2d.errors import ArgumentError, MissingDependencyError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, and move it into place when the block succeeds.

    A reader sees the old file or the new one, never half of it. If the block raises, the temporary
    file is deleted and the old file stays.

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
    temporary = temporary_path(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes ``path`` before moving it into place.

    Example:
        >>> temporary_path(Path("run/result.json")).name == f".result.json.{os.getpid()}.tmp"
        True
    """
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def temporary_paths(path: Path) -> Iterator[Path]:
    """Yield what killed processes left of writing ``path``."""
    yield from path.parent.glob(f".{path.name}.*.tmp")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically, indented and ending in a newline."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
