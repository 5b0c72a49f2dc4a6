"""Where data on disk are found: never by a path in a committed recipe."""

from __future__ import annotations

import os
from pathlib import Path

from g2d.errors import DataError


def data_root(root: str | None = None) -> Path:
    """``data.root`` of a recipe, else the environment's ``G2D_DATA``, else ``data``."""
    return Path(root or os.environ.get("G2D_DATA") or "data")


def find(name: str, root: str | None = None, *, needs: str) -> Path:
    """The folder ``name`` under the data root.

    Args:
        needs: how a user gets it; part of the message.

    Raises:
        DataError: it is not there.
    """
    folder = data_root(root) / name
    if not folder.is_dir():
        raise DataError(
            f"data must lie in {folder}, found no such folder. Set data.root or the environment's G2D_DATA to the folder that holds {name!r}; {needs}"
        )
    return folder
