"""A transformer for sequences of vectors or token ids, spectrograms and videos.

Padding is ignored.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from g2d.configured import Configured
from g2d.errors import ArgumentError
from g2d.types import Encoded, Sequence


class Transformer(Configured, nn.Module):
    """Project to ``width``, add a class token and positions, attend, and read the class token.

    Values under padding do not matter: attention is masked, and a prediction does not depend on
    the other rows of its batch. A spectrogram or a video is a sequence of its frames.

    The paper has a Transformer for every modality of UR-FUNNY and IEMOCAP, which its release lacks.
    With ``width=768, layers=8, heads=4`` the size is that of the Transformer in the public AGM code
    of G²D's first author, which differs: it has no positions, no class token and no mask, reads the
    output of the first step, drops 10 % of the units, normalizes after each layer instead of
    before, and its inner width is 2,048 instead of ``2 * width``.

    Args:
        features: Size d of a step, see :func:`steps_of`; None for token ids ``(B, T)``.
        vocabulary: Number of token ids; None for vectors.
        width: Width D of the layers and of the result.
        layers: Number of layers.
        heads: Number of attention heads, a divisor of ``width``.
        length: Length of the longest sequence in steps.
        dropout: Share of units dropped in the layers.

    Raises:
        ArgumentError: Both or none of ``features`` and ``vocabulary`` are given, the width is no
            multiple of the number of heads, or later a sequence is longer than ``length``.

    Example:
        >>> encoder = Transformer(features=3, width=8, heads=2)
        >>> encoder
        Transformer(
          features=3,
          vocabulary=None,
          width=8,
          layers=1,
          heads=2,
          length=512,
          dropout=0.0,
        )
        >>> encoder(torch.zeros(5, 7, 3)).pooled.shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        *,
        features: int | None = None,
        vocabulary: int | None = None,
        width: int = 64,
        layers: int = 1,
        heads: int = 4,
        length: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if (features is None) == (vocabulary is None):
            raise ArgumentError(
                "a transformer must have either the size of a step or a vocabulary, found both or "
                "neither. The step tokens makes token ids of text."
            )
        if width % heads:
            raise ArgumentError(
                f"width of a transformer must be a multiple of its heads ({heads}), found {width}."
            )
        self.embed: nn.Module = (
            nn.Embedding(vocabulary, width)
            if vocabulary is not None
            else nn.Linear(features or 0, width)
        )
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, length + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, layers, nn.LayerNorm(width), enable_nested_tensor=False
        )

    def forward(self, sequence: Tensor | Sequence) -> Encoded:
        """Encode sequences.

        Args:
            sequence: Vectors ``(B, T, d)``, token ids ``(B, T)``, spectrograms or videos; a plain
                tensor has no padding.

        Returns:
            Features ``(B, D)`` and tokens ``(B, T, D)``.
        """
        values = steps_of(sequence.values if isinstance(sequence, Sequence) else sequence)
        mask = values.new_ones(values.shape[:2], dtype=torch.bool)
        if isinstance(sequence, Sequence):
            mask = sequence.mask
        if values.shape[1] >= self.positions.shape[1]:
            raise ArgumentError(
                f"a sequence must have at most {self.positions.shape[1] - 1} steps, "
                f"found {values.shape[1]}. Raise the encoder's length."
            )
        steps = self.embed(
            values.long() if isinstance(self.embed, nn.Embedding) else values.to(self.first.dtype)
        )
        steps = torch.cat([self.first.expand(len(steps), -1, -1), steps], dim=1)
        steps = steps + self.positions[:, : steps.shape[1]]
        real = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        steps = self.layers(steps, src_key_padding_mask=~real)
        return Encoded(steps[:, 0], steps[:, 1:], mask)


def steps_of(values: Tensor) -> Tensor:
    """Return spectrograms and videos as sequences of frames; sequences are returned unchanged.

    Args:
        values: Sequences ``(B, T)`` or ``(B, T, d)``, spectrograms ``(B, channels, bands, T)`` or
            videos ``(B, channels, T, height, width)``.

    Returns:
        Sequences ``(B, T)`` or ``(B, T, d)``; d counts all values of a frame.

    Example:
        >>> steps_of(torch.zeros(2, 1, 80, 100)).shape, steps_of(torch.zeros(2, 3, 8, 4, 4)).shape
        (torch.Size([2, 100, 80]), torch.Size([2, 8, 48]))
    """
    if values.ndim == 4:
        return values.movedim(-1, 1).flatten(2)
    return values.transpose(1, 2).flatten(2) if values.ndim == 5 else values
