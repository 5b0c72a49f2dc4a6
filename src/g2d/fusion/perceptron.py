"""A multilayer perceptron on all features, which can represent any interaction of modalities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from g2d.fusion.base import Pooled


class FusionMLP(Pooled):
    """One hidden layer on the features of all modalities.

    l = W relu(sum_m U_m f^m + u) + b, which is a concatenation, a linear layer, a ReLU and another
    linear layer. The hidden layer is stored as one matrix per modality.

    z^m = W relu(U_m f^m + u) + b is l with the features of all other modalities set to zero.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.
        width: Width of the hidden layer.

    Example:
        >>> from g2d.types import Encoded
        >>> fusion = FusionMLP({"image": 3, "tone": 2}, outputs=4, width=8)
        >>> fusion
        FusionMLP(dims={'image': 3, 'tone': 2}, outputs=4, width=8)
        >>> f = {"image": Encoded(torch.zeros(5, 3)), "tone": Encoded(torch.zeros(5, 2))}
        >>> fusion(f)[0].shape
        torch.Size([5, 4])
    """

    def __init__(self, dims: Mapping[str, int], outputs: int, *, width: int = 128) -> None:
        super().__init__(dims, outputs)
        hidden = nn.Linear(sum(dims.values()), width)
        self.bias = nn.Parameter(hidden.bias.detach().clone())
        self.hidden = nn.ModuleDict({m: nn.Linear(d, width, bias=False) for m, d in dims.items()})
        self.head = nn.Linear(width, outputs)
        with torch.no_grad():
            columns = hidden.weight.split(tuple(dims.values()), dim=1)
            for m, own in zip(dims, columns, strict=True):
                self.hidden[m].load_state_dict({"weight": own})

    def fuse(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the fused logits l ``(B, C)`` of features f^m ``(B, D_m)``."""
        summed = torch.stack([layer(features[m]) for m, layer in self.hidden.items()]).sum(0)
        logits: Tensor = self.head(torch.relu(summed + self.bias))
        return logits
