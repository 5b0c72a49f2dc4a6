"""Checks of a pretrained model when it is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from g2d.encoders.pretrained.parts import Form
from g2d.encoders.pretrained.pooling import tokens_of
from g2d.errors import ArgumentError
from g2d.files import import_extra
from g2d.types import Sequence


def random_pooler(model: nn.Module, missing: Set[str], run: Callable[[], Any], name: str) -> bool:
    """Return whether the model's pooled output depends on weights that its checkpoint lacks.

    Such weights are random. The model is asked: it runs with and without a change of them.

    Args:
        model: The model.
        missing: Names of the weights that the checkpoint lacks.
        run: Returns the model's output for an example.
        name: Name of the model, for the message.

    Raises:
        ArgumentError: The model's tokens depend on such weights.
    """
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    random = {key: own[key] for key in missing & own.keys() if own[key].is_floating_point()}
    if not random:
        return False
    before, kept = run(), {key: weight.detach().clone() for key, weight in random.items()}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in random.values():
            noise = torch.randn(weight.shape, generator=generator)
            weight.add_(noise.to(weight.device, weight.dtype))
        after = run()
        for key, weight in random.items():
            weight.copy_(kept[key])
    if not torch.equal(tokens_of(before), tokens_of(after)):
        raise ArgumentError(
            f"pretrained {name!r} must hold all weights that its tokens depend on, found none for "
            f"{len(random)}, among them {min(random)}."
        )
    pooled: Tensor | None = getattr(before, "pooler_output", None)
    return pooled is not None and not torch.equal(pooled, after.pooler_output)


def preprocessing(name: str, form: Form) -> dict[str, Any]:
    """Return the options of the preprocessor that comes with a model; empty if there is none.

    Args:
        name: Name of the model or its folder.
        form: What the model takes.
    """
    if form not in ("picture", "frames", "sound"):
        return {}
    hub = import_extra("transformers.utils.hub", "hf", f"the encoder {name!r}")
    try:
        path = hub.cached_file(name, "preprocessor_config.json")
        content = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def numbers_of_pictures(
    options: dict[str, Any], example: Tensor | Sequence
) -> tuple[list[float], list[float]] | None:
    """Return mean and deviation per channel with which a model's pixels are normalized.

    Pixels that a view has normalized already, which leave [0, 1], are passed as they are.

    Args:
        options: Options of the preprocessor.
        example: Input of some rows.

    Returns:
        Mean and deviation of pixels in [0, 1]; None if nothing is normalized.
    """
    mean, std = options.get("image_mean"), options.get("image_std")
    if isinstance(example, Sequence) or not example.is_floating_point() or not (mean and std):
        return None
    plain = bool(example.min() >= 0) and bool(example.max() <= 1)
    return (list(mean), list(std)) if plain and options.get("do_normalize", True) else None


def way_out(config: Any, form: Form, values: Tensor) -> str:
    """Return which step of a view may give a model the input that it takes, or nothing.

    Args:
        config: Configuration of the model.
        form: What it takes.
        values: An input that it does not take.
    """
    if form not in ("picture", "frames") or values.ndim not in (4, 5):
        return ""
    if not values.is_floating_point():
        return ". Use the step pixels to convert stored pixels."
    frames, side = getattr(config, "num_frames", None), getattr(config, "image_size", None)
    if form == "frames" and values.ndim == 4:
        return ". The model takes videos, and these are pictures."
    if form == "frames" and frames is not None and values.shape[2] != frames:
        return f". Add the step frames: {{name: frames, count: {frames}}}."
    if isinstance(side, int) and tuple(values.shape[-2:]) != (side, side):
        return f". Add the step resize: {{name: resize, size: {side}}}."
    return ""


def full_text(name: str, config: Any, example: Tensor | Sequence) -> Sequence:
    """Return one row of the maximum length without padding, to try a text model on.

    An example of short texts would not show that longer ones fail.

    Args:
        name: Name of the model, for messages.
        config: Its configuration.
        example: Token ids of some rows.

    Raises:
        ArgumentError: The example holds no token ids, or ids or positions that the model does not
            have.
    """
    ids, symbols = (
        (example.values, example.symbols) if isinstance(example, Sequence) else (example, None)
    )
    if ids.ndim != 2 or ids.dtype not in (torch.int32, torch.int64):
        kind = f"{tuple(ids.shape)} {str(ids.dtype).removeprefix('torch.')}"
        raise ArgumentError(
            f"inputs of the text model {name!r} must be token ids (rows, tokens), found {kind}. "
            "Use the step tokens with the model's tokenizer to convert text to token ids."
        )
    if isinstance(example, Sequence) and symbols is not None and example.tokenizer is None:
        raise ArgumentError(
            f"token ids for the pretrained {name!r} must come from a Hugging Face tokenizer, found "
            "those of a vocabulary learned from the data. "
            f"Use its own tokenizer: views: {{MODALITY: [{{name: tokens, tokenizer: {name}}}]}}."
        )
    known = getattr(config, "vocab_size", None)
    if known is not None and (symbols or 0) > known:
        raise ArgumentError(
            f"token ids for {name!r} must be among the {known} that it knows, found {symbols}. "
            "Give the step tokens the model's own tokenizer."
        )
    longest = getattr(config, "max_position_embeddings", None)
    if longest is not None and ids.shape[1] > longest:
        raise ArgumentError(
            f"texts for {name!r} must have at most {longest} tokens, found {ids.shape[1]}. "
            f"Set the option of the step tokens: length: {longest}."
        )
    return Sequence(torch.zeros_like(ids[:1]), torch.ones_like(ids[:1], dtype=torch.bool))
