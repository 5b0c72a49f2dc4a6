"""A recipe says what is trained on what, how, and for how long.

This package is the only place where names become objects. Its names are loaded when first used, so
that listing the packaged recipes loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2d.recipe.parts import Named as Named
    from g2d.recipe.parts import TeacherPlan as TeacherPlan
    from g2d.recipe.recipe import Recipe as Recipe

_HOMES = {"Named": "parts", "Recipe": "recipe", "TeacherPlan": "parts"}

__all__ = ["Named", "Recipe", "TeacherPlan"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'g2d.recipe' has no attribute {name!r}")
    return getattr(import_module(f"g2d.recipe.{_HOMES[name]}"), name)
