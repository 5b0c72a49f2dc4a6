"""The schema of a recipe as JSON Schema, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from g2d.datasets import DATASETS
from g2d.encoders import ENCODERS, HUGGING_FACE
from g2d.fusion import FUSIONS
from g2d.methods import METHODS
from g2d.modulations import MODULATIONS
from g2d.recipe.reading import METHODS_KEY
from g2d.recipe.schema import METHOD_NAMES, Keys, options_model, takes_modulation


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe file, with which editors complete and check recipes."""
    definitions: dict[str, Any] = {}
    schema = _object(Keys, definitions)
    modulation = _alternatives("modulation", MODULATIONS, definitions)
    method = _alternatives("method", METHODS, definitions)
    method["anyOf"][0]["enum"] = list(METHOD_NAMES)
    for alternative in method["anyOf"][1:]:
        if takes_modulation(alternative["properties"]["name"]["const"]):
            alternative["properties"]["modulation"] = modulation
    encoder = _alternatives("encoder", ENCODERS, definitions)
    encoder["anyOf"].append({"type": "string", "pattern": f"^{HUGGING_FACE}."})
    values = {"type": "object", "description": "Values by dotted key, applied for this method."}
    schema["properties"] |= {
        "data": _alternatives("data set", DATASETS, definitions),
        "encoders": {"type": "object", "additionalProperties": encoder, "minProperties": 1},
        "fusion": _alternatives("fusion", FUSIONS, definitions),
        "method": method,
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
