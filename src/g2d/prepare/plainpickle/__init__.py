"""Convert pickles to plain files in a separate, limited process that executes nothing in them.

The process writes plain arrays and JSON; the rest of the package never opens a pickle. The caller
passes a module of converters, which define what a pickle must hold: its ``CONVERTERS`` maps a kind
of content to a function (see :data:`g2d.prepare.plainpickle.child.Converter`), and its ``VERSION``
is raised whenever the written files change.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from g2d.errors import DataError
from g2d.files import sha256, write_text

CHILD = Path(__file__).with_name("child.py")
REFUSED = 3
"""Exit code of the child for a file that it refuses to read."""
DONE = "done.json"
"""Name of the record that completes a conversion."""
HARMLESS = "Nothing in it was executed."
"""Last sentence of the errors about a pickle that was refused."""
GIB = 2**30
MOST_SHOWN = 400
"""Characters of the child's message that are shown; it can quote the file."""


def convert(
    path: Path,
    kind: str,
    converters: ModuleType,
    *,
    memory: int | None = None,
    seconds: float | None = None,
) -> tuple[Path, str]:
    """Convert a pickle to a folder of plain files, unless that has been done before.

    The folder's name contains the kind and the hash of the pickle.

    Args:
        path: Pickle to convert.
        kind: Kind of content, a key of ``converters.CONVERTERS``.
        converters: Module that checks and writes the content. It may import only the standard
            library, NumPy and :mod:`g2d.prepare.plainpickle.child`.
        memory: Memory limit in bytes; by default 4 GiB plus 16 times the size of the file.
        seconds: Time limit; by default 60 seconds plus 5 per MB.

    Returns:
        The folder, and the SHA-256 of the pickle.

    Raises:
        DataError: The pickle names anything but plain containers, numbers, text and arrays; it is
            damaged, has other content than its kind, changed while it was read, or met a limit.
    """
    try:
        size, digest = path.stat().st_size, sha256(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {_reason(error)}.") from error
    record = {"kind": kind, "version": converters.VERSION, "sha256": digest}
    folder = _shelf(path.parent) / f"{path.stem}-{kind}-{digest[:16]}"
    if _is_complete(folder, record):
        return folder, digest
    fresh = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        fresh.mkdir()
        _read(
            path,
            (str(converters.__file__), kind, str(path), digest, str(fresh)),
            memory or 4 * GIB + 16 * size,
            seconds or 60 + 5 * size / 2**20,
        )
        write_text(fresh / DONE, json.dumps(_with_files(record, fresh)))
        _move(fresh, folder, record)
    except OSError as error:
        what = f"cannot write {folder}, the conversion of {path.name}: {_reason(error)}"
        raise DataError(f"{what}. Delete it or free disk space.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder, digest


def _read(path: Path, arguments: tuple[str, ...], memory: int, seconds: float) -> None:
    """Run the child process within its limits."""
    command = [sys.executable, "-I", str(CHILD), *arguments, str(memory), str(int(seconds) + 1)]
    # Libraries that start threads reserve memory for each; the limit is meant for the data.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        options: Any = {"capture_output": True, "stdin": subprocess.DEVNULL, "env": environment}
        done = subprocess.run(command, timeout=seconds, check=False, **options)
    except subprocess.TimeoutExpired:
        rule = f"{path} must be read within {seconds:.0f} s, found that it takes longer"
        raise DataError(f"{rule}. {HARMLESS}") from None
    message = done.stderr.decode(errors="replace").strip()
    if done.returncode == REFUSED:
        raise DataError(f"{path} must hold {_clean(message)}. {HARMLESS}")
    if done.returncode:
        rule = f"{path} must be an undamaged pickle, found that its reader ended with"
        raise DataError(f"{rule} {_clean(_ending(done.returncode, message))}. {HARMLESS}")


def _with_files(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a record with the size and hash of every file in a folder."""
    files = sorted(path for path in folder.iterdir() if path.name != DONE)
    return record | {"files": {path.name: [path.stat().st_size, sha256(path)] for path in files}}


def _is_complete(folder: Path, record: dict[str, Any]) -> bool:
    """Return whether a folder holds, byte for byte, what its record says."""
    try:
        stored = json.loads((folder / DONE).read_text(encoding="utf-8"))
        return bool(stored == _with_files(record, folder))
    except (OSError, ValueError):
        return False


def _move(fresh: Path, folder: Path, record: dict[str, Any]) -> None:
    """Move a conversion into place, unless another process was faster."""
    if _is_complete(folder, record):
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        fresh.rename(folder)
    except OSError:
        if not _is_complete(folder, record):
            raise


def _shelf(folder: Path) -> Path:
    """Return the folder for conversions: next to the pickles, or private in the user's cache."""
    local = folder / ".g2d-converted"
    try:
        local.mkdir(exist_ok=True)
        if os.access(local, os.W_OK):
            return local
    except OSError:
        pass
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "g2d" / "converted"
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        cache.chmod(0o700)  # fails if the folder belongs to another user
    except OSError as error:
        what = f"cannot write converted pickles to {folder} or {cache}: {_reason(error)}"
        raise DataError(f"{what}. Set XDG_CACHE_HOME to a folder of yours.") from error
    return cache


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _ending(code: int, message: str) -> str:
    """Describe how the child ended: a signal, the last line of its output, or its exit code."""
    lines = message.splitlines()
    return f"signal {-code}" if code < 0 else (lines[-1] if lines else f"exit code {code}")


def _clean(message: str) -> str:
    """Shorten a message and remove what a terminal would interpret."""
    text = "".join(letter if letter.isprintable() else " " for letter in message[: MOST_SHOWN + 1])
    return text if len(message) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
