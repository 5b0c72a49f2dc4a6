"""Converters of a made-up kind of pickle, as a data set passes them to the pickle reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from g2d.prepare.plainpickle.child import RefusedError

VERSION = 2


def labels(value: Any, folder: Path) -> None:
    """Write ``labels.json``, a number per id."""
    if not isinstance(value, dict):
        raise RefusedError("a mapping, found something else")
    numbers = {str(key): float(label) for key, label in value.items()}
    (folder / "labels.json").write_text(json.dumps(numbers))


CONVERTERS = {"labels": labels, "folds": labels}
