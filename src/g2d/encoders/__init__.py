"""Encoders by name. What they take is read from an example batch; their feature dimension is read from what they yield.

``hf:<name or local folder>`` is any Hugging Face model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from torch import nn

from g2d.encoders.cnn import SmallCNN
from g2d.encoders.mlp import MLP
from g2d.encoders.pretrained import HuggingFace, mobilenet_v2, resnet18
from g2d.encoders.transformer import Transformer
from g2d.errors import ArgumentError
from g2d.types import Input, Sequence

ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "cnn": SmallCNN,
    "mlp": MLP,
    "transformer": Transformer,
    "resnet18": resnet18,
    "mobilenet_v2": mobilenet_v2,
}
HUGGING_FACE = "hf:"

_READ_FROM_DATA = frozenset({"channels", "features", "vocabulary"})


def build_encoder(name: str, example: Input, **options: Any) -> nn.Module:
    """The encoder of that name for inputs like the example.

    Raises:
        ArgumentError: no such name, or the example does not fit the encoder.

    Example:
        >>> import torch
        >>> build_encoder("mlp", torch.zeros(2, 1, 4, 4), widths=(8,))(torch.zeros(2, 1, 4, 4)).shape
        torch.Size([2, 8])
    """
    if name.startswith(HUGGING_FACE):
        return HuggingFace(name.removeprefix(HUGGING_FACE), example, **options)
    if name not in ENCODERS:
        near = get_close_matches(name, ENCODERS, n=1)
        raise ArgumentError(
            f"encoder must be one of {', '.join(ENCODERS)} or hf:<name>, found {name!r}."
            + (f" Did you mean {near[0]!r}?" if near else "")
        )
    return ENCODERS[name](**_read(name, example) | options)


def encoder_options(name: str) -> dict[str, inspect.Parameter]:
    """What a recipe may say about an encoder: its keyword arguments but for those read from the data."""
    build = HuggingFace.__init__ if name.startswith(HUGGING_FACE) else ENCODERS[name]
    parameters = inspect.signature(build, eval_str=True).parameters.values()
    return {
        p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _READ_FROM_DATA
    }


def _read(name: str, example: Input) -> dict[str, int]:
    values = example.values if isinstance(example, Sequence) else example
    accepted = inspect.signature(ENCODERS[name]).parameters
    if isinstance(example, Sequence) and "vocabulary" not in accepted:
        raise ArgumentError(
            f"inputs of the encoder {name!r} must be one grid or table per row, found a padded sequence. A transformer reads those."
        )
    if "channels" in accepted:
        if values.ndim not in (4, 5) or not values.is_floating_point():
            found = f"{tuple(values.shape)} {str(values.dtype).removeprefix('torch.')}"
            raise ArgumentError(
                f"inputs of the encoder {name!r} must be numbers (rows, channels, [frames,] height, width), found {found}."
            )
        return {"channels": values.shape[1]}
    if "vocabulary" in accepted:
        if not values.is_floating_point():
            return (
                {}
                if not isinstance(example, Sequence) or example.symbols is None
                else {"vocabulary": example.symbols}
            )
        if values.ndim != 3:
            raise ArgumentError(
                f"inputs of the encoder {name!r} must be (rows, steps, features) or token ids (rows, steps), found {tuple(values.shape)}."
            )
        return {"features": values.shape[2]}
    return {"features": values[0].numel()}


__all__ = [
    "ENCODERS",
    "HUGGING_FACE",
    "MLP",
    "HuggingFace",
    "SmallCNN",
    "Transformer",
    "build_encoder",
    "encoder_options",
    "mobilenet_v2",
    "resnet18",
]
