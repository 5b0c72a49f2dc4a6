"""A multilayer perceptron for tables, pooled features and small spectrograms."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from g2d.errors import ArgumentError


class MLP(nn.Module):
    """Flatten, then layers of linear, BatchNorm, ReLU and dropout.

    Args:
        features: size of a flattened row.
        widths: of the layers; D is the last. MIS-ME's table encoder is ``(256, 128, 64, 32, 16)``.
        dropout: after each layer; a shorter list leaves the later layers without.
    """

    def __init__(
        self, *, features: int, widths: Sequence[int] = (64, 64), dropout: Sequence[float] = ()
    ) -> None:
        super().__init__()
        if len(dropout) > len(widths):
            raise ArgumentError(
                f"dropout must have at most one share per layer ({len(widths)}), found {len(dropout)}."
            )
        layers: list[nn.Module] = [nn.Flatten()]
        for i, width in enumerate(widths):
            layers += [
                nn.Linear(features, width, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(inplace=True),
            ]
            if i < len(dropout):
                layers.append(nn.Dropout(dropout[i]))
            features = width
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        features: Tensor = self.layers(values.float())
        return features
