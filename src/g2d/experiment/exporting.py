"""A model that leaves its folder: :func:`export`, and opening what it wrote."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import g2d
from g2d.data import Source
from g2d.data.unrowed import facts_of
from g2d.engine import checkpoint as checkpoints
from g2d.engine.stack import Stack
from g2d.errors import ArgumentError, RunError
from g2d.experiment.card import card
from g2d.experiment.loading import Run, load
from g2d.experiment.rebuilding import relocated
from g2d.files import folder_written, import_extra, write_text
from g2d.recipe import Recipe
from g2d.runs.bundle import CARD, PRETRAINED, WEIGHTS, is_bundle, write_bundle
from g2d.types import Batch

CHECKED = 64
"""Number of rows on which a bundle is compared with its run."""
PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors", "*.jinja")
"""Files of a pretrained model that are copied."""


def export(run: Run | str | Path, to: str | Path) -> Run:
    """Write a trained run as a folder that predicts without the data, also on another machine.

    The folder has the weights, the fitted views, the classes or the scale of the target, the recipe
    and the scores of the run, and a card. It has no row of the data. Before it is put in its place,
    it is opened and its predictions for some rows are compared with those of the run, bit for bit.

    Args:
        run: A finished run (a stack and the result of :func:`g2d.fit` too), or its folder. Its data
            must still be there.
        to: The folder to write. It must not exist, or be empty.

    Returns:
        What was written, opened as :func:`g2d.load` opens it.

    Raises:
        ArgumentError: ``to`` is a file or holds files.
        RunError: The run is not finished, or the bundle does not predict exactly as the run does.
        UnsupportedError: A view of the data cannot be written.

    Example:
        >>> g2d.export("runs/a", to="model")  # doctest: +SKIP
        >>> g2d.load("model").predict("rows.csv")  # doctest: +SKIP
    """
    to = Path(to)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ArgumentError(f"--to must be a new or empty folder, found other files in {to}.")
    run = run if isinstance(run, Run) else load(run)
    if run.result is None:
        raise RunError(f"{run.folder} must be a finished run to be exported, found no result.")
    if is_bundle(run.folder):
        raise RunError(f"{run.folder} is exported already: copy the folder.")
    with folder_written(to) as temporary:
        _write(run, temporary)
        difference = _difference(run, load(temporary))
        if difference:
            raise RunError(
                f"{run.folder} cannot be exported: the bundle predicts other values ({difference})."
            )
    return load(to)


def _write(run: Run, folder: Path) -> None:
    """Write all files of a bundle."""
    assert run.result is not None
    checkpoints.save(folder / WEIGHTS, run.model, run.method)
    names = sorted(set(_pretrained_names(run.recipe, run.source)))
    pretrained = {
        name: _copied(name, folder / PRETRAINED / str(place)).relative_to(folder).as_posix()
        for place, name in enumerate(names)
    }
    recipe = relocated(_unrooted(run.recipe).resolved(), pretrained)
    write_text(folder / CARD, card(run, recipe))
    result = run.result.plain()
    students = result.get("stack", {}).get("students", {})
    moved = {
        name: relocated(_unrooted(Recipe.from_mapping(one, name)).resolved(), pretrained)
        for name, one in students.items()
    }
    stack = {**result.get("stack", {}), **({"students": moved} if moved else {})}
    content = {
        "g2d": g2d.__version__,
        "recipe": recipe,
        "stacked": isinstance(run.method, Stack),
        "result": {**result, "stack": stack, "files": {}},
        "data": facts_of(run.source, pretrained),
        "pretrained": list(pretrained.values()),
    }
    write_bundle(folder, content)


def _unrooted(recipe: Recipe) -> Recipe:
    """Return a recipe without the paths of this machine."""
    data = {key: value for key, value in recipe.data.plain().items() if key != "root"}
    if store := data.get("store"):
        data["store"] = Path(store).name
    return recipe.changed({"data": data, "teachers.folder": None})


def _pretrained_names(recipe: Recipe, source: Source) -> Iterator[str]:
    """Yield the names of the Hugging Face models and tokenizers that new rows need."""
    from g2d.encoders import HUGGING_FACE

    for encoder in recipe.encoders.values():
        if encoder.name.startswith(HUGGING_FACE):
            yield encoder.name.removeprefix(HUGGING_FACE)
    for view in source.views.values():
        for step in getattr(view, "steps", ()):
            if name := getattr(step, "tokenizer", None):
                yield name


def _copied(name: str, folder: Path) -> Path:
    """Copy the files of a pretrained model into a bundle; return its folder or its only file."""
    place = Path(name)
    if not place.exists():
        hub = import_extra("huggingface_hub", "hub", f"exporting the model {name!r}")
        place = Path(hub.snapshot_download(name, allow_patterns=list(PATTERNS)))
    folder.mkdir(parents=True)
    if place.is_file():
        return Path(shutil.copyfile(place, folder / place.name))
    for pattern in PATTERNS:
        for path in place.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    return folder


@torch.no_grad()
def _difference(run: Run, bundle: Run) -> str:
    """Return the first difference between the predictions of a run and of its bundle, or ''."""
    source, count = run.source, run.source.size
    rows = np.unique(np.linspace(0, count - 1, min(CHECKED, count)).round().astype(np.int64))
    batch = source.gather(rows)
    whole = _predicted(run, batch), _predicted(bundle, batch)
    for what, first, second in _pairs(*whole):
        if not torch.equal(first, second) and not torch.allclose(
            first, second, rtol=0, atol=0, equal_nan=True
        ):
            largest = float((first - second).abs().max())
            return f"{what} of {len(rows)} rows differ by up to {largest:.3g}"
    return ""


def _predicted(run: Run, batch: Batch) -> Mapping[str, Tensor]:
    """Return all logits for stored rows that a run sees through its own views."""
    seen = run.source.view(batch, seed=0, epoch=0, train=False)
    device = next(run.model.parameters()).device
    output = run.method.predict(
        run.model,
        {m: seen.inputs[m].to(device) for m in run.modalities},
        None if seen.present is None else {m: p.to(device) for m, p in seen.present.items()},
    )
    return {"fused logits": output.logits.cpu()} | {
        f"logits of {m}": z.cpu() for m, z in (output.unimodal_logits or {}).items()
    }


def _pairs(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    for name, values in first.items():
        yield name, values, second[name]
