"""``dataset.json``: what a store says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from g2d.data.store.plan import Signal
from g2d.errors import DataError

DATASET, SAMPLES, SPLITS = "dataset.json", "samples.jsonl", "splits"
SCHEMA = 1


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
        unfinished = ", found an unfinished one: give the same command again" if (folder / ".preparing").is_dir() else f", found none in {folder}"
        raise DataError(f"a store must be a folder with {DATASET}{unfinished}.") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path} must be what g2d data prepare wrote, found damage: {error}. Prepare it again.") from error
    if schema != SCHEMA:
        raise DataError(f"{path} must have schema {SCHEMA}, found {schema!r}. Prepare the store again with this version of g2d.")
    return facts


def signals(facts: dict[str, Any]) -> dict[str, Signal]:
    """The modalities of a store, in its order."""
    return {m: Signal(**{**fields, "shape": tuple(fields["shape"]), "view": tuple(fields["view"])}) for m, fields in facts["modalities"].items()}


def protocol_file(protocol: str) -> str:
    """Name of a protocol's file under ``splits/``.

    Example:
        >>> protocol_file("iemocap/leave-session-v1?fold=2")
        'leave-session-v1%3Ffold%3D2'
    """
    return quote(protocol.partition("/")[2] or protocol, safe="")
