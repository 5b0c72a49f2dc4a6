"""Notice before training: guidance by unimodal teachers can destroy an interaction."""

from __future__ import annotations

from collections.abc import Sequence

from g2d.fusion import Fusion

LOST = {"G²D": 25, "UMT": 34}
"""Points of accuracy that a method lost at most against joint training with the same non-additive
fusion ``film``, where information was in the interaction; measured as the page below describes."""
PAGE = "docs/guide/when-balancing-helps.md"
TOPIC = "interaction"


def interaction_notice(fusion: Fusion, causes: Sequence[str]) -> dict[str, str]:
    """Return a notice, by topic, if a method can destroy what modalities show only together.

    Args:
        fusion: Fusion of the student. An additive one cannot represent an interaction, and one
            modality has none: there is nothing to lose.
        causes: What the method does that can destroy it, in words; empty if nothing does.

    Example:
        >>> from g2d.fusion import FiLM, Late
        >>> interaction_notice(Late({"image": 3, "tone": 2}, 4), ["exclusive stages"])
        {}
        >>> list(interaction_notice(FiLM({"image": 3, "tone": 2}, 4), ["exclusive stages"]))
        ['interaction']
    """
    if fusion.additive or len(fusion.dims) < 2 or not causes:
        return {}
    lost = " and ".join(f"{name} lost up to {points} points" for name, points in LOST.items())
    return {
        TOPIC: (
            f"This fusion reads modalities together, and {' and '.join(causes)} can destroy what "
            f"they show only together: {lost} in our measurements ({PAGE}). "
            "Train method=joint with the same fusion too, and compare."
        )
    }
