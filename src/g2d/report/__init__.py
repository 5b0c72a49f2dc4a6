"""What runs look like: tables with their statistics, figures, and one page that explains a run or a comparison.

Names are loaded when first used: a text table needs no drawing library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2d.report.figures import confidence_curves as confidence_curves
    from g2d.report.figures import prioritized_modality as prioritized_modality
    from g2d.report.figures import unimodal_curves as unimodal_curves
    from g2d.report.page import render_page as render_page
    from g2d.report.page import write_report as write_report
    from g2d.report.paper import build as build
    from g2d.report.tables import FORMATS as FORMATS
    from g2d.report.tables import Table as Table

_HOMES = {
    "figures": ("confidence_curves", "prioritized_modality", "unimodal_curves"),
    "page": ("render_page", "write_report"),
    "paper": ("build",),
    "tables": ("FORMATS", "Table"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(f"g2d.report.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'g2d.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
