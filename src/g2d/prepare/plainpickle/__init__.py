"""Feature files that come as pickles: read in a process of their own, with limits, and nothing that they name is ever executed.

What is read is written as plain arrays and JSON; the rest of the library never sees a pickle.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from g2d.errors import DataError
from g2d.files import sha256

CHILD = Path(__file__).with_name("child.py")
VERSION = 2
"""Of what the child writes; raised with every change of it, so that what an older one left is not taken for its work."""
REFUSED = 3
"""Exit code of the child for a file that it will not read."""
DONE = "done.json"
GIB = 2**30
SHOWN = 400
"""Characters of the child's sentence that are shown; it quotes what a stranger wrote."""


def convert(
    path: Path, kind: str, *, memory: int | None = None, seconds: float | None = None
) -> tuple[Path, str]:
    """A pickle as a folder of plain files, made once: the folder's name holds the kind and the pickle's hash.

    Args:
        path: of the pickle. kind: one of the child's ``KINDS``, which says what it must hold.
        memory: bytes that the child may take; by default 4 GiB and 16 times the file. seconds: that it may work; by default 60 and 5 per MB.

    Returns:
        The folder, and the SHA-256 of the pickle.

    Raises:
        DataError: it names anything but plain containers, numbers, text and arrays; it is damaged; it holds something else than its kind; it changed
            meanwhile; or a limit was met.
    """
    try:
        size, digest = path.stat().st_size, sha256(path)
    except OSError as error:
        raise DataError(
            f"{path} must be a file that can be read, found: {error.strerror}."
        ) from error
    folder = _shelf(path.parent) / f"{path.stem}-{kind}-{digest[:16]}"
    if _whole(folder, kind, digest):
        return folder, digest
    fresh = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    try:
        fresh.mkdir()
        _read(
            path,
            (kind, str(path), digest, str(fresh)),
            memory or 4 * GIB + 16 * size,
            seconds or 60 + 5 * size / 2**20,
        )
        (fresh / DONE).write_text(json.dumps(_record(fresh, kind, digest)), encoding="utf-8")
        _put(fresh, folder, kind, digest)
    except OSError as error:
        raise DataError(
            f"{folder} must be a new folder with room for what {path.name} holds, found: {error.strerror}. Delete it or make room."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder, digest


def _read(path: Path, told: tuple[str, ...], memory: int, seconds: float) -> None:
    """The child at work, for as long as it may."""
    command = [sys.executable, "-I", str(CHILD), *told, str(memory), str(int(seconds) + 1)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            f"{path} must be read within {seconds:.0f} s, found that it takes longer. Nothing in it was executed."
        ) from None
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == REFUSED:
        raise DataError(f"{path} must hold {_clean(said)}. Nothing in it was executed.")
    if done.returncode:
        ending = _clean(_ending(done.returncode, said))
        raise DataError(
            f"{path} must be a sound pickle, found that its reader ended with {ending}. Nothing in it was executed."
        )


def _record(folder: Path, kind: str, digest: str) -> dict[str, Any]:
    """What a folder was made from, by what, and every file in it."""
    files = sorted(path for path in folder.iterdir() if path.name != DONE)
    return {
        "kind": kind,
        "version": VERSION,
        "sha256": digest,
        "files": {path.name: [path.stat().st_size, sha256(path)] for path in files},
    }


def _whole(folder: Path, kind: str, digest: str) -> bool:
    """Whether a folder holds, byte for byte, what its record says; a damaged one is made again."""
    try:
        return bool(
            json.loads((folder / DONE).read_text(encoding="utf-8")) == _record(folder, kind, digest)
        )
    except (OSError, ValueError):
        return False


def _put(fresh: Path, folder: Path, kind: str, digest: str) -> None:
    """In one move, unless another process was as quick."""
    if _whole(folder, kind, digest):
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        fresh.rename(folder)
    except OSError:
        if not _whole(folder, kind, digest):
            raise


def _shelf(folder: Path) -> Path:
    """Beside the pickles, or where that cannot be written, in a folder that only the user can open."""
    beside = folder / ".g2d-converted"
    try:
        beside.mkdir(exist_ok=True)
        if os.access(beside, os.W_OK):
            return beside
    except OSError:
        pass
    own = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "g2d" / "converted"
    try:
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        own.chmod(0o700)  # refused by the system where it belongs to someone else
    except OSError as error:
        raise DataError(
            f"{own} must be a folder of yours, for {folder} cannot be written, found: {error.strerror}. Set XDG_CACHE_HOME to another."
        ) from error
    return own


def _environment() -> dict[str, str]:
    # Libraries that start threads reserve memory for each; the limit is for the data.
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _ending(code: int, said: str) -> str:
    lines = said.splitlines()
    return f"signal {-code}" if code < 0 else (lines[-1] if lines else f"exit code {code}")


def _clean(said: str) -> str:
    """Short, and without what a terminal would obey."""
    shown = "".join(letter if letter.isprintable() else " " for letter in said[: SHOWN + 1])
    return shown if len(said) <= SHOWN else f"{shown[:SHOWN]}..."
