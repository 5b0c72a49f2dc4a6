"""Cross-attention between the tokens of modalities, similar to CrossViT.

Its unimodal logits are approximations.

Source: C.-F. Chen, Q. Fan, R. Panda, "CrossViT: Cross-Attention Multi-Scale Vision Transformer for
Image Classification", ICCV 2021. How the paper of G²D fuses by cross-attention is not published;
this form is our own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.fusion.base import Features, Fusion, Kappa, Logits
from g2d.types import Encoded


class CrossAttention(Fusion):
    """The class token of every modality attends to itself and to the tokens of all others.

    h^m = c^m + MHA(query = LN(c^m), key = value = LN([c^m; T^j for all j ≠ m])),
    l = (1/k) sum_m (W_m h^m + b_m).

    c^m is the projection of f^m, and T^m that of the encoder's tokens; c^m is the only token of a
    modality whose encoder has none. c^m is always among the keys: with a single key the softmax is
    constantly 1, attention is a linear map and its queries learn nothing.

    z^m = W_m (c^m + MHA(LN(c^m), LN([c^m]))) + b_m leaves all others out of the keys, so that it
    does not depend on them.

    Args:
        dims: Width D_m of every modality's features, in the order of the data.
        outputs: Number of logits C.
        token_dims: Width of the tokens of every modality that has some
            (:func:`g2d.fusion.build_fusion` reads it from an example).
        width: Width of the projected tokens.
        heads: Number of attention heads, a divisor of ``width``.

    Raises:
        ArgumentError: The width is no multiple of the number of heads, or an encoder that had
            tokens returns none.
    """

    attends = True

    def __init__(
        self,
        dims: Mapping[str, int],
        outputs: int,
        *,
        token_dims: Mapping[str, int] | None = None,
        width: int = 64,
        heads: int = 4,
    ) -> None:
        super().__init__(dims, outputs)
        if heads < 1 or width < 1 or width % heads:
            raise ArgumentError(
                f"width must be a multiple of heads, found width={width} and heads={heads}."
            )
        self.classes = nn.ModuleDict({m: nn.Linear(d, width) for m, d in dims.items()})
        self.tokens = nn.ModuleDict(
            {m: nn.Linear(d, width) for m, d in (token_dims or {}).items() if m in dims}
        )
        self.norms = nn.ModuleDict({m: nn.LayerNorm(width) for m in dims})
        self.attentions = nn.ModuleDict({m: Attention(width, heads) for m in dims})
        self.heads = nn.ModuleDict({m: nn.Linear(width, outputs) for m in dims})

    def forward(
        self, encoded: Features, *, unimodal: bool = False, head_kappa: Kappa | None = None
    ) -> Logits:
        """Return fused logits and, if requested, unimodal logits; see :meth:`Fusion.forward`."""
        self.refuse_head_gate(head_kappa)
        c = {m: self.classes[m](encoded[m].pooled)[:, None] for m in self.dims}
        tokens = {m: self._tokens(m, encoded[m], c[m]) for m in self.dims}
        answers = [
            self._answer(m, c[m], [tokens[j] for j in self.dims if j != m]) for m in self.dims
        ]
        z = {m: self._answer(m, c[m], []) for m in self.dims} if unimodal else None
        return torch.stack(answers).mean(0), z

    def _tokens(
        self, modality: str, encoded: Encoded, class_token: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return projected tokens ``(B, N, width)`` and which of them are real ``(B, N)``."""
        if modality not in self.tokens:
            return class_token, _all_real(class_token)
        if encoded.tokens is None:
            raise ArgumentError(
                f"the encoder of {modality!r} must yield tokens, as it did when the fusion was "
                "built, found none."
            )
        real = _all_real(encoded.tokens) if encoded.mask is None else encoded.mask
        return self.tokens[modality](encoded.tokens), real

    def _answer(
        self, modality: str, class_token: Tensor, others: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Return the logits of one class token ``(B, C)`` that attends to the others' tokens."""
        norm = self.norms[modality]
        keys = norm(torch.cat([class_token, *(tokens for tokens, _ in others)], dim=1))
        real = torch.cat([_all_real(class_token), *(mask for _, mask in others)], dim=1)
        attended = class_token + self.attentions[modality](norm(class_token), keys, real)
        answer: Tensor = self.heads[modality](attended[:, 0])
        return answer


def _all_real(tokens: Tensor) -> Tensor:
    """Return a mask ``(B, N)`` for tokens ``(B, N, d)`` of which none is padding."""
    return tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


class Attention(nn.Module):
    """Multi-head attention of queries over keys, which are also the values.

    Args:
        width: Width of queries, keys and result.
        heads: Number of heads, which divide ``width`` equally.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, queries: Tensor, keys: Tensor, real: Tensor) -> Tensor:
        """Return the attended values of every query.

        Args:
            queries: Queries ``(B, Q, width)``.
            keys: Keys ``(B, N, width)``.
            real: Keys that are no padding ``(B, N)``, bool.

        Returns:
            Values ``(B, Q, width)``.
        """
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, keys), (self.value, keys))
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=real[:, None, None])
        answer: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return answer
