"""The part of a pretrained model that encodes an input, and the form of input that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError
from g2d.files import import_extra
from g2d.types import Sequence

Form = Literal["words", "picture", "frames", "sound", "spectrogram"]
"""Form of the input of a model: token ids, pictures, videos, samples of sound, or spectrograms."""
HALVES = ("text", "vision", "audio")
"""The halves that a model with several encoders may have."""
TOWERS: dict[Form, str] = {
    "words": "text",
    "picture": "vision",
    "frames": "vision",
    "sound": "audio",
}
"""The half of a model with two encoders that takes a form of input."""


@dataclass(frozen=True)
class Part:
    """The part of a model that encodes an input.

    Args:
        model: The part.
        form: What it takes.
        words: Description for the user, such as ``"vision half of clip"``.
        prefix: Beginning of the names of its weights in the whole model.
    """

    model: nn.Module
    form: Form
    words: str
    prefix: str = ""


def part_for(model: Any, name: str, example: Tensor | Sequence) -> Part:
    """Return the part of a model that takes an example: a half, an encoder, or all of it.

    Args:
        model: The whole model.
        name: Its name, for the message.
        example: Input of some rows.

    Raises:
        ArgumentError: The model has two encoders, and none of them takes the example.
    """
    family = model.config.model_type
    halves = [half for half in HALVES if _half(model, half) is not None]
    if len(halves) > 1:
        half = TOWERS[_form_of_values(example)]
        if half not in halves:
            raise ArgumentError(
                f"inputs of the encoder {name!r} must be for its {' or '.join(halves)} half, "
                f"found one for the {half} half of a model."
            )
        return _part(model, _half(model, half), f"{half} half of {family}")
    if getattr(model.config, "is_encoder_decoder", False) and hasattr(model, "decoder"):
        return _part(model, model.get_encoder(), f"encoder of {family}")
    return all_of(model)


def all_of(model: Any) -> Part:
    """Return a whole model as the part that encodes.

    Args:
        model: The model.
    """
    return Part(model, _form_of_model(model), model.config.model_type)


def _part(model: nn.Module, part: nn.Module, words: str) -> Part:
    prefix = next(name for name, module in model.named_modules() if module is part)
    return Part(part, _form_of_model(part), words, f"{prefix}.")


def _half(model: Any, half: str) -> Any:
    """Return one encoder of a model that has several, or None."""
    part = getattr(model, f"{half}_model", None)
    return part if hasattr(model.config, f"{half}_config") and part is not None else None


def _form_of_values(values: Tensor | Sequence) -> Form:
    given = values.values if isinstance(values, Sequence) else values
    if given.ndim == 2:
        whole = isinstance(values, Sequence) and not given.is_floating_point()
        return "words" if whole or given.dtype == torch.int64 else "sound"
    if isinstance(values, Sequence):
        return "sound"
    return "frames" if given.ndim == 5 else "picture"


def _form_of_model(model: Any) -> Form:
    """Return what a model takes, by its configuration and the library's lists of models."""
    main, config = str(model.main_input_name), model.config
    if main == "input_ids":
        return "words"
    if main.startswith("pixel_values"):
        known = model_types("VIDEO_CLASSIFICATION")
        return "frames" if config.model_type in known or main.endswith("videos") else "picture"
    if main == "input_features" or hasattr(config, "num_mel_bins"):
        return "spectrogram"
    return "sound" if main == "input_values" else "picture"


def model_types(use: str) -> frozenset[str]:
    """Return the types of models that the library lists for a use, such as ``"MASKED_LM"``."""
    lists = import_extra("transformers.models.auto.modeling_auto", "hf", "a pretrained encoder")
    return frozenset(getattr(lists, f"MODEL_FOR_{use}_MAPPING_NAMES", ()))
