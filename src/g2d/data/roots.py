"""The folder of data on disk: from the recipe or the environment, never fixed in the code."""

from __future__ import annotations

import os
from pathlib import Path

from g2d.errors import DataError


def data_root(root: str | None = None) -> Path:
    """Return the data root: ``root`` if given, else the environment's ``G2D_DATA``, else ``data``.

    Args:
        root: The value of ``data.root`` in a recipe.
    """
    return Path(root or os.environ.get("G2D_DATA") or "data")


def find(name: str, root: str | None = None, *, needs: str) -> Path:
    """Return the folder ``name`` under the data root.

    Args:
        name: Name of the folder.
        root: The value of ``data.root`` in a recipe.
        needs: How a user obtains the data; the end of the message.

    Raises:
        DataError: There is no such folder.
    """
    folder = data_root(root) / name
    if not folder.is_dir():
        advice = f"Set data.root or the environment's G2D_DATA to the folder that contains {name!r}"
        raise DataError(f"data not found: there is no folder {folder}. {advice}; {needs}")
    return folder
