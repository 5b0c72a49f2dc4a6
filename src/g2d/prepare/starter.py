"""Write a first recipe into a new store, ready to train and to edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, log2, prod
from pathlib import Path
from typing import Any

import yaml

from g2d.data.store.facts import PICTURE, VIDEO, WORDS
from g2d.files import write_text

RECIPE = "recipe.yaml"
ENCODER_OF = {
    **dict.fromkeys(("audio", "image", "video"), "cnn"),
    **dict.fromkeys(("sequence", "text"), "transformer"),
    "table": "mlp",
}
"""Small encoder for every kind of modality; its input size is read from the data."""
LARGE = {"cnn": "resnet18"}
"""Larger encoders that take the place of small ones."""
MANY_ROWS = 20_000
"""Training rows from which on larger encoders pay on an accelerator."""
STEPS = 512
"""Steps that a transformer attends to, whose cost grows with their square; its default length."""
SIDE, FRAMES = 256, 16
"""Side of pictures and frames of videos that the model gets at most."""
BATCH, LARGEST_BATCH = 32, 256
"""Rows per update of a small and of a large data set."""
UPDATES = 1000
"""Updates per epoch from which on batches get larger."""
ROOM = 2**23
"""Values of a batch that an encoder can take in about 2 GB of memory."""
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

    The recipe trains with little memory on a CPU, whatever the size of the rows: long sequences
    are averaged, large pictures made smaller, and batches are as large as the rows allow.

    Args:
        out: Folder of the store.
        facts: Content of its ``dataset.json``.

    Returns:
        The recipe's path.
    """
    path = out / RECIPE
    if path.exists():
        return path
    # The root is relative to the recipe, so that a store can be moved.
    recipe = starter_recipe(facts, out.resolve().name, "..")
    more = MORE if len(facts["modalities"]) > 1 else ""
    write_text(path, HEAD + more + yaml.safe_dump(recipe, sort_keys=False))
    return path


def starter_recipe(
    facts: Mapping[str, Any],
    store: str,
    root: str,
    *,
    accelerator: bool = False,
    side: int = SIDE,
) -> dict[str, Any]:
    """Return a first recipe for a store as plain values.

    Encoders follow from the kind and the size of the data: small ones, and larger ones for pictures
    and sound where there are many rows and an accelerator.

    Args:
        facts: Content of the store's ``dataset.json``.
        store: Name of the store's folder.
        root: Folder that contains the store.
        accelerator: Whether the machine that trains has one.
        side: Side of pictures at most; sound has about as many values.
    """
    modalities = facts["modalities"]
    steps = {m: list(_steps(signal, side)) for m, signal in modalities.items()}
    views = {m: own for m, own in steps.items() if own != list(modalities[m]["view"])}
    rows = next(iter(facts["protocols"].values()))["rows"]["train"]
    largest = max(_size(signal, steps[m]) for m, signal in modalities.items())
    large = accelerator and rows >= MANY_ROWS
    return {
        "name": store,
        "data": {"name": "store", "store": store, "root": root}
        | ({"views": views} if views else {}),
        "encoders": {m: _encoder(signal, large) for m, signal in modalities.items()},
        "fusion": "late",
        "method": "joint",
        "epochs": 20,
        "train": {"batch_size": _batch(rows, largest), "optimizer": "adam", "lr": 0.001},
    }


def _batch(rows: int, size: int) -> int:
    """Return the rows per update: more for many rows, fewer for large ones, two at least.

    Args:
        rows: Number of training rows.
        size: Values of a row in its largest modality.

    Example:
        >>> _batch(800, 4), _batch(200_000, 4), _batch(800, 1_000_000), _batch(800, 10**9)
        (32, 256, 8, 2)
    """
    by_rows = min(max(BATCH, 1 << ceil(log2(max(1, rows / UPDATES)))), LARGEST_BATCH)
    return max(2, min(by_rows, ROOM // size))


def _steps(signal: Mapping[str, Any], side: int) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of the default view, and steps that make large rows smaller."""
    shape = signal["shape"]
    if signal["kind"] == "sequence" and shape[0] > STEPS:
        yield from signal["view"]
        yield {"name": "pool", "steps": STEPS}
        return
    for step in signal["view"]:
        yield _coarser(step, shape[0], side) if side < SIDE else step
        if step["name"] == "pixels":
            if signal["kind"] == VIDEO and len(shape) == 4 and shape[0] > FRAMES:
                yield {"name": "frames", "count": FRAMES}
            if max(_sides(signal)) > side:
                yield {"name": "resize", "size": side}


def _coarser(step: Mapping[str, Any], length: int, side: int) -> Mapping[str, Any]:
    """Return a spectrogram with longer hops, as long as its windows still overlap."""
    if "hop" not in step:
        return step
    hop, bands = step["hop"], step.get("bands", step["n_fft"] // 2 + 1)
    while length // hop * bands > side**2 and 2 * hop <= step["n_fft"]:
        hop *= 2
    return {**step, "hop": hop}


def _sides(signal: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of stored pictures ``([T,] H, W[, C])``."""
    height, width = signal["shape"][1 if signal["kind"] == VIDEO else 0 :][:2]
    return height, width


def _size(signal: Mapping[str, Any], steps: list[Mapping[str, Any]]) -> int:
    """Return the number of values of a row that its encoder gets, channels not counted."""
    options = {key: value for step in steps for key, value in step.items()}
    shape = signal["shape"]
    if "hop" in options:
        bands = options.get("bands", options["n_fft"] // 2 + 1)
        return int(bands * (1 + shape[0] // options["hop"]))
    if signal["kind"] == WORDS:
        return int(options.get("length", STEPS)) * STEPS // 8
    if signal["kind"] in (PICTURE, VIDEO) and any(s["name"] == "pixels" for s in steps):
        height, width = (min(side, SIDE) for side in _sides(signal))
        frames = shape[0] if signal["kind"] == VIDEO else 1
        return int(min(frames, FRAMES) * height * width)
    return prod(shape)


def _encoder(signal: Mapping[str, Any], large: bool) -> dict[str, Any]:
    """Return the encoder of a modality, with the length of its texts if they are long."""
    name = ENCODER_OF[signal["kind"]]
    encoder: dict[str, Any] = {"name": LARGE.get(name, name) if large else name}
    length = max((step.get("length", 0) for step in signal["view"]), default=0)
    return encoder | ({"length": length} if length > STEPS else {})
