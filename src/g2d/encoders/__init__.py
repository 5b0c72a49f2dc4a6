"""Encoders by name.

Sizes of inputs are read from an example batch, and the width of features from what the encoder
returns. ``hf:<name or local folder>`` is any Hugging Face model (``pip install 'g2d[hf]'``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from g2d.encoders.cnn import SmallCNN
from g2d.encoders.mlp import MLP
from g2d.encoders.pretrained import HuggingFace, mobilenet_v2, resnet18
from g2d.encoders.transformer import Transformer, steps_of
from g2d.errors import ArgumentError
from g2d.files import one_of
from g2d.types import Input, Sequence

ENCODERS: dict[str, Callable[..., nn.Module]] = {
    "cnn": SmallCNN,
    "mlp": MLP,
    "transformer": Transformer,
    "resnet18": resnet18,
    "mobilenet_v2": mobilenet_v2,
}
HUGGING_FACE = "hf:"
"""Prefix of a Hugging Face model."""
READ_FROM_DATA = frozenset({"channels", "features", "vocabulary"})
"""Arguments of an encoder that are read from an example and that a recipe cannot set."""


def build_encoder(name: str, example: Input, **options: Any) -> nn.Module:
    """Build an encoder by name, for inputs like an example.

    Args:
        name: Name of the encoder, a key of :data:`ENCODERS` or ``hf:<name>``.
        example: Input of some rows.
        options: Options of the encoder, see :func:`encoder_constructor`.

    Raises:
        ArgumentError: There is no encoder of that name, or it cannot take the example.
        MissingDependencyError: The encoder needs transformers, which is not installed.

    Example:
        >>> import torch
        >>> build_encoder("mlp", torch.zeros(2, 1, 4, 4), widths=(8,))
        MLP(features=16, widths=(8,), dropout=())
    """
    if name.startswith(HUGGING_FACE):
        return HuggingFace(name.removeprefix(HUGGING_FACE), example, **options)
    one_of("encoder", name, [*ENCODERS, f"{HUGGING_FACE}<name>"])
    return ENCODERS[name](**_read(name, example) | options)


def encoder_constructor(name: str) -> Callable[..., nn.Module]:
    """Return the constructor of an encoder; its keyword-only arguments are the encoder's options.

    Args:
        name: Name of the encoder, a key of :data:`ENCODERS` or ``hf:<name>``.
    """
    return HuggingFace if name.startswith(HUGGING_FACE) else ENCODERS[name]


def _read(name: str, example: Input) -> dict[str, int]:
    """Read the sizes that an encoder needs from an example."""
    values = example.values if isinstance(example, Sequence) else example
    accepted = inspect.signature(ENCODERS[name]).parameters
    if isinstance(example, Sequence) and "vocabulary" not in accepted:
        raise ArgumentError(
            f"inputs of the encoder {name!r} must be one grid or table per row, "
            "found a padded sequence. Use a transformer for sequences."
        )
    if "channels" in accepted:
        if values.ndim not in (4, 5) or not values.is_floating_point():
            kind = f"{tuple(values.shape)} {str(values.dtype).removeprefix('torch.')}"
            raise ArgumentError(
                f"inputs of the encoder {name!r} must be numbers "
                f"(rows, channels, [frames,] height, width), found {kind}."
            )
        return {"channels": values.shape[1]}
    if "vocabulary" not in accepted:
        return {"features": values[0].numel()}
    if not values.is_floating_point():
        symbols = example.symbols if isinstance(example, Sequence) else None
        return {} if symbols is None else {"vocabulary": symbols}
    if values.ndim not in (3, 4, 5):
        raise ArgumentError(
            f"inputs of the encoder {name!r} must be (rows, steps, features), token ids "
            "(rows, steps), spectrograms (rows, channels, bands, frames) or videos "
            f"(rows, channels, frames, height, width), found {tuple(values.shape)}."
        )
    return {"features": steps_of(values).shape[2]}


__all__ = [
    "ENCODERS",
    "HUGGING_FACE",
    "MLP",
    "READ_FROM_DATA",
    "HuggingFace",
    "SmallCNN",
    "Transformer",
    "build_encoder",
    "encoder_constructor",
    "mobilenet_v2",
    "resnet18",
]
