"""ResNet-18 and MobileNetV2, with random or pretrained weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from g2d.encoders.frames import over_frames
from g2d.encoders.pretrained.loading import loaded, transformers
from g2d.errors import ArgumentError
from g2d.types import Encoded


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
        pretrained: Pretrained weights: the name of a Hugging Face model, a local folder with
            config.json and model.safetensors, or a local file of its tensors that ends in
            .safetensors; None for random weights.

    Raises:
        ArgumentError: The weights cannot be loaded, or are for another number of channels.
        MissingDependencyError: The transformers library is not installed.
    """
    library = transformers("resnet18")
    sizes = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]}
    config = library.ResNetConfig(num_channels=channels, layer_type="basic", **sizes)
    if pretrained is not None:
        backbone = _loaded_picture(library.ResNetModel, pretrained, config)
    else:
        backbone = library.ResNetModel(config)
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return Picture(backbone, f"resnet18(channels={channels}, pretrained={pretrained!r})")


def mobilenet_v2(*, channels: int = 3, pretrained: str | None = None) -> nn.Module:
    """Build a MobileNetV2 without its head, D = 1280.

    The authors of MIS-ME start from the weights of ImageNet. They are not part of this library:
    name a copy with ``pretrained``.

    Args:
        channels: Number of channels of the input.
        pretrained: Pretrained weights: the name of a Hugging Face model, a local folder with
            config.json and model.safetensors, or a local file of its tensors that ends in
            .safetensors; None for random weights.

    Raises:
        ArgumentError: The weights cannot be loaded, or are for another number of channels.
        MissingDependencyError: The transformers library is not installed.
    """
    library = transformers("mobilenet_v2")
    config = library.MobileNetV2Config(num_channels=channels)
    if pretrained is not None:
        backbone = _loaded_picture(library.MobileNetV2Model, pretrained, config)
    else:
        backbone = library.MobileNetV2Model(config)
    return Picture(backbone, f"mobilenet_v2(channels={channels}, pretrained={pretrained!r})")


def _loaded_picture(family: Any, name: str, config: Any) -> nn.Module:
    """Load pretrained weights of a backbone for images, and check that they are complete.

    Args:
        family: Class of the backbone.
        name: Name of a model, a folder, or a file that ends in .safetensors.
        config: Configuration of a backbone with the input's channels; a file of tensors alone has
            none of its own.
    """
    of_file = config if name.endswith(".safetensors") else None
    backbone, missing = loaded(family, name, of_file)
    # A saved counter of batches is not needed: the running statistics have a fixed momentum.
    if lacking := [key for key in missing if not key.endswith("num_batches_tracked")]:
        raise ArgumentError(
            f"pretrained {name!r} must hold all weights of {family.__name__}, found none for "
            f"{len(lacking)}, among them {min(lacking)}."
        )
    channels, known = config.num_channels, backbone.config.num_channels
    if channels != known:
        raise ArgumentError(
            f"inputs of the pretrained {name!r} must have {known} channels, found {channels}."
        )
    checked: nn.Module = backbone
    return checked
