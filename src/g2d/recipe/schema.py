"""The schema of a recipe: a pydantic model per section, and all of them as one JSON Schema.

Options of methods, fusions, encoders and modulations are read from the signatures of their
constructors, so that a new option needs no second description.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from g2d import encoders
from g2d.datasets import DATASETS
from g2d.encoders import ENCODERS, HUGGING_FACE, encoder_constructor
from g2d.engine.options import TrainOptions
from g2d.fusion import FUSIONS, READ_FROM_DATA
from g2d.methods import METHODS
from g2d.modulations import MODULATIONS
from g2d.recipe.reading import METHODS_KEY
from g2d.recipe.variants import VARIANTS

Checkpoint = Literal["best", "last"]
METHOD_NAMES = (*METHODS, *VARIANTS)
"""What a user may write where a method is chosen."""
FORBID = ConfigDict(extra="forbid", protected_namespaces=())


class Top(BaseModel):
    """Keys of a recipe that are not sections.

    Args:
        name: Name of the recipe and of its run folder.
        seed: Seed of everything random but the data.
        epochs: Passes over the training rows.
        warm_start: Whether the student starts from the teachers' weights.
        controls: Whether the run also evaluates the teachers and their ensembles.
        stack: Sets of teachers that are stacked with the student; 0 for none.
    """

    model_config = FORBID

    name: str = ""
    seed: int = 0
    epochs: int | None = None
    warm_start: bool = False
    controls: bool = False
    stack: int = Field(0, ge=0)


class TeacherSection(BaseModel):
    """The section ``teachers``, apart from its own section ``train``.

    Args:
        seed: Seed of the teachers; by default the student's.
        epochs: Epochs of the teachers; by default the student's.
        distil_checkpoint: The checkpoint whose features and logits are distilled.
        ranking_checkpoint: The checkpoint whose confidence ranks the modalities.
        folder: Where teachers are kept; by default ``teachers`` in the parent of the run folder.
    """

    model_config = FORBID

    seed: int | None = None
    epochs: int | None = None
    distil_checkpoint: Checkpoint = "best"
    ranking_checkpoint: Checkpoint = "best"
    folder: str | None = None


def model_of(function: Callable[..., Any], leave_out: Collection[str] = ()) -> type[BaseModel]:
    """Return a pydantic model with one field per keyword-only argument of a function or class.

    Args:
        function: A function or a class.
        leave_out: Arguments that a recipe cannot set.

    Example:
        >>> def encoder(example, *, width: int = 64): ...
        >>> model_of(encoder).model_json_schema()["properties"]
        {'width': {'default': 64, 'title': 'Width', 'type': 'integer'}}
    """
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    options: dict[str, Any] = {
        name: (hints.get(name, Any), ... if option.default is option.empty else option.default)
        for name, option in inspect.signature(function).parameters.items()
        if option.kind is option.KEYWORD_ONLY and name not in leave_out
    }
    return create_model("Options", __config__=FORBID, **options)


def _train_model() -> type[BaseModel]:
    defaults = vars(TrainOptions(epochs=1))
    options: dict[str, Any] = {
        name: (hint, defaults[name])
        for name, hint in get_type_hints(TrainOptions).items()
        if name not in Top.model_fields
    }
    return create_model("TrainSection", __config__=FORBID, **options)


TRAIN = _train_model()
"""The section ``train``; the options ``epochs`` and ``seed`` are keys of the recipe itself."""


class EncoderNames(dict[str, Any]):
    """The registered encoders and any Hugging Face model: ``hf:<name or folder>``."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (
            isinstance(name, str) and name.startswith(HUGGING_FACE) and name != HUGGING_FACE
        )


NAMES: dict[str, Collection[str]] = {
    "data set": DATASETS,
    "encoder": EncoderNames(ENCODERS),
    "fusion": FUSIONS,
    "method": METHOD_NAMES,
    "modulation": MODULATIONS,
}
"""The names that can be chosen, by what they name."""


@cache
def options_model(kind: str, name: str) -> type[BaseModel]:
    """Return the model of the options of a registered name.

    Args:
        kind: A key of :data:`NAMES`.
        name: One of its names; not a variant.
    """
    models: dict[str, Callable[[], type[BaseModel]]] = {
        "data set": lambda: DATASETS[name].options,
        "encoder": lambda: model_of(encoder_constructor(name), encoders.READ_FROM_DATA),
        "fusion": lambda: model_of(FUSIONS[name], READ_FROM_DATA),
        "method": lambda: model_of(METHODS[name], ("teachers", "modulation")),
        "modulation": lambda: model_of(MODULATIONS[name]),
    }
    return models[kind]()


def takes_modulation(method: str) -> bool:
    """Return whether a method has the option ``modulation``."""
    return "modulation" in inspect.signature(METHODS[method]).parameters


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe file, with which editors complete and check recipes."""
    definitions: dict[str, Any] = {}
    train = _object(TRAIN, definitions)
    teachers = _object(TeacherSection, definitions)
    teachers["properties"]["train"] = train
    modulation = _alternatives("modulation", MODULATIONS, definitions)
    method = _alternatives("method", METHODS, definitions)
    method["anyOf"][0]["enum"] = list(METHOD_NAMES)
    for alternative in method["anyOf"][1:]:
        if takes_modulation(alternative["properties"]["name"]["const"]):
            alternative["properties"]["modulation"] = modulation
    encoder = _alternatives("encoder", ENCODERS, definitions)
    encoder["anyOf"].append({"type": "string", "pattern": f"^{HUGGING_FACE}."})
    values = {"type": "object", "description": "Values by dotted key, applied for this method."}
    schema = _object(Top, definitions)
    schema["properties"] |= {
        "data": _alternatives("data set", DATASETS, definitions),
        "encoders": {"type": "object", "additionalProperties": encoder, "minProperties": 1},
        "fusion": _alternatives("fusion", FUSIONS, definitions),
        "method": method,
        "train": train,
        "teachers": teachers,
        METHODS_KEY: {"type": "object", "properties": dict.fromkeys(METHOD_NAMES, values)},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "g2d recipe",
        "required": ["data", "encoders", "method"],
        "$defs": definitions,
    }


def _object(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a model; what it refers to is added to the definitions."""
    schema = model.model_json_schema()
    definitions |= schema.pop("$defs", {})
    return {"properties": {}, **schema}


def _alternatives(
    kind: str, names: Mapping[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    """Return the schema of a section that is a name, or a mapping with a name and options."""
    alternatives: list[dict[str, Any]] = [{"enum": list(names)}]
    for name in names:
        schema = _object(options_model(kind, name), definitions)
        schema["properties"] = {"name": {"const": name}, **schema["properties"]}
        schema["required"] = ["name", *schema.get("required", ())]
        alternatives.append(schema)
    return {"anyOf": alternatives}
