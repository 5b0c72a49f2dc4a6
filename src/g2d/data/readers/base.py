"""What a reader is, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from g2d.data.store.plan import Plan


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
    """

    plan: Callable[[Path, Any], Plan]
    options: type[ReaderOptions]
    about: str
    layout: str
    needs: str
    licence: str
