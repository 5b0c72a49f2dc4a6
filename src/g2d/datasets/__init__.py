"""Data sets by name, one folder each: the reader of its raw files, its card, its recipes.

Every sub-package defines ``DATASET``, its entry in the registry. To add a data set, add a folder;
to remove one, delete its folder. No other file names it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

from g2d.datasets.base import DataSet, PreparedOptions, Reader, options_of
from g2d.errors import DataError
from g2d.files import choice_fault


def _discover() -> Iterator[tuple[str, DataSet]]:
    """Yield the name and the entry of every data set among the sub-packages."""
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            entry: DataSet = import_module(f"{__name__}.{module.name}").DATASET
            if entry.options is PreparedOptions:
                entry = replace(entry, options=options_of(module.name))
            yield module.name, entry
            yield from entry.also.items()


DATASETS: dict[str, DataSet] = dict(_discover())
"""Every data set, by name."""


def find_dataset(name: str) -> DataSet:
    """Return the data set with a name or an alias.

    Raises:
        DataError: No data set has this name; the message suggests the nearest one.

    Example:
        >>> find_dataset("manifest") is find_dataset("table")
        True
    """
    known = DATASETS | {alias: entry for entry in DATASETS.values() for alias in entry.aliases}
    if name not in known:
        raise DataError(choice_fault("a data set", name, known))
    return known[name]


__all__ = ["DATASETS", "DataSet", "Reader", "find_dataset"]
