"""Base class of everything that is read from a run folder."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

Number = int | float
Metrics = dict[str, Number]
"""Values by metric name."""


class Content(BaseModel):
    """Base class of everything that is read from a run folder."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    def plain(self) -> dict[str, Any]:
        """Return the plain values that were given, under the names of the file."""
        return self.model_dump(by_alias=True, exclude_unset=True)
