"""Lists of the names that a recipe can contain, and of what is installed on this machine."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

import g2d
from g2d.datasets import DATASETS
from g2d.encoders import ENCODERS
from g2d.experiment.demo import SETTINGS
from g2d.files import EXTRAS
from g2d.fusion import FUSIONS
from g2d.methods import METHODS
from g2d.modulations import MODULATIONS
from g2d.recipe.packaged import about, recipe_names
from g2d.recipe.variants import VARIANTS
from g2d.task import TASKS

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "pydantic", "safetensors")
"""Required libraries whose versions matter for a result."""


def registered(kind: str) -> list[tuple[str, str]]:
    """Return names and one line about each.

    Args:
        kind: ``recipes``, ``methods``, ``fusions``, ``modulations``, ``encoders``, ``datasets`` or
            ``settings`` (of the built-in data).

    Example:
        >>> registered("settings")[5]
        ('dead', 'As digits, but one modality holds no information.')
    """
    lists: dict[str, Mapping[str, str]] = {
        "recipes": {name: about(name) for name in recipe_names()},
        "methods": {name: _about_method(cls) for name, cls in METHODS.items()}
        | {name: variant.about for name, variant in VARIANTS.items()},
        "fusions": {name: _first_line(cls) for name, cls in FUSIONS.items()},
        "modulations": {name: _first_line(cls) for name, cls in MODULATIONS.items()},
        "encoders": {name: _first_line(encoder) for name, encoder in ENCODERS.items()}
        | {"hf:NAME": "Any model of the Hugging Face library, by name or local folder."},
        "datasets": {name: f"{data.about} (needs {data.needs})" for name, data in DATASETS.items()},
        "settings": {setting: about(recipe) for setting, recipe in SETTINGS.items()},
    }
    return list(lists[kind].items())


def examine() -> Iterator[tuple[str, str]]:
    """Yield what ``g2d doctor`` prints: a subject and what was found, one line each."""
    yield "g2d", g2d.__version__
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for library in LIBRARIES:
        yield library, _version(library) or "not installed"
    cuda = torch.cuda.is_available()
    yield "device", torch.cuda.get_device_name() if cuda else "cpu (no CUDA device found)"
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores (set OMP_NUM_THREADS)"
    yield "data", _data_folders()
    yield "disk", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB free in this folder"
    writable = os.access(Path.cwd(), os.W_OK)
    yield "writable", "yes" if writable else "no: runs cannot be written here, pass --out"
    for extra, libraries in EXTRAS.items():
        yield f"extra {extra}", _extra(extra, libraries)


def _data_folders() -> str:
    root = Path(os.environ.get("G2D_DATA", "data"))
    source = "G2D_DATA" if "G2D_DATA" in os.environ else "default; set G2D_DATA to change it"
    folders = sorted(path.name for path in root.glob("*") if path.is_dir())
    return f"{root} ({source}): {', '.join(folders) or 'empty'}"


def _extra(extra: str, libraries: tuple[str, ...]) -> str:
    """Return the versions of an extra's libraries, and how to install missing ones."""
    versions = {library: _version(library) for library in libraries}
    text = ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())
    return text if all(versions.values()) else f"{text}: pip install 'g2d[{extra}]'"


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(thing: Any) -> str:
    return _without_markup(inspect.getdoc(thing) or "")


def _without_markup(docstring: str) -> str:
    """Return the first paragraph of a docstring in one line, without its markup."""
    paragraph = docstring.partition("\n\n")[0].replace("\n", " ")
    return re.sub(r":\w+:`~?([^`]+)`|``([^`]+)``", lambda match: match[1] or match[2], paragraph)


def _about_method(cls: Any) -> str:
    """Return the summary of a method's module, the tasks it supports, and its cost."""
    every = cls.tasks >= TASKS.keys()
    notes = [] if every else [f"{' and '.join(sorted(cls.tasks))} only"]
    notes += ["needs teachers"] if cls.needs_teachers else []
    about_module = inspect.getdoc(inspect.getmodule(cls)) or _first_line(cls)
    return f"{_without_markup(about_module)} [{'; '.join([*notes, str(cls.cost)])}]"
