"""A recipe says what is trained on what, how, and for how long.

This package is the only place where names become objects. :class:`Recipe` is loaded when first
used, so that listing the packaged recipes loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2d.recipe.recipe import Recipe as Recipe

__all__ = ["Recipe"]


def __getattr__(name: str) -> Any:
    if name != "Recipe":
        raise AttributeError(f"module 'g2d.recipe' has no attribute {name!r}")
    from g2d.recipe.recipe import Recipe

    return Recipe
