"""A recipe: one YAML text that says what is trained on what, how, and for how long. The only place where names become objects."""

from __future__ import annotations

from g2d.recipe.parts import Named, TeacherPlan
from g2d.recipe.recipe import Recipe

__all__ = ["Named", "Recipe", "TeacherPlan"]
