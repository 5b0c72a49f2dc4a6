"""Tables with statistics, charts, and one page that explains a run or a comparison.

Every function receives runs that were grouped once by :func:`groups_of`. Names are loaded when
they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2d.report.comparison import Reference as Reference
    from g2d.report.comparison import comparison_table as comparison_table
    from g2d.report.lines import Group as Group
    from g2d.report.lines import groups_of as groups_of
    from g2d.report.page import write_page as write_page
    from g2d.report.page import write_report as write_report
    from g2d.report.tables import FORMATS as FORMATS
    from g2d.report.tables import Table as Table

_MODULES = {
    "comparison": ("Reference", "comparison_table"),
    "lines": ("Group", "groups_of"),
    "page": ("write_page", "write_report"),
    "tables": ("FORMATS", "Table"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"g2d.report.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'g2d.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
