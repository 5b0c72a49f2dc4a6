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
        return Picture(_loaded(ResNetModel, pretrained))
    sizes = [64, 128, 256, 512]
    backbone = ResNetModel(ResNetConfig(num_channels=channels, embedding_size=64, hidden_sizes=sizes, depths=[2, 2, 2, 2], layer_type="basic"))
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return Picture(backbone)


def mobilenet_v2(*, channels: int = 3, pretrained: str | None = None) -> nn.Module:
    """MobileNetV2 without its head, D = 1280. Arguments as for :func:`resnet18`."""
    from transformers import MobileNetV2Config, MobileNetV2Model

    return Picture(_loaded(MobileNetV2Model, pretrained) if pretrained is not None else MobileNetV2Model(MobileNetV2Config(num_channels=channels)))


class HuggingFace(nn.Module):
    """Any Hugging Face model: its pooled output where it has one, else the features of its first token.

    Args:
        name: of the model, or the local folder that holds it (safetensors; its own code is never run).
        frozen: keep its weights as they are.
    """

    def __init__(self, name: str, *, frozen: bool = False) -> None:
        super().__init__()
        from transformers import AutoModel

        self.model = _loaded(AutoModel, name)
        self.model.requires_grad_(not frozen)

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


def _loaded(family: Any, name: str) -> nn.Module:
    try:
        model: nn.Module = family.from_pretrained(name, trust_remote_code=False, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"the encoder {name!r} must be a model that can be fetched or a local folder with config.json and model.safetensors, found neither: {error}"
        ) from error
    return model
