"""What exists by name, and what is installed here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import g2d
from g2d.datasets import DATASETS
from g2d.encoders import ENCODERS
from g2d.experiment.demo import SETTINGS
from g2d.fusion import FUSIONS
from g2d.methods import METHODS
from g2d.modulations import MODULATIONS
from g2d.recipe.packaged import about, recipe_names
from g2d.recipe.variants import VARIANTS

OPTIONAL = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
"""Optional libraries and the extras that install them."""


def registered(what: str) -> list[tuple[str, str]]:
    """Names a recipe can use, each with its meaning in a line."""
    if what == "methods":
        return [
            *((name, _method_line(cls)) for name, cls in METHODS.items()),
            *((name, variant.about) for name, variant in VARIANTS.items()),
        ]
    if what == "datasets":
        return [
            (name, f"{dataset.about} (needs {dataset.needs})") for name, dataset in DATASETS.items()
        ]
    if what == "settings":
        return [(name, about(recipe)) for name, recipe in SETTINGS.items()]
    if what == "recipes":
        return [(name, about(name)) for name in recipe_names()]
    tables: dict[str, dict[str, Any]] = {
        "fusions": FUSIONS,
        "modulations": MODULATIONS,
        "encoders": ENCODERS,
    }
    lines = [(name, _first_line(thing)) for name, thing in tables[what].items()]
    return (
        [*lines, ("hf:NAME", "Any model of the Hugging Face library, by name or local folder.")]
        if what == "encoders"
        else lines
    )


def examine() -> Iterator[tuple[str, str]]:
    """Findings about this machine, one line each."""
    yield "g2d", g2d.__version__
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for library in (
        "torch",
        "transformers",
        "scikit-learn",
        "numpy",
        "safetensors",
    ):
        yield library, _version(library)
    yield (
        "device",
        torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu (no CUDA device found)",
    )
    yield (
        "threads",
        f"{torch.get_num_threads()} of {os.cpu_count()} cores (OMP_NUM_THREADS sets them)",
    )
    root = Path(os.environ.get("G2D_DATA", "data"))
    found = (
        sorted(child.name for child in root.iterdir() if child.is_dir()) if root.is_dir() else []
    )
    yield (
        "data",
        f"{root} ({'G2D_DATA' if 'G2D_DATA' in os.environ else 'default; set G2D_DATA to change it'}): {', '.join(found) or 'nothing there'}",
    )
    yield "disk", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB free here"
    yield (
        "writable",
        "yes"
        if os.access(Path.cwd(), os.W_OK)
        else "no: runs cannot be written to this folder, give --out",
    )
    for library, extra in OPTIONAL.items():
        yield (
            library,
            _version(library)
            if importlib.util.find_spec(library)
            else f"not installed (optional): pip install 'g2d[{extra}]'",
        )


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _first_line(thing: Any) -> str:
    text = (
        inspect.getdoc(
            thing if inspect.isclass(thing) or inspect.isfunction(thing) else type(thing)
        )
        or ""
    )
    return _plain(text)


def _plain(docstring: str) -> str:
    """The first paragraph of a docstring in one line, without its markup."""
    return re.sub(
        r":\w+:`~?([^`]+)`|``([^`]+)``",
        lambda found: found[1] or found[2],
        docstring.partition("\n\n")[0].replace("\n", " "),
    )


def _method_line(cls: Any) -> str:
    notes = (
        []
        if cls.tasks >= {"classification", "regression"}
        else [f"{' and '.join(sorted(cls.tasks))} only"]
    )
    notes += ["needs teachers"] if cls.needs_teachers else []
    module = inspect.getdoc(inspect.getmodule(cls)) or _first_line(cls)
    return f"{_plain(module)} [{'; '.join([*notes, str(cls.cost)])}]"
