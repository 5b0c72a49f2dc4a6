"""ResNet-18, MobileNetV2 and any Hugging Face model, through the transformers library (imported when one is built)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from g2d.encoders.frames import over_frames
from g2d.errors import ArgumentError
from g2d.types import Encoded, Sequence


class Picture(nn.Module):
    """A backbone for images; frames of a video are encoded one by one and averaged. Tokens are the cells of its last map."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, values: Tensor) -> Encoded:
        return over_frames(self._frame, values)

    def _frame(self, values: Tensor) -> Encoded:
        grid = self.backbone(values.float()).last_hidden_state
        tokens = grid.flatten(2).transpose(1, 2)
        return Encoded(tokens.mean(1), tokens)


def resnet18(*, channels: int = 3, pretrained: str | None = None) -> nn.Module:
    """ResNet-18 without its head, D = 512, for any number of input channels.

    From scratch, convolutions start Kaiming-normal over the fan-out, as in the paper's code.

    Args:
        channels: of the input.
        pretrained: name or local folder of Hugging Face weights (safetensors) in place of random ones.
    """
    from transformers import ResNetConfig, ResNetModel

    if pretrained is not None:
        return Picture(_loaded(ResNetModel, pretrained, channels))
    sizes = [64, 128, 256, 512]
    backbone = ResNetModel(
        ResNetConfig(
            num_channels=channels,
            embedding_size=64,
            hidden_sizes=sizes,
            depths=[2, 2, 2, 2],
            layer_type="basic",
        )
    )
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return Picture(backbone)


def mobilenet_v2(*, channels: int = 3, pretrained: str | None = None) -> nn.Module:
    """MobileNetV2 without its head, D = 1280. Arguments as for :func:`resnet18`."""
    from transformers import MobileNetV2Config, MobileNetV2Model

    return Picture(
        _loaded(MobileNetV2Model, pretrained, channels)
        if pretrained is not None
        else MobileNetV2Model(MobileNetV2Config(num_channels=channels))
    )


class HuggingFace(nn.Module):
    """Any Hugging Face model: its pooled output where it has one, else the features of its first token.

    Args:
        name: of the model, or the local folder that holds it (safetensors; its own code is never run).
        example: inputs like those to come, which the model is tried on; None tries nothing.
        frozen: keep its weights as they are.

    Raises:
        ArgumentError: there is no such model, or it cannot take the example.
    """

    def __init__(
        self, name: str, example: Tensor | Sequence | None = None, *, frozen: bool = False
    ) -> None:
        super().__init__()
        from transformers import AutoModel

        self.model = _loaded(AutoModel, name)
        self.model.requires_grad_(not frozen)
        if example is not None:
            self._try(name, example)

    def _try(self, name: str, example: Tensor | Sequence) -> None:
        """Models differ in what they take; that one fails is better known now than in the first epoch."""
        if getattr(self.model, "main_input_name", None) == "input_ids":
            example = _text_of_full_length(name, self.model.config, example)
        elif isinstance(example, Sequence):
            raise ArgumentError(
                f"inputs of the encoder {name!r} must be one grid per row, as it is no text model, found a padded sequence."
            )
        try:
            with torch.no_grad():
                self(example)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            found = tuple((example.values if isinstance(example, Sequence) else example).shape)
            raise ArgumentError(
                f"inputs of the encoder {name!r} must be as the model takes them, found {found}, for which it fails: {error}"
            ) from error

    def forward(self, values: Tensor | Sequence) -> Encoded:
        mask = None
        if isinstance(values, Sequence):
            mask = values.mask
            output = self.model(input_ids=values.values.long(), attention_mask=mask.long())
        else:
            output = self.model(values)
        tokens = output.last_hidden_state
        if tokens.ndim == 4:
            tokens = tokens.flatten(2).transpose(1, 2)
        pooled = getattr(output, "pooler_output", None)
        return Encoded(tokens[:, 0] if pooled is None else pooled.flatten(1), tokens, mask)


def _text_of_full_length(name: str, config: Any, example: Tensor | Sequence) -> Sequence:
    """One row as long as texts can become, whose every token is real: what an example of short texts does not show.

    Raises:
        ArgumentError: the example is no token ids, or such that the model has no embedding or no position for.
    """
    ids, symbols = (
        (example.values, example.symbols) if isinstance(example, Sequence) else (example, None)
    )
    if ids.ndim != 2 or ids.dtype not in (torch.int32, torch.int64):
        found = f"{tuple(ids.shape)} {str(ids.dtype).removeprefix('torch.')}"
        raise ArgumentError(
            f"inputs of the text model {name!r} must be token ids (rows, tokens), found {found}. The step tokens with its tokenizer yields those from text."
        )
    if isinstance(example, Sequence) and symbols is not None and example.tokenizer is None:
        raise ArgumentError(
            f"token ids for the pretrained {name!r} must be a Hugging Face tokenizer's, found those of the data's own vocabulary, which mean nothing to it. "
            f"Give its own: views: {{MODALITY: [{{name: tokens, tokenizer: {name}}}]}}."
        )
    known = getattr(config, "vocab_size", None)
    if known is not None and (symbols or 0) > known:
        raise ArgumentError(
            f"token ids for {name!r} must be among the {known} that it knows, found {symbols}. Give the step tokens the model's own tokenizer."
        )
    longest = getattr(config, "max_position_embeddings", None)
    if longest is not None and ids.shape[1] > longest:
        raise ArgumentError(
            f"texts for {name!r} must have at most {longest} tokens, found {ids.shape[1]}. Say so to the step tokens: length: {longest}."
        )
    return Sequence(torch.zeros_like(ids[:1]), torch.ones_like(ids[:1], dtype=torch.bool))


def _loaded(family: Any, name: str, channels: int | None = None) -> nn.Module:
    from transformers.utils import logging

    logging.disable_progress_bar()  # ours is shown, or none
    try:
        model: Any = family.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"the encoder {name!r} must be a model that can be fetched or a local folder with config.json and model.safetensors, found neither: {error}"
        ) from error
    if channels is not None and channels != model.config.num_channels:
        raise ArgumentError(
            f"inputs of the pretrained {name!r} must have {model.config.num_channels} channels, found {channels}."
        )
    loaded: nn.Module = model
    return loaded
