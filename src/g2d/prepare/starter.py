"""Write a first recipe into a new store, ready to train and to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from g2d.files import write_text

RECIPE = "recipe.yaml"
ENCODER_OF = {
    **dict.fromkeys(("audio", "image", "video"), "cnn"),
    **dict.fromkeys(("sequence", "text"), "transformer"),
    "table": "mlp",
}
"""Small encoder for every kind of modality; its input size is read from the data."""
USUAL_LENGTH = 512
"""Longest sequence of the transformer of a recipe that does not set its length."""
HEAD = (
    f"# A first recipe for this store: g2d train {RECIPE}\n"
    "# To see the choices: g2d list methods, g2d list encoders.\n"
)
MORE = (
    "# method: g2d trains a teacher per modality and gives the weaker ones time of their own"
    " (docs/methods/g2d).\n"
)


def write_starter(out: Path, facts: dict[str, Any]) -> Path:
    """Write ``recipe.yaml`` into a store, unless the store already has one.

    Args:
        out: Folder of the store.
        facts: Content of its ``dataset.json``.

    Returns:
        The recipe's path.
    """
    path = out / RECIPE
    if path.exists():
        return path
    name = out.resolve().name
    recipe = {
        "name": name,
        # The root is relative to the recipe, so that a store can be moved.
        "data": {"name": "store", "store": name, "root": ".."},
        "encoders": {m: _encoder(s) for m, s in facts["modalities"].items()},
        "fusion": "late",
        "method": "joint",
        "epochs": 20,
        "train": {"batch_size": 32, "optimizer": "adam", "lr": 0.001},
    }
    more = MORE if len(facts["modalities"]) > 1 else ""
    write_text(path, HEAD + more + yaml.safe_dump(recipe, sort_keys=False))
    return path


def _encoder(signal: dict[str, Any]) -> dict[str, Any]:
    """Return the encoder of a modality, with the length of its sequences if they are long."""
    encoder: dict[str, Any] = {"name": ENCODER_OF[signal["kind"]]}
    lengths = [step["length"] for step in signal["view"] if "length" in step]
    if signal["kind"] == "sequence":
        lengths = [signal["shape"][0]]
    if max(lengths, default=0) > USUAL_LENGTH:
        encoder["length"] = max(lengths)
    return encoder
