"""Variants: names for a method together with settings, valid wherever a method can be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of a comparison that is more than a method.

    Args:
        method: The name of the method.
        settings: Values by dotted key of a recipe, applied when the variant is chosen.
        about: One line for ``g2d list methods``.
    """

    method: str
    settings: Mapping[str, Any]
    about: str


SMP = {"method.modulation": {"name": "smp"}}
VARIANTS: dict[str, Variant] = {
    "joint+smp": Variant(
        "joint",
        SMP,
        "Joint training with Sequential Modality Prioritization, without distillation (Table 4).",
    ),
    "umt+smp": Variant("umt", SMP, "UMT with Sequential Modality Prioritization (Table 4)."),
    "g2d-loss": Variant(
        "g2d",
        {"method.tau": "none"},
        "The loss of G²D without prioritization: all modalities learn together (Table 4).",
    ),
    "joint-warm": Variant(
        "joint", {"warm_start": True}, "Joint training that starts from the teachers' weights."
    ),
    "joint-pair": Variant(
        "joint",
        {"students": 2},
        "Two joint models from two seeds, their heads weighted on the validation rows.",
    ),
    "stack": Variant(
        "ume",
        {"stack": 2},
        "Two sets of teachers from two seeds, their heads weighted on the validation rows.",
    ),
}
"""All variants by name."""
