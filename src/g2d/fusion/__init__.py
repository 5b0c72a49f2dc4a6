"""Fusions: from features to logits, fused and per modality.

Additive fusions (:class:`Late`, :class:`Sum`, :class:`Concat`) split exactly: their unimodal
logits z^m average (Late) or add up (Sum, Concat) to the fused logits l. For the others
(:class:`FiLM`, :class:`BiGated`, :class:`CrossAttention`, :class:`FusionMLP`) z^m is an
approximation, whose error :func:`g2d.analysis.readout_error` measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from g2d.files import one_of
from g2d.fusion.additive import Additive, Concat, Late, Sum
from g2d.fusion.attention import CrossAttention
from g2d.fusion.base import Fusion, Kappa
from g2d.fusion.conditional import BiGated, FiLM
from g2d.fusion.perceptron import FusionMLP
from g2d.fusion.shared import Align
from g2d.types import Encoded

FUSIONS: dict[str, type[Fusion]] = {
    "late": Late,
    "sum": Sum,
    "concat": Concat,
    "film": FiLM,
    "bigated": BiGated,
    "cross_attention": CrossAttention,
    "mlp": FusionMLP,
}

READ_FROM_DATA = ("dims", "outputs", "token_dims")
"""Arguments of a fusion that are read from an example; a recipe does not set them."""


def build_fusion(name: str, example: Mapping[str, Encoded], outputs: int, **options: Any) -> Fusion:
    """Build a fusion by name, for features like those of an example.

    Args:
        name: Name of the fusion, a key of :data:`FUSIONS`.
        example: Output of every encoder for some rows (:func:`g2d.model.example_features`).
        outputs: Number of logits C.
        options: Options of the fusion.

    Raises:
        ArgumentError: There is no fusion of that name, or it refuses an option.

    Example:
        >>> import torch
        >>> image = Encoded(torch.zeros(2, 6), tokens=torch.zeros(2, 4, 3))
        >>> example = {"image": image, "tone": Encoded(torch.zeros(2, 5))}
        >>> build_fusion("film", example, 10)
        FiLM(
          dims={'image': 6, 'tone': 5},
          outputs=10,
          conditioned=None,
          plus_one=True,
          unimodal='zero_other',
        )
        >>> list(build_fusion("cross_attention", example, 10, width=8, heads=2).tokens)
        ['image']
    """
    one_of("fusion", name, FUSIONS)
    if FUSIONS[name].attends:
        options["token_dims"] = {
            m: encoded.tokens.shape[2]
            for m, encoded in example.items()
            if encoded.tokens is not None
        }
    return FUSIONS[name](
        {m: encoded.pooled.shape[1] for m, encoded in example.items()}, outputs, **options
    )


__all__ = [
    "FUSIONS",
    "READ_FROM_DATA",
    "Additive",
    "Align",
    "BiGated",
    "Concat",
    "CrossAttention",
    "FiLM",
    "Fusion",
    "FusionMLP",
    "Kappa",
    "Late",
    "Sum",
    "build_fusion",
]
