"""Projectors that bring features to one width, for methods whose modalities share one head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from g2d.errors import ArgumentError


class Align(nn.Module):
    """A linear projector for every modality whose features are not as wide as the shared head.

    The features of the other modalities pass unchanged.

    Args:
        dims: Width D_m of every modality's features.
        width: Width D of the shared head; None for the largest D_m.

    Raises:
        ArgumentError: The width is below one.

    Example:
        >>> align = Align({"image": 6, "tone": 4})
        >>> align.width, list(align.projectors)
        (6, ['tone'])
    """

    def __init__(self, dims: Mapping[str, int], width: int | None = None) -> None:
        super().__init__()
        self.width = max(dims.values()) if width is None else width
        if self.width < 1:
            raise ArgumentError(f"width must be one or more, found {width}.")
        self.projectors = nn.ModuleDict(
            {m: nn.Linear(d, self.width) for m, d in dims.items() if d != self.width}
        )

    def forward(self, modality: str, features: Tensor) -> Tensor:
        """Return features of the shared width.

        Args:
            modality: Name of the modality.
            features: Features f^m ``(B, D_m)``.

        Returns:
            Features ``(B, width)``.
        """
        if modality not in self.projectors:
            return features
        aligned: Tensor = self.projectors[modality](features)
        return aligned
