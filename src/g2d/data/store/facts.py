"""``dataset.json``: what a store records about itself, and the hashes that sign it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from g2d.data.store.arrays import blocks, incomplete
from g2d.data.store.schema import Kind as Kind
from g2d.data.store.schema import checked
from g2d.errors import DataError
from g2d.files import read_json, replaced
from g2d.manifest import CHANGED, SIGNATURE, require_unchanged, signed, unsigned, within

DATASET, SAMPLES, SPLITS = "dataset.json", "samples.jsonl", "splits"
"""Names of the files of facts and of rows, and of the folder of splits."""
UNFINISHED = ".preparing"
"""Name of the folder inside a store that is still being prepared."""
SCHEMA = 2
PRESENT = "present"
"""Name of the array that marks which rows have which modality."""
MASK, LENGTH, PRESENT_SUFFIX = ".mask", ".length", ".present"
"""Suffixes after a modality's name: of the array that marks which steps of a padded sequence are
real, of the array that counts the real samples of sound, and, in files of rows, of the array that
marks which rows have the modality."""
RESERVED = frozenset({"target", "group", PRESENT, "id", "files", "sha256"})
"""Names that a store uses itself; no modality can have them."""

SOUND: Kind = "audio"
PICTURE: Kind = "image"
VIDEO: Kind = "video"
WORDS: Kind = "text"
MAY_MISS = frozenset[Kind]({"table", "sequence", "image", "video"})
"""Kinds of modalities that may hold NaN."""


@dataclass(frozen=True)
class Signal:
    """Form in which a modality is stored.

    Args:
        kind: Kind of the values; text is UTF-8 bytes, padded with zeros.
        dtype: NumPy's name for the type of the values. Stores hold compact raw values: int16
            sound, uint8 pixels, float16 or float32 features.
        shape: Shape of one row.
        view: Default steps from stored values to a model's input (:mod:`g2d.data.views`).
        facts: What a reader of the store must know: ``{"rate": 16000}``, ``{"columns": [...]}``.
        masked: Whether rows are padded; a mask ``(steps,)`` then marks the real steps of the first
            axis. Of sound, whose padding is always at the end, a store holds the number of real
            samples instead.
    """

    kind: Kind
    dtype: str
    shape: tuple[int, ...]
    view: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    masked: bool = False

    @property
    def counted(self) -> bool:
        """Whether a store holds the number of real steps of a row in place of its mask."""
        return self.masked and self.kind == SOUND

    def marks(self, modality: str) -> Marks | None:
        """Return the array that says which steps are real, None if all are.

        Args:
            modality: Name of the modality.

        Example:
            >>> Signal("audio", "int16", (16_000,), masked=True).marks("voice")
            Marks(name='voice.length', dtype='int32', shape=())
        """
        if not self.masked:
            return None
        if self.counted:
            return Marks(modality + LENGTH, "int32", ())
        return Marks(modality + MASK, "bool", self.shape[:1])


@dataclass(frozen=True)
class Marks:
    """Array of a store that says which steps of a modality are real.

    Args:
        name: Name of the array.
        dtype: NumPy's name for the type of its values.
        shape: Shape of one row.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


