"""The methods, one file per paper. A recipe can use the methods listed in METHODS."""

from __future__ import annotations

from g2d.method import Method
from g2d.methods.agm import AGM
from g2d.methods.dlmg import DLMG
from g2d.methods.g2d import G2D
from g2d.methods.g2d_released import G2DReleased
from g2d.methods.joint import Joint
from g2d.methods.mis_me import MISME
from g2d.methods.mla import MLA
from g2d.methods.mmpareto import MMPareto
from g2d.methods.mses import MSES
from g2d.methods.mslr import MSLR
from g2d.methods.ogm_ge import OGMGE
from g2d.methods.pmr import PMR
from g2d.methods.reconboost import ReconBoost
from g2d.methods.ume import UME
from g2d.methods.umt import UMT

METHODS: dict[str, type[Method]] = {
    "joint": Joint,
    "umt": UMT,
    "ume": UME,
    "g2d": G2D,
    "g2d_released": G2DReleased,
    "mses": MSES,
    "mslr": MSLR,
    "ogm_ge": OGMGE,
    "agm": AGM,
    "pmr": PMR,
    "mla": MLA,
    "mmpareto": MMPareto,
    "reconboost": ReconBoost,
    "dlmg": DLMG,
    "mis_me": MISME,
}

__all__ = [
    "AGM",
    "DLMG",
    "G2D",
    "METHODS",
    "MISME",
    "MLA",
    "MSES",
    "MSLR",
    "OGMGE",
    "PMR",
    "UME",
    "UMT",
    "G2DReleased",
    "Joint",
    "MMPareto",
    "ReconBoost",
]
