"""A multilayer perceptron for tables, pooled features and small spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from g2d.configured import Configured
from g2d.errors import ArgumentError


class MLP(Configured, nn.Module):
    """Layers of linear, BatchNorm, ReLU and dropout on flattened rows.

    Args:
        features: Number of values of a flattened row.
        widths: Width of every layer; D is the last. The table encoder of MIS-ME is
            ``(256, 128, 64, 32, 16)``.
        dropout: Share of units dropped after each layer; layers beyond the end of the list have
            no dropout.

    Raises:
        ArgumentError: There are more shares of dropout than layers.

    Example:
        >>> import torch
        >>> encoder = MLP(features=6, widths=(8, 4))
        >>> encoder
        MLP(features=6, widths=(8, 4), dropout=())
        >>> encoder(torch.zeros(5, 2, 3)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self, *, features: int, widths: Sequence[int] = (64, 64), dropout: Sequence[float] = ()
    ) -> None:
        super().__init__()
        if len(dropout) > len(widths):
            raise ArgumentError(
                f"dropout must have at most one share per layer ({len(widths)}), "
                f"found {len(dropout)}."
            )
        layers: list[nn.Module] = [nn.Flatten()]
        for i, width in enumerate(widths):
            linear = nn.Linear(features, width, bias=False)
            layers += [linear, nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
            if i < len(dropout):
                layers.append(nn.Dropout(dropout[i]))
            features = width
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        """Return features ``(B, D)`` of rows ``(B, ...)``."""
        features: Tensor = self.layers(values.to(next(self.parameters()).dtype))
        return features
