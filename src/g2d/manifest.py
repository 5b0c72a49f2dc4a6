"""Signed JSON files, and the SHA-256 of the files that they vouch for.

The last key of a signed file is a hash of all others. It shows damage, such as a flipped bit or a
number that was edited; it is no secret, so anyone can sign. The key before it says that there must
be a signature, so that a file without one is of an earlier version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from g2d.files import read_json, sha256, write_json

SIGNATURE = "signature"
"""Last key of a signed file: the hash of all others."""
SIGNED = "signed"
"""Key of a file that must have a signature."""
CHANGED = "it was changed or damaged after it was written"


def signature(content: Mapping[str, Any]) -> str:
    """Return the hash of plain values, whatever their order and their layout in a file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values with their signature.

    Example:
        >>> unsigned(signed({"epoch": 1}))
        {'epoch': 1}
    """
    plain = json.loads(json.dumps({**content, SIGNED: True}, default=list))
    return {**plain, SIGNATURE: signature(plain)}


def unsigned(content: Any) -> dict[str, Any]:
    """Return the values of a signed mapping without the signature.

    Files of earlier versions have no signature and are returned as they are.

    Args:
        content: Content of a JSON file.

    Raises:
        ValueError: It is no mapping, or does not fit its signature.

    Example:
        >>> unsigned(signed({"epoch": 1}) | {"epoch": 2})
        Traceback (most recent call last):
            ...
        ValueError: it was changed or damaged after it was written
    """
    if not isinstance(content, dict):
        raise ValueError(f"it must be a mapping, found {type(content).__name__}")
    plain = {key: value for key, value in content.items() if key != SIGNATURE}
    if content.keys() & {SIGNED, SIGNATURE} and content.get(SIGNATURE) != signature(plain):
        raise ValueError(CHANGED)
    plain.pop(SIGNED, None)
    return plain


def write_signed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a signed JSON file atomically."""
    write_json(path, signed(content))


def read_signed(path: Path) -> dict[str, Any]:
    """Read a signed JSON file.

    Args:
        path: The file.

    Raises:
        OSError: See :func:`~g2d.files.read_json`.
        ValueError: It is not JSON, no mapping, or does not fit its signature.
    """
    return unsigned(read_json(path))


def hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of some files by their name.

    Args:
        folder: Their folder.
        names: Their names, or paths within the folder.
    """
    return {name: sha256(folder / name) for name in names}


def require_unchanged(folder: Path, recorded: Mapping[str, str]) -> None:
    """Refuse files that differ from what was recorded when they were written.

    Args:
        folder: Their folder.
        recorded: SHA-256 by name.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file has another hash, or its name leads outside the folder.
    """
    for name, digest in recorded.items():
        if sha256(within(folder, name)) != digest:
            raise ValueError(f"{name} has another SHA-256 than recorded: {CHANGED}")


def within(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder.

    Args:
        folder: The folder.
        name: Name of the file, or its path within the folder.

    Raises:
        ValueError: The path is absolute, goes up, or follows a link out of the folder.

    Example:
        >>> within(Path("store"), "../secret.npy")
        Traceback (most recent call last):
            ...
        ValueError: '../secret.npy' must be a file inside store
    """
    parts = PurePosixPath(name)
    path = folder / name
    fault = f"{name!r:.100} must be a file inside {folder}"
    if not name or "\0" in name or parts.is_absolute() or Path(name).is_absolute():
        raise ValueError(fault)
    if ".." in parts.parts or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(fault)
    return path
