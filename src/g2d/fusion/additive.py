"""Fusions with one linear head per modality, which split exactly into unimodal logits."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2d.functional.gradients import scale_gradient
from g2d.fusion.base import Features, Fusion, Kappa, Logits


class Additive(Fusion):
    """One linear head per modality; subclasses differ in how the outputs combine.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.

    Attributes:
        scale: Factor in l = scale * sum_m z^m.
    """

    additive = True
    scale: float = 1.0

    def __init__(self, dims: Mapping[str, int], outputs: int) -> None:
        super().__init__(dims, outputs)
        self.heads = nn.ModuleDict({m: nn.Linear(d, outputs) for m, d in dims.items()})

    def head(self, modality: str, features: Tensor, kappa: Tensor | float = 1.0) -> Tensor:
        """Return the unimodal logits z^m of one modality.

        Args:
            modality: Name of the modality.
            features: Features f^m ``(B, D_m)``.
            kappa: Coefficient that scales the gradient of the head.

        Returns:
            Logits ``(B, C)``.
        """
        bias = self.heads[modality].bias
        assert isinstance(bias, Tensor)
        return F.linear(
            features, scale_gradient(self.weight(modality), kappa), scale_gradient(bias, kappa)
        )

    def weight(self, modality: str) -> nn.Parameter:
        """Return the weight W_m ``(C, D_m)`` of one modality's head."""
        weight = self.heads[modality].weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def forward(
        self, encoded: Features, *, unimodal: bool = False, head_kappa: Kappa | None = None
    ) -> Logits:
        """Return l = scale * sum_m z^m, and z^m if requested; see :meth:`Fusion.forward`."""
        kappa = head_kappa or {}
        z = {m: self.head(m, encoded[m].pooled, kappa.get(m, 1.0)) for m in self.dims}
        logits = torch.stack(tuple(z.values())).sum(0) * self.scale
        return logits, z if unimodal else None

    @torch.no_grad()
    def load_heads(self, heads: Mapping[str, nn.Linear]) -> None:
        """Copy separately trained heads so that l is the mean of their outputs.

        Args:
            heads: Linear layer from D_m to C, per modality.
        """
        share = 1 / (len(self.dims) * self.scale)
        for m, trained in heads.items():
            self.heads[m].load_state_dict(
                {"weight": trained.weight * share, "bias": trained.bias * share}
            )


class Sum(Additive):
    """Sum of the heads: l = sum_m (W_m f^m + b_m).

    Every head has its full bias, in training and in evaluation.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.
    """


class Late(Additive):
    """Mean of the heads: l = (1/k) sum_m (W_m f^m + b_m), the fusion of G²D's own experiments.

    It differs from :class:`Sum`: the softmax and every encoder's gradient see the sum divided
    by k.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.

    Example:
        >>> from g2d.types import Encoded
        >>> fusion = Late({"image": 3, "tone": 2}, outputs=4)
        >>> fusion
        Late(dims={'image': 3, 'tone': 2}, outputs=4)
        >>> f = {"image": Encoded(torch.zeros(8, 3)), "tone": Encoded(torch.zeros(8, 2))}
        >>> logits, z = fusion(f, unimodal=True)
        >>> torch.allclose((z["image"] + z["tone"]) / 2, logits)
        True
    """

    def __init__(self, dims: Mapping[str, int], outputs: int) -> None:
        super().__init__(dims, outputs)
        self.scale = 1 / len(self.dims)


class Concat(Additive):
    """One head on all features: l = W [f^1; ..; f^k] + b, with z^m = W[:, m] f^m + b / k.

    The unimodal logits add up: sum_m z^m = l. W is stored as one matrix per modality, so that a
    modality's head can be gated; b is shared and never gated.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.
    """

    def __init__(self, dims: Mapping[str, int], outputs: int) -> None:
        super().__init__(dims, outputs)
        joint = nn.Linear(sum(dims.values()), outputs)
        self.bias = nn.Parameter(joint.bias.detach().clone())
        self.heads = nn.ModuleDict({m: nn.Linear(d, outputs, bias=False) for m, d in dims.items()})
        with torch.no_grad():
            columns = joint.weight.split(tuple(dims.values()), dim=1)
            for m, own in zip(dims, columns, strict=True):
                self.weight(m).copy_(own)

    def head(self, modality: str, features: Tensor, kappa: Tensor | float = 1.0) -> Tensor:
        """Return z^m = W[:, m] f^m + b / k; see :meth:`Additive.head`."""
        return F.linear(
            features, scale_gradient(self.weight(modality), kappa), self.bias / len(self.dims)
        )

    @torch.no_grad()
    def load_heads(self, heads: Mapping[str, nn.Linear]) -> None:
        """Copy separately trained heads so that l is the mean of their outputs."""
        for m, trained in heads.items():
            self.weight(m).copy_(trained.weight / len(self.dims))
        self.bias.copy_(torch.stack([trained.bias for trained in heads.values()]).mean(0))
