"""``dataset.json``: what a store says about itself, and the hashes that it says it with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from g2d.data.store.arrays import blocks
from g2d.errors import DataError

DATASET, SAMPLES, SPLITS = "dataset.json", "samples.jsonl", "splits"
SCHEMA = 2
PRESENT = "present"
"""Name of the array that says which rows have which modality."""
SIGNATURE = "signature"
"""The last key of ``dataset.json``: the hash of all others. A store whose facts were edited or damaged is not opened."""


Kind = Literal["audio", "image", "video", "sequence", "table", "text"]


@dataclass(frozen=True)
class Signal:
    """How a modality is stored.

    Args:
        kind: what it is; text is UTF-8 bytes, padded with zeros.
        dtype, shape: of one row, as NumPy names them: compact raw values (int16 sound, uint8 pixels, float16 or float32 features).
        view: the steps from stored values to a model's input that hold where a recipe says nothing (:mod:`g2d.data.views`).
        facts: what a reader of the store must know: ``{"rate": 16000}``, ``{"columns": [...]}``.
        masked: rows are padded sequences; a mask ``(steps,)`` says which of the first axis are real.
    """

    kind: Kind
    dtype: str
    shape: tuple[int, ...]
    view: tuple[Mapping[str, Any], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    masked: bool = False


def write_facts(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Sign a store: from here on it is one."""
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=list))
    aside = folder / f".{DATASET}.new"
    aside.write_text(json.dumps(plain | {SIGNATURE: _signature(plain)}, indent=1), encoding="utf-8")
    aside.replace(folder / DATASET)
    return read_facts(folder)


def read_facts(folder: Path) -> dict[str, Any]:
    """The contents of a store's ``dataset.json``.

    Raises:
        DataError: there is none, it is damaged, or it was written by another version.
    """
    path = folder / DATASET
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = facts["schema"]
    except (FileNotFoundError, NotADirectoryError):
        unfinished = (
            ", found an unfinished one: give the same command again"
            if (folder / ".preparing").is_dir()
            else f", found none in {folder}"
        )
        raise DataError(f"a store must be a folder with {DATASET}{unfinished}.") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(
            f"{path} must be what g2d data prepare wrote, found damage: {error}. Prepare it again."
        ) from error
    if schema != SCHEMA:
        raise DataError(
            f"{path} must have schema {SCHEMA}, found {schema!r}. Prepare the store again: give another --out, or delete this one."
        )
    if facts.get(SIGNATURE) != _signature(
        {key: value for key, value in facts.items() if key != SIGNATURE}
    ):
        raise DataError(
            f"{path} must be what g2d data prepare wrote, found that it was changed since. Prepare the store again: give another --out, or delete this one."
        )
    return facts


def _signature(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def content_hash(
    facts: Mapping[str, Any], samples: Iterable[tuple[str, bytes]], target: NDArray[Any]
) -> str:
    """Over the task, the parameters and, in an order that does not depend on where rows stand, every id, target and digest of the raw bytes.

    Args:
        facts: of ``dataset.json``. samples: id and digest of every row, in the order of the rows. target: of every row.
    """
    rows = np.zeros((len(target), 32), np.uint8)
    for row, (name, digest) in enumerate(samples):
        said = name.encode() + b"\0" + target[row].tobytes() + digest
        rows[row] = np.frombuffer(hashlib.sha256(said).digest(), np.uint8)
    order = np.argsort(rows.view(">u8")[:, 0], kind="stable")
    head = {key: facts[key] for key in ("name", "task", "parameters")}
    stored = {
        m: [signal["dtype"], signal["shape"], signal["facts"]]
        for m, signal in facts["modalities"].items()
    }
    whole = hashlib.sha256(
        json.dumps(head | {"signals": stored}, sort_keys=True, default=list).encode()
    )
    for block in blocks(order, 4096):
        whole.update(rows[block].data)
    return whole.hexdigest()


def protocol_hash(name: str, place: NDArray[np.int8]) -> str:
    """Over a protocol's name and who stands where in it."""
    return hashlib.sha256(name.encode() + place.tobytes()).hexdigest()


def signals(facts: dict[str, Any]) -> dict[str, Signal]:
    """The modalities of a store, in its order."""
    return {
        m: Signal(**{**fields, "shape": tuple(fields["shape"]), "view": tuple(fields["view"])})
        for m, fields in facts["modalities"].items()
    }


def protocol_file(protocol: str) -> str:
    """Name of a protocol's file under ``splits/``.

    Example:
        >>> protocol_file("iemocap/leave-session-v1?fold=2")
        'leave-session-v1%3Ffold%3D2'
    """
    return quote(protocol.partition("/")[2] or protocol, safe="")
