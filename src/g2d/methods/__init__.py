"""One file per paper. METHODS is written by hand: what is not in it does not exist for a recipe."""

from __future__ import annotations

from g2d.method import Method
from g2d.methods.g2d import G2D
from g2d.methods.g2d_released import G2DReleased
from g2d.methods.joint import Joint
from g2d.methods.ume import UME
from g2d.methods.umt import UMT

METHODS: dict[str, type[Method]] = {
    "joint": Joint,
    "umt": UMT,
    "ume": UME,
    "g2d": G2D,
    "g2d_released": G2DReleased,
}

__all__ = ["G2D", "METHODS", "UME", "UMT", "G2DReleased", "Joint"]
