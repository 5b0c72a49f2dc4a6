"""What every fusion promises."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from g2d.errors import ArgumentError, UnsupportedError
from g2d.types import Encoded, is_name

Kappa = Mapping[str, Tensor | float]


class Fusion(nn.Module):
    """Features of k modalities -> logits.

    Args:
        dims: D_m of every modality, in the data's order.
        outputs: C.

    Attributes:
        additive: sum_m z^m = l (or mean_m z^m = l) holds exactly.
        attends: it takes ``token_dims``, the width of every modality's tokens.
    """

    additive: ClassVar[bool] = False
    attends: ClassVar[bool] = False

    def __init__(self, dims: Mapping[str, int], outputs: int) -> None:
        super().__init__()
        if not dims:
            raise ArgumentError("dims must name at least one modality, found none.")
        if wrong := [m for m in dims if not is_name(m)]:
            raise ArgumentError(
                f"modalities must have names without dots that are no attribute of a torch module, found {wrong[0]!r}."
            )
        self.dims, self.outputs = dict(dims), outputs

    @abstractmethod
    def forward(
        self,
        encoded: Mapping[str, Encoded],
        *,
        unimodal: bool = False,
        head_kappa: Kappa | None = None,
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Fuse.

        Args:
            encoded: every modality's features; a modality that a row lacks is zero there.
            unimodal: also return z^m.
            head_kappa: scale the gradient of each modality's own head, as the door does for its encoder; only where heads are
                separate (``additive``).

        Returns:
            l ``(B, C)``, and z^m ``(B, C)`` per modality or None.
        """

    def refuse_head_gate(self, head_kappa: Kappa | None) -> None:
        if head_kappa is not None:
            raise UnsupportedError(
                f"gate_heads must have one head per modality (late, sum or concat), found {type(self).__name__.lower()} fusion."
            )
