"""Feature files that come as pickles: read in a process of their own, with limits, and nothing that they name is ever executed.

What is read is written as plain arrays and JSON; the rest of the library never sees a pickle.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from g2d.data.store.arrays import sha256
from g2d.errors import DataError

CHILD = Path(__file__).with_name("child.py")
REFUSED = 3
"""Exit code of the child for a file that it will not read."""
GIB = 2**30


def convert(path: Path, kind: str, *, memory: int | None = None, seconds: float | None = None) -> tuple[Path, str]:
    """A pickle as a folder of plain files, made once: the folder's name holds the pickle's hash.

    Args:
        path: of the pickle. kind: one of the child's ``KINDS``, which says what it must hold.
        memory: bytes that the child may take; by default 4 GiB and 16 times the file. seconds: that it may work; by default 60 and 5 per MB.

    Returns:
        The folder, and the SHA-256 of the pickle.

    Raises:
        DataError: it names anything but plain containers, numbers, text and arrays; it is damaged; it holds something else than its kind; or a limit was met.
    """
    size = path.stat().st_size
    digest = sha256(path)
    folder = _shelf(path.parent) / f"{path.stem}-{digest[:16]}"
    if (folder / "done.json").is_file():
        return folder, digest
    folder.mkdir(parents=True, exist_ok=True)
    limit = memory or 4 * GIB + 16 * size
    allowed = seconds or 60 + 5 * size / 2**20
    command = [sys.executable, "-I", str(CHILD), kind, str(path), str(folder), str(limit), str(int(allowed) + 1)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=allowed, check=False, stdin=subprocess.DEVNULL, env=_environment())
    except subprocess.TimeoutExpired:
        raise DataError(f"{path} must be read within {allowed:.0f} s, found that it takes longer. Nothing in it was executed.") from None
    if done.returncode == REFUSED:
        raise DataError(f"{path} must hold {done.stderr.strip()}. Nothing in it was executed.")
    if done.returncode:
        raise DataError(f"{path} must be a sound pickle, found that its reader ended with {_ending(done.returncode, done.stderr)}. Nothing in it was executed.")
    (folder / "done.json").write_text(json.dumps({"sha256": digest, "kind": kind}), encoding="utf-8")
    return folder, digest


def _shelf(folder: Path) -> Path:
    """Beside the pickles, or where that cannot be written, in the user's folder for passing files."""
    beside = folder / ".g2d-converted"
    try:
        beside.mkdir(exist_ok=True)
        if os.access(beside, os.W_OK):
            return beside
    except OSError:
        pass
    return Path(tempfile.gettempdir()) / f"g2d-converted-{os.getuid() if hasattr(os, 'getuid') else 0}"


def _environment() -> dict[str, str]:
    # Libraries that start threads reserve memory for each; the limit is for the data.
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _ending(code: int, said: str) -> str:
    lines = said.strip().splitlines()
    return f"signal {-code}" if code < 0 else (lines[-1] if lines else f"exit code {code}")
