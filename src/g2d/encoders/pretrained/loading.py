"""Load pretrained weights: safetensors only, and code that comes with a model is never run."""

from __future__ import annotations

from typing import Any

import torch

from g2d.errors import ArgumentError
from g2d.files import import_extra


def transformers(encoder: str) -> Any:
    """Import the transformers library for an encoder."""
    return import_extra("transformers", "hf", f"the encoder {encoder!r}")


def loaded(family: Any, name: str, config: Any = None) -> tuple[Any, set[str]]:
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
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what is missing is checked here, not printed
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
    finally:
        logging.set_verbosity(verbosity)
    return model, set(info["missing_keys"])
