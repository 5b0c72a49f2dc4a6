"""One feature vector per row, from the output of a pretrained model."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from g2d.encoders.pretrained.parts import Form, model_types
from g2d.errors import ArgumentError

Pooling = Literal["auto", "pooler", "class", "last", "mean", "earlier"]
"""How the features of a row are made; ``auto`` asks the model, ``earlier`` is the way of versions
before this option existed: the pooled output wherever there is one, else the first token."""
IN_WORDS = {
    "pooler": "the model's pooled output",
    "class": "the class token",
    "last": "the last real token",
    "mean": "the mean over real tokens",
    "earlier": "the pooled output if there is one, else the first token, as in earlier versions",
}
CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
"""Ends of the names of the weights that hold a class token."""


def tokens_of(output: Any) -> Tensor:
    """Return the tokens ``(B, N, d)`` of an output; the cells of a feature map are tokens."""
    tokens: Tensor = output.last_hidden_state
    return tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens


def pooled_of(output: Any, pool: str, mask: Tensor | None) -> Tensor:
    """Return the features ``(B, D)`` of an output.

    Args:
        output: Output of a model.
        pool: One of :data:`Pooling`, not ``auto``.
        mask: Real tokens ``(B, N)``; None if all are real.
    """
    own: Tensor | None = getattr(output, "pooler_output", None)
    if own is not None and pool in ("pooler", "earlier"):
        return own.flatten(1)
    tokens = tokens_of(output)
    if pool in ("class", "earlier"):
        return tokens[:, 0]
    if mask is None:
        return tokens[:, -1] if pool == "last" else tokens.mean(1)
    if pool == "last":
        places = torch.arange(mask.shape[1], device=mask.device)
        last = (places * mask).argmax(1)
        return tokens[torch.arange(len(tokens), device=tokens.device), last]
    real = mask.to(tokens.dtype)[..., None]
    return (tokens * real).sum(1) / real.sum(1).clamp(min=1)


def pooling_for(
    pool: Pooling, model: nn.Module, form: Form, output: Any, *, trusted: bool, name: str
) -> str:
    """Return how the features of a model are made.

    Without an answer of the user it is the last real token of a causal text model, else the
    model's own pooled output if its weights were loaded, else the class token if the model has
    one, else the mean over real tokens.

    Args:
        pool: What the user asks for.
        model: The model, in evaluation mode.
        form: What it takes.
        output: Its output for an example.
        trusted: Whether no weight that the pooled output depends on is random.
        name: Name of the model, for the message.

    Raises:
        ArgumentError: The pooled output is asked for, and there is none or it is random.
    """
    own = getattr(output, "pooler_output", None) is not None
    if pool == "pooler" and not (own and trusted):
        fault = "weights for its pooled output" if own else "pooled output"
        raise ArgumentError(
            f"pool must be auto, class, last or mean for {name!r}, found 'pooler'; the model has "
            f"no {fault}."
        )
    if pool != "auto":
        return pool
    if form == "words" and is_causal(model):
        return "last"
    if own and trusted:
        return "pooler"
    return "class" if _has_class_token(model, form) else "mean"


def _has_class_token(model: Any, form: Form) -> bool:
    if form == "words":
        masked = model.config.model_type in model_types("MASKED_LM")
        return masked and not getattr(model.config, "is_encoder_decoder", False)
    return any(name.endswith(CLASS_TOKENS) for name, _ in model.named_parameters())


@torch.no_grad()
def is_causal(model: Any) -> bool:
    """Return whether a text model's tokens depend on earlier tokens only.

    The model is asked: does its first token change with the last one?

    Args:
        model: A text model, in evaluation mode.
    """
    middle = model.config.vocab_size // 2
    device = next(model.parameters()).device
    ids = torch.full((2, 4), middle, device=device)
    ids[1, 3] = middle - 1
    first = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    return bool((first[0] - first[1]).abs().max() <= 1e-6 * first.abs().max())
