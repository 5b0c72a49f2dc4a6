"""Who is sure of a row: weights of modalities by the entropy of their own predictions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from g2d.functional.prototypes import entropy_per_row


def certainty_weights(
    unimodal_logits: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """lambda_i^m = softmax over m of -H(softmax(z_i^m)): per row, the surer a modality the larger its weight.

    Args:
        unimodal_logits: z^m ``(B, C)`` per modality.
        present: ``(B,)`` bool per modality; a row that lacks a modality gives it no weight.

    Returns:
        per modality ``(B,)``, adding up to 1 in every row.

    Example:
        >>> z = {"image": torch.tensor([[0.9, 0.1]]).log(), "tone": torch.tensor([[0.6, 0.4]]).log()}
        >>> {m: round(weight.item(), 6) for m, weight in certainty_weights(z).items()}
        {'image': 0.586115, 'tone': 0.413885}
    """
    entropies = []
    for m, z in unimodal_logits.items():
        entropy, there = entropy_per_row(z), None if present is None else present.get(m)
        entropies.append(entropy if there is None else entropy.masked_fill(~there, 1e9))
    weights = torch.softmax(-torch.stack(entropies), dim=0)
    return dict(zip(unimodal_logits, weights, strict=True))
