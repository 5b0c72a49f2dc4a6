"""Fusions with one linear head per modality, which split exactly into unimodal logits."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2d.functional.gradients import scale_gradient
from g2d.fusion.base import Fusion, Kappa
from g2d.types import Encoded


class Additive(Fusion):
    """One linear head per modality; what differs is only how their outputs combine.

    Attributes:
        scale: l = scale * sum_m z^m.
    """

    additive = True
    scale: float = 1.0

    def __init__(self, dims: Mapping[str, int], outputs: int) -> None:
        super().__init__(dims, outputs)
        self.heads = nn.ModuleDict({m: nn.Linear(d, outputs) for m, d in dims.items()})

    def head(self, modality: str, features: Tensor, kappa: Tensor | float = 1.0) -> Tensor:
        """z^m ``(B, C)`` from f^m ``(B, D_m)``."""
        bias = self.heads[modality].bias
        assert isinstance(bias, Tensor)
        return F.linear(
            features, scale_gradient(self.weight(modality), kappa), scale_gradient(bias, kappa)
        )

    def weight(self, modality: str) -> nn.Parameter:
        """W_m ``(C, D_m)``."""
        weight = self.heads[modality].weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def forward(
        self,
        encoded: Mapping[str, Encoded],
        *,
        unimodal: bool = False,
        head_kappa: Kappa | None = None,
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        kappa = head_kappa or {}
        z = {m: self.head(m, encoded[m].pooled, kappa.get(m, 1.0)) for m in self.dims}
        logits = torch.stack(tuple(z.values())).sum(0) * self.scale
        return logits, z if unimodal else None

    @torch.no_grad()
    def load_heads(self, heads: Mapping[str, nn.Linear]) -> None:
        """Take over separately trained heads, so that l becomes the mean of their outputs (the teachers' ensemble)."""
        share = 1 / (len(self.dims) * self.scale)
        for m, trained in heads.items():
            self.heads[m].load_state_dict(
                {"weight": trained.weight * share, "bias": trained.bias * share}
            )


class Sum(Additive):
    """l = sum_m (W_m f^m + b_m), with every head's full bias in training and in evaluation."""


class Late(Additive):
    """l = (1/k) sum_m (W_m f^m + b_m): the mean of the heads, as G²D's own experiments use.

    Not the same as :class:`Sum`: the softmax and every encoder's gradient see the sum divided by k.
    """

    def __init__(self, dims: Mapping[str, int], outputs: int) -> None:
        super().__init__(dims, outputs)
        self.scale = 1 / len(self.dims)


class Concat(Additive):
    """l = W [f^1; ..; f^k] + b, with z^m = W[:, m] f^m + b / k, so that sum_m z^m = l.

    W is stored as one matrix per modality, so that a modality's head can be gated; b belongs to all and never is.
    """

    def __init__(self, dims: Mapping[str, int], outputs: int) -> None:
        super().__init__(dims, outputs)
        joint = nn.Linear(sum(dims.values()), outputs)
        self.bias = nn.Parameter(joint.bias.detach().clone())
        self.heads = nn.ModuleDict({m: nn.Linear(d, outputs, bias=False) for m, d in dims.items()})
        with torch.no_grad():
            for m, columns in zip(
                dims, joint.weight.split(tuple(dims.values()), dim=1), strict=True
            ):
                self.weight(m).copy_(columns)

    def head(self, modality: str, features: Tensor, kappa: Tensor | float = 1.0) -> Tensor:
        return F.linear(
            features, scale_gradient(self.weight(modality), kappa), self.bias / len(self.dims)
        )

    @torch.no_grad()
    def load_heads(self, heads: Mapping[str, nn.Linear]) -> None:
        for m, trained in heads.items():
            self.weight(m).copy_(trained.weight / len(self.dims))
        self.bias.copy_(torch.stack([trained.bias for trained in heads.values()]).mean(0))