def write_facts(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``dataset.json`` with its signature, which completes a store, and return its contents.

    Args:
        folder: Folder of the store.
        facts: Everything that the store records about itself.
    """
    text = json.dumps(signed(facts), indent=1)
    with replaced(folder / DATASET) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return read_facts(folder)


def read_facts(folder: Path) -> dict[str, Any]:
    """Return the contents of a store's ``dataset.json``, without the signature.

    Args:
        folder: Folder of the store.

    Raises:
        DataError: There is none, it is damaged, or another version wrote it.
    """
    path = folder / DATASET
    again = "Prepare the store again with another --out, or delete this one first."
    try:
        facts = read_json(within(folder, DATASET))
        schema = facts["schema"]
    except (FileNotFoundError, NotADirectoryError):
        if (folder / UNFINISHED).is_dir():
            advice = "Run the same g2d data prepare again."
            raise DataError(f"the store {folder} is unfinished. {advice}") from None
        raise DataError(f"{folder} is no store: there is no {DATASET} in it.") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path} is damaged: {error}. Prepare the store again.") from error
    if schema != SCHEMA:
        raise DataError(f"{path} must have schema {SCHEMA}, found {schema!r:.50}. {again}")
    try:
        plain = unsigned(facts)
        if SIGNATURE not in facts:
            raise ValueError(CHANGED)
    except ValueError:
        changed = "was changed since g2d data prepare wrote it"
        raise DataError(f"{path} {changed}. {again}") from None
    try:
        checked(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))[:200]
        fault = f"{place + ': ' if place else ''}{first['msg'].removeprefix('Value error, ')}"
        raise DataError(f"{path} must describe a store, found {fault}. {again}") from None
    return plain


def require_sizes(folder: Path, facts: Mapping[str, Any]) -> None:
    """Check that every file of a store is inside its folder and has its recorded size.

    Args:
        folder: Folder of the store.
        facts: Contents of its ``dataset.json``.

    Raises:
        DataError: A file is missing, leads outside, or has another size.
    """
    for name in facts["files"]:
        size = facts.get("sizes", {}).get(name)
        try:
            actual = within(folder, name).stat().st_size
        except FileNotFoundError:
            raise DataError(incomplete(folder, name)) from None
        except ValueError as error:
            raise DataError(f"{error}. Prepare the store again.") from None
        if size is not None and actual != size:
            rule = f"{folder / name} must have {size:,} bytes, found {actual:,}"
            raise DataError(f"{rule}. Prepare the store again.")


def require_hashes(folder: Path, facts: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check that files of a store have their recorded SHA-256.

    Args:
        folder: Folder of the store.
        facts: Contents of its ``dataset.json``.
        names: Names of the files.

    Raises:
        DataError: One was changed or damaged.
    """
    for name in names:
        try:
            require_unchanged(folder, {name: facts["files"][name]})
        except ValueError as error:
            raise DataError(f"the store {folder} is damaged: {error}. Prepare it again.") from None


def content_hash(
    facts: Mapping[str, Any], samples: Iterable[tuple[str, bytes]], target: NDArray[Any]
) -> str:
    """Return the content hash of a store.

    It covers the task, the parameters and the id, target and digest of every row, in an order that
    does not depend on where the rows are stored.

    Args:
        facts: Contents of ``dataset.json``.
        samples: Id and digest of every row, in the order of the rows.
        target: Target of every row.
    """
    rows = np.zeros((len(target), 32), np.uint8)
    for row, (name, digest) in enumerate(samples):
        signed = name.encode() + b"\0" + target[row].tobytes() + digest
        rows[row] = np.frombuffer(hashlib.sha256(signed).digest(), np.uint8)
    order = np.argsort(rows.view(">u8")[:, 0], kind="stable")
    head = {key: facts[key] for key in ("name", "task", "parameters")}
    parts = ("dtype", "shape", "facts")
    stored = {m: [signal[part] for part in parts] for m, signal in facts["modalities"].items()}
    text = json.dumps(head | {"signals": stored}, sort_keys=True, default=list)
    whole = hashlib.sha256(text.encode())
    for block in blocks(order, 4096):
        whole.update(rows[block].data)
    return whole.hexdigest()


def protocol_hash(name: str, place: NDArray[np.int8]) -> str:
    """Return the hash of a protocol.

    Args:
        name: Name of the protocol.
        place: Number of the split of every row, shape ``(N,)``.
    """
    return hashlib.sha256(name.encode() + place.tobytes()).hexdigest()


def signals(facts: Mapping[str, Any]) -> dict[str, Signal]:
    """Return how each modality of a store is stored, in the order of the store."""
    return {
        m: Signal(**{**fields, "shape": tuple(fields["shape"]), "view": tuple(fields["view"])})
        for m, fields in facts["modalities"].items()
    }


def protocol_file(protocol: str) -> str:
    """Return the name of a protocol's files under ``splits/``.

    Example:
        >>> protocol_file("iemocap/leave-session-v1?fold=2")
        'leave-session-v1%3Ffold%3D2'
    """
    return quote(protocol.partition("/")[2] or protocol, safe="")
