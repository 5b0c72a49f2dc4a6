"""ResNet-18, MobileNetV2 and any Hugging Face model.

They need the transformers library (``pip install 'g2d[hf]'``), which is imported when an encoder
is built.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from g2d.encoders.frames import over_frames
from g2d.errors import ArgumentError
from g2d.files import import_extra
from g2d.types import Encoded, Sequence


class Picture(nn.Module):
    """A backbone for images; frames of a video are encoded one by one and averaged.

    The tokens are the cells of the backbone's last feature map.

    Args:
        backbone: Hugging Face model of images.
        name: Description of the backbone, for the repr.
    """

    def __init__(self, backbone: nn.Module, name: str) -> None:
        super().__init__()
        self.backbone, self.name = backbone, name

    def __repr__(self) -> str:
        return self.name

    def forward(self, values: Tensor) -> Encoded:
        """Encode images ``(B, channels, H, W)`` or videos ``(B, channels, T, H, W)``."""
        return over_frames(self._frame, values)

    def _frame(self, values: Tensor) -> Encoded:
        grid = self.backbone(values.float()).last_hidden_state
        tokens = grid.flatten(2).transpose(1, 2)
        return Encoded(tokens.mean(1), tokens)


def resnet18(*, channels: int = 3, pretrained: str | None = None) -> nn.Module:
    """Build a ResNet-18 without its head, D = 512, for any number of input channels.

    Without pretrained weights, convolutions start Kaiming-normal over the fan-out, as in the
    paper's code.

    Args:
        channels: Number of channels of the input.
        pretrained: Name or local folder of Hugging Face weights (safetensors); None for random
            weights.

    Raises:
        ArgumentError: The weights cannot be loaded, or are for another number of channels.
        MissingDependencyError: The transformers library is not installed.
    """
    library = _transformers("resnet18")
    if pretrained is not None:
        backbone = _loaded(library.ResNetModel, pretrained, channels)
    else:
        sizes = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]}
        config = library.ResNetConfig(num_channels=channels, layer_type="basic", **sizes)
        backbone = library.ResNetModel(config)
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return Picture(backbone, f"resnet18(channels={channels}, pretrained={pretrained!r})")


def mobilenet_v2(*, channels: int = 3, pretrained: str | None = None) -> nn.Module:
    """Build a MobileNetV2 without its head, D = 1280.

    Args:
        channels: Number of channels of the input.
        pretrained: Name or local folder of Hugging Face weights (safetensors); None for random
            weights.

    Raises:
        ArgumentError: The weights cannot be loaded, or are for another number of channels.
        MissingDependencyError: The transformers library is not installed.
    """
    library = _transformers("mobilenet_v2")
    if pretrained is not None:
        backbone = _loaded(library.MobileNetV2Model, pretrained, channels)
    else:
        backbone = library.MobileNetV2Model(library.MobileNetV2Config(num_channels=channels))
    return Picture(backbone, f"mobilenet_v2(channels={channels}, pretrained={pretrained!r})")


class HuggingFace(nn.Module):
    """Any Hugging Face model.

    The features are its pooled output if it has one, else those of its first token.

    Args:
        name: Name of the model, or the local folder that holds it (safetensors; code that comes
            with the model is never run).
        example: Input of some rows, on which the model is tried; None skips this check.
        frozen: Whether to keep its weights as they are.

    Raises:
        ArgumentError: There is no such model, or it cannot take the example.
        MissingDependencyError: The transformers library is not installed.
    """

    def __init__(
        self, name: str, example: Tensor | Sequence | None = None, *, frozen: bool = False
    ) -> None:
        super().__init__()
        self.name, self.frozen = name, frozen
        self.model = _loaded(_transformers(f"hf:{name}").AutoModel, name)
        self.model.requires_grad_(not frozen)
        if example is not None:
            self._try(name, example)

    def __repr__(self) -> str:
        return f"HuggingFace({self.name!r}, frozen={self.frozen})"

    def _try(self, name: str, example: Tensor | Sequence) -> None:
        """Run the model on an example, so that a wrong input fails now, not in the first epoch."""
        if getattr(self.model, "main_input_name", None) == "input_ids":
            example = _text_of_full_length(name, self.model.config, example)
        elif isinstance(example, Sequence):
            raise ArgumentError(
                f"inputs of the encoder {name!r} must be one grid per row, as it is no text "
                "model, found a padded sequence."
            )
        try:
            with torch.no_grad():
                self(example)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            shape = tuple((example.values if isinstance(example, Sequence) else example).shape)
            raise ArgumentError(
                f"inputs of the encoder {name!r} must be as the model takes them, found {shape}, "
                f"for which it fails: {error}"
            ) from error

    def forward(self, values: Tensor | Sequence) -> Encoded:
        """Encode images ``(B, channels, H, W)``, or token ids ``(B, T)`` with their mask."""
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
    """Return one row of the maximum length without padding, to try a text model on.

    An example of short texts would not show that longer ones fail.

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


def _transformers(encoder: str) -> Any:
    """Import the transformers library for an encoder."""
    return import_extra("transformers", "hf", f"the encoder {encoder!r}")


def _loaded(family: Any, name: str, channels: int | None = None) -> nn.Module:
    """Load a pretrained model, after a check of its number of input channels."""
    logging = import_extra("transformers.utils.logging", "hf", f"the encoder {name!r}")
    logging.disable_progress_bar()  # the command line draws its own, or none
    try:
        model: Any = family.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"the encoder {name!r} must be a model that can be fetched or a local folder with "
            f"config.json and model.safetensors, found neither: {error}"
        ) from error
    if channels is not None and channels != model.config.num_channels:
        raise ArgumentError(
            f"inputs of the pretrained {name!r} must have {model.config.num_channels} channels, "
            f"found {channels}."
        )
    loaded: nn.Module = model
    return loaded
