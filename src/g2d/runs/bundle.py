"""The folder of an exported model: everything that predicts, and none of the data.

=====================  ==============================================================
file                   content
=====================  ==============================================================
``bundle.json``        the :class:`Bundle`, signed, with the SHA-256 of the files below
``weights/``           the checkpoint: weights as safetensors, and ``state.json``
``pretrained/``        configuration, tokenizer and weights of Hugging Face models
``README.md``          the card, which may be edited
=====================  ==============================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from g2d.errors import RunError
from g2d.manifest import hashes, read_signed, require_unchanged, write_signed
from g2d.runs.result import Content, Result, damage

BUNDLE, CARD, WEIGHTS, PRETRAINED = "bundle.json", "README.md", "weights", "pretrained"
"""Files and folders of an exported model."""
BUNDLE_SCHEMA = 1
"""Version of ``bundle.json`` that is written and read."""


class Bundle(Content):
    """Content of ``bundle.json``.

    Args:
        schema_version: Version of the format.
        g2d: Version of the library that wrote it.
        recipe: The resolved recipe.
        stacked: Whether the weights are those of a stack.
        result: The result of the run.
        data: What new rows need of the data (:mod:`g2d.data.unrowed`).
        pretrained: Places of pretrained models in the bundle, which the recipe and the views name.
        files: SHA-256 of every other file but the card.
    """

    schema_version: Literal[1] = 1
    g2d: str
    recipe: dict[str, Any]
    stacked: bool
    result: Result
    data: dict[str, Any]
    pretrained: list[str]
    files: dict[str, str]


def is_bundle(folder: Path) -> bool:
    """Return whether a folder is an exported model."""
    return (folder / BUNDLE).is_file()


def write_bundle(folder: Path, content: dict[str, Any]) -> None:
    """Write ``bundle.json`` with the hashes of the files that are in the folder, but the card.

    Args:
        folder: The folder, whose other files are complete.
        content: The fields of :class:`Bundle` but ``files``.
    """
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    files = hashes(folder, [name for name in names if name not in (CARD, BUNDLE)])
    write_signed(folder / BUNDLE, {"schema_version": BUNDLE_SCHEMA, **content, "files": files})


def read_bundle(folder: Path) -> Bundle:
    """Read an exported model, and compare every file with its recorded hash.

    Args:
        folder: The folder.

    Raises:
        RunError: A file is missing or damaged, or another version wrote it.
    """
    path = folder / BUNDLE
    remedy = "Copy it again, or export the run again."
    try:
        content = read_signed(path)
        version = content.get("schema_version")
        if version != BUNDLE_SCHEMA:
            raise RunError(
                f"{path} must have schema {BUNDLE_SCHEMA}, found {version!r:.20}. Another version "
                "of g2d wrote it: open it with that version."
            )
        bundle = Bundle.model_validate(content)
        require_unchanged(folder, bundle.files)
    except ValidationError as error:
        raise RunError(f"{path} must be undamaged, found {damage(error)}. {remedy}") from None
    except (OSError, ValueError) as error:
        missing = getattr(error, "filename", None)
        reason = f"no file {missing}" if isinstance(error, FileNotFoundError) else str(error)
        fault = f"the bundle {folder} must be undamaged, found: {reason}"
        raise RunError(f"{fault}. {remedy}") from None
    return bundle
