"""Recipes on the built-in digits that train in a second."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from g2d.recipe import Recipe

SMALL = (
    "encoders.image={name: cnn, widths: [4, 4], pool: 1}",
    "encoders.tone={name: mlp, widths: [8]}",
    "data.eval_draws=1",
)
"""Overrides that make the encoders and the evaluation of digits small."""


@pytest.fixture
def small() -> Callable[..., Recipe]:
    """Return a function from overrides to a small recipe on digits."""

    def build(*overrides: str) -> Recipe:
        return Recipe.load("digits", [*overrides, *SMALL])

    return build
