"""Contract of a fusion."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from g2d.configured import Configured
from g2d.errors import ArgumentError, UnsupportedError
from g2d.files import NAME_RULE
from g2d.types import Encoded, is_name

Kappa = Mapping[str, Tensor | float]
"""Coefficient per modality in [0, 1]: a number or a 0-d tensor."""
Features = Mapping[str, Encoded]
"""Output of every encoder."""
Logits = tuple[Tensor, dict[str, Tensor] | None]
"""Fused logits, and those of every modality if requested."""


class Fusion(Configured, nn.Module):
    """Module that turns the features of k modalities into logits.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.

    Attributes:
        additive: Whether sum_m z^m = l (or mean_m z^m = l) holds exactly.
        has_unimodal_logits: Whether it returns z^m, exact or approximate, if requested.
        attends: Whether it takes ``token_dims``, the width of every modality's tokens.

    Raises:
        ArgumentError: There is no modality, or the name of one cannot be a name in torch.
    """

    additive: ClassVar[bool] = False
    has_unimodal_logits: ClassVar[bool] = True
    attends: ClassVar[bool] = False

    def __init__(self, dims: Mapping[str, int], outputs: int) -> None:
        super().__init__()
        if not dims:
            raise ArgumentError("dims must name at least one modality, found none.")
        if wrong := [m for m in dims if not is_name(m)]:
            raise ArgumentError(
                "modalities must have names without dots that are no attribute of a torch module, "
                f"found {wrong[0]!r}. A name has {NAME_RULE}."
            )
        self.dims, self.outputs = dict(dims), outputs

    @abstractmethod
    def forward(
        self, encoded: Features, *, unimodal: bool = False, head_kappa: Kappa | None = None
    ) -> Logits:
        """Return fused logits and, if requested, unimodal logits.

        Args:
            encoded: Features per modality; zero in rows that lack the modality.
            unimodal: Whether to return z^m too.
            head_kappa: Coefficient that scales the gradient of each modality's own head, as the
                door does for its encoder; only where heads are separate (``additive``).

        Returns:
            Fused logits l ``(B, C)``, and z^m ``(B, C)`` per modality or None.
        """

    def refuse_head_gate(self, head_kappa: Kappa | None) -> None:
        """Refuse coefficients for heads, in a fusion that has no separate heads.

        Raises:
            UnsupportedError: There are such coefficients.
        """
        if head_kappa is not None:
            raise UnsupportedError(
                "gate_heads must have one head per modality (late, sum or concat), "
                f"found {type(self).__name__.lower()} fusion."
            )


class Pooled(Fusion):
    """Fusion of pooled features whose unimodal logits are read with all other features zero.

    z^m is l with f^j = 0 for every other modality j, an approximation.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.
    """

    @abstractmethod
    def fuse(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the fused logits l ``(B, C)`` of features f^m ``(B, D_m)``."""

    def read(self, modality: str, features: Mapping[str, Tensor]) -> Tensor:
        """Return the unimodal logits z^m ``(B, C)``.

        Args:
            modality: Name of the modality m.
            features: Features f^m ``(B, D_m)`` of every modality.
        """
        return self.fuse(
            {m: f if m == modality else torch.zeros_like(f) for m, f in features.items()}
        )

    def forward(
        self, encoded: Features, *, unimodal: bool = False, head_kappa: Kappa | None = None
    ) -> Logits:
        """Return fused logits and, if requested, unimodal logits; see :meth:`Fusion.forward`."""
        self.refuse_head_gate(head_kappa)
        features = {m: encoded[m].pooled for m in self.dims}
        z = {m: self.read(m, features) for m in self.dims} if unimodal else None
        return self.fuse(features), z
