"""A first recipe for a store: it trains at once, and says what there is to turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

RECIPE = "recipe.yaml"
ENCODER_OF = {
    "audio": "cnn",
    "image": "cnn",
    "video": "cnn",
    "sequence": "transformer",
    "text": "transformer",
    "table": "mlp",
}
"""A small encoder for every kind of modality; what it takes is read from the data."""


def write_starter(out: Path, facts: dict[str, Any]) -> Path:
    """``recipe.yaml`` beside the arrays; one that is there stays as it is."""
    path = out / RECIPE
    if path.exists():
        return path
    name, several = out.resolve().name, len(facts["modalities"]) > 1
    recipe = {
        "name": name,
        "data": {
            "name": "store",
            "store": name,
            "root": "..",
        },  # from this file, so that a store can be moved
        "encoders": {
            m: {"name": ENCODER_OF[signal["kind"]]} for m, signal in facts["modalities"].items()
        },
        "fusion": "late",
        "method": "joint",
        "epochs": 20,
        "train": {"batch_size": 32, "optimizer": "adam", "lr": 0.001},
    }
    more = (
        "# method: g2d trains a teacher per modality first and lets the weaker ones learn first (docs/methods/g2d).\n"
        if several
        else ""
    )
    head = f"# A first recipe for this store: g2d train {RECIPE}. g2d list methods, g2d list encoders tell what else there is.\n{more}"
    path.write_text(head + yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path
