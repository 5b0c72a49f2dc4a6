"""Which weights of a pretrained model are trained: all, none, the last layers, or adapters."""

from __future__ import annotations

import re
from itertools import dropwhile
from typing import Any

from torch import nn

from g2d.errors import ArgumentError
from g2d.files import import_extra


def freeze_weights(model: nn.Module, freeze: str, name: str) -> str:
    """Choose the weights of a model that are trained.

    Args:
        model: The model.
        freeze: ``"all"``, ``"none"``, or ``"last-n"`` to train the last n layers and what follows
            them.
        name: Its name, for messages.

    Returns:
        A description of what is trained.

    Raises:
        ArgumentError: ``freeze`` is nothing of this, or the model has fewer layers.
    """
    match = re.fullmatch(r"all|none|last-([1-9]\d{0,5})", freeze)
    if match is None:
        raise ArgumentError(
            f"freeze must be all, none, or last-N to train the last N layers, found {freeze!r}."
        )
    model.requires_grad_(freeze == "none")
    if match[1] is None:
        return "no weight is trained" if freeze == "all" else "all weights are trained"
    stack, layers, count = *_layers(model), int(match[1])
    if count > len(layers):
        raise ArgumentError(
            f"freeze must name at most the {len(layers)} layers of {name!r}, found {freeze!r}."
        )
    first = f"{stack}.{len(layers) - count}."
    names = dropwhile(lambda key: not key.startswith(first), dict(model.named_parameters()))
    for key in names:
        model.get_parameter(key).requires_grad_(True)
    return f"the last {count} of {len(layers)} layers and what follows them are trained"


def add_adapters(model: nn.Module, rank: int, name: str) -> str:
    """Add adapters of low rank (LoRA) to every linear layer of the layers; only they are trained.

    The update of a weight is W + 2 B A, where A and B have ``rank`` rows and columns, and B starts
    at zero (Hu et al., LoRA, ICLR 2022, Eq. 3, with alpha = 2 rank).

    Args:
        model: The model; it is changed in place.
        rank: Rank of the adapters.
        name: Its name, for messages.

    Returns:
        A description of what is trained.

    Raises:
        ArgumentError: The rank is less than 1, or the model has no linear layer to adapt.
        MissingDependencyError: The peft library is not installed.
    """
    if rank < 1:
        raise ArgumentError(f"lora must be a rank of at least 1, or 0 for none, found {rank}.")
    library = import_extra("peft", "lora", "the option lora of an encoder")
    stack, _ = _layers(model)
    linear = [
        key
        for key, module in model.named_modules()
        if key.startswith(f"{stack}.") and _is_linear(module)
    ]
    if not linear:
        raise ArgumentError(f"lora must be 0 for {name!r}, which has no linear layers to adapt.")
    # GPT-2 keeps its matrices transposed, which peft must know.
    transposed = any(not isinstance(model.get_submodule(key), nn.Linear) for key in linear)
    config = library.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=linear, fan_in_fan_out=transposed
    )
    library.inject_adapter_in_model(config, model)
    for key, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in key)
    return f"adapters of rank {rank} in {len(linear)} linear layers are trained"


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _layers(model: Any) -> tuple[str, list[nn.Module]]:
    """Return the name of a model's list of layers, and the layers.

    A model may have several lists, one inside the other too; it is the one with most weights.
    """
    lists = [
        (name, list(module))
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module)
    ]
    sizes = {
        name: sum(weight.numel() for layer in layers for weight in layer.parameters())
        for name, layers in lists
    }
    return max(lists, key=lambda found: sizes[found[0]], default=("", []))
