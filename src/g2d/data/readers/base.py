"""What a reader is, and what several of them share."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from g2d.data.store.plan import Plan
from g2d.errors import DataError


class ReaderOptions(BaseModel):
    """What ``g2d data prepare NAME key=value`` may say; every reader adds its own keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Reader:
    """An entry of the list of readers.

    Args:
        plan: from the source folder and the options to a plan. Raises :class:`~g2d.errors.DataError` where nothing usable is there.
        options: what a user may say.
        about: the data set in a line. layout: what the source folder must hold, in a few lines.
        needs: what a user must do by hand, and where (a form, a licence, an address). licence: of the data.
        own: it reads a user's own data, which have no name before they are prepared.
        pack: name of the folder under the data root that can be opened as it is, without a store: small sets that come as arrays.
    """

    plan: Callable[[Path, Any], Plan]
    options: type[ReaderOptions]
    about: str
    layout: str
    needs: str
    licence: str
    pack: str | None = None
    own: bool = False


@lru_cache(maxsize=4)
def open_pack(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file, all in memory.

    Raises:
        DataError: it is not there, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path.name} must lie in {path.parent}, found no such file.") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} must be a file of plain arrays, found damage: {error}. Fetch it again.") from error


def find_file(source: Path, name: str) -> Path | None:
    """The first file of that name under a folder, bytewise by path."""
    return min(source.rglob(name), key=lambda path: path.as_posix().encode(), default=None)
