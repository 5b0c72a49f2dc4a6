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
        pretrained: Pretrained weights: the name of a Hugging Face model, a local folder with
            config.json and model.safetensors, or a local file of its tensors that ends in
            .safetensors; None for random weights.

    Raises:
        ArgumentError: The weights cannot be loaded, or are for another number of channels.
        MissingDependencyError: The transformers library is not installed.
    """
    library = _transformers("resnet18")
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
    library = _transformers("mobilenet_v2")
    config = library.MobileNetV2Config(num_channels=channels)
    if pretrained is not None:
        backbone = _loaded_picture(library.MobileNetV2Model, pretrained, config)
    else:
        backbone = library.MobileNetV2Model(config)
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
        self.model, _ = _loaded(_transformers(f"hf:{name}").AutoModel, name)
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


def _loaded_picture(family: Any, name: str, config: Any) -> nn.Module:
    """Load pretrained weights of a backbone for images, and check that they are complete.

    Args:
        family: Class of the backbone.
        name: Name of a model, a folder, or a file that ends in .safetensors.
        config: Configuration of a backbone with the input's channels; a file of tensors alone has
            none of its own.
    """
    of_file = config if name.endswith(".safetensors") else None
    backbone, missing = _loaded(family, name, of_file)
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


def _loaded(family: Any, name: str, config: Any = None) -> tuple[Any, set[str]]:
    """Load a pretrained model.

    Args:
        family: Class of the model.
        name: Name of the model or its folder; with ``config`` the file of its tensors.
        config: Configuration for a file of tensors.

    Returns:
        The model, and the names of weights that the source lacks and that are random.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    logging = import_extra("transformers.utils.logging", "hf", f"the encoder {name!r}")
    logging.disable_progress_bar()  # the command line draws its own, or none
    try:
        given: dict[str, Any] = {"pretrained_model_name_or_path": name}
        if config is not None:
            given = {"config": config, "state_dict": load_file(name)}
            given["pretrained_model_name_or_path"] = None
        model, info = family.from_pretrained(
            **given,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ArgumentError(
            f"the encoder {name!r} must be a model that can be fetched, a local folder with "
            "config.json and model.safetensors or, for images, a file of tensors that ends in "
            f".safetensors, found none of them: {error}"
        ) from error
    return model, set(info["missing_keys"])
