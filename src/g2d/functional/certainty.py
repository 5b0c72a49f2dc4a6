"""Weights of modalities by the entropy of their own predictions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from g2d.functional.prototypes import entropy_per_row
from g2d.types import Present


def certainty_weights(
    unimodal_logits: Mapping[str, Tensor], present: Present = None
) -> dict[str, Tensor]:
    """Return the weight of every modality in every row: the more certain, the larger.

    lambda_i^m = softmax over m of -H(softmax(z_i^m))

    Args:
        unimodal_logits: Unimodal logits z^m ``(B, C)`` per modality.
        present: Rows that have the modality ``(B,)``, bool, per modality; a missing modality gets
            a weight of zero.

    Returns:
        Weights ``(B,)`` per modality, which add up to 1 in every row.

    Example:
        >>> probability = {"image": [[0.9, 0.1]], "tone": [[0.6, 0.4]]}
        >>> weights = certainty_weights({m: torch.tensor(p).log() for m, p in probability.items()})
        >>> {m: round(weight.item(), 6) for m, weight in weights.items()}
        {'image': 0.586115, 'tone': 0.413885}
    """
    entropies = []
    for m, z in unimodal_logits.items():
        entropy, has = entropy_per_row(z), None if present is None else present.get(m)
        entropies.append(entropy if has is None else entropy.masked_fill(~has, 1e9))
    weights = torch.softmax(-torch.stack(entropies), dim=0)
    return dict(zip(unimodal_logits, weights, strict=True))
