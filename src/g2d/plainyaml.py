"""YAML read as plain values: no tags, no duplicate keys, nothing that runs code."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from g2d.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """Loader of plain values that refuses duplicate keys and reads 1e-3 as a number.

    YAML 1.1 reads 1e-3 as text.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {name!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


_FLOAT = re.compile(
    r"[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))(?:[eE][-+]?\d+)?$"
    r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse(text: str, source: str) -> Any:
    """Convert YAML text to plain values.

    Args:
        text: The YAML text.
        source: Name of its origin, for messages.

    Raises:
        RecipeError: The text is not YAML, or holds more than plain values.

    Example:
        >>> parse("lr: 1e-3", "example")
        {'lr': 0.001}
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        problem = getattr(error, "problem", None) or error
        fault = f"the text must be plain YAML, found: {problem}{where}."
        raise RecipeError([fault], source) from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a recipe file as a plain mapping.

    Args:
        path: Path of the YAML file.

    Raises:
        RecipeError: There is no such file, it is not text, or it does not hold a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        plain = (reason or str(error))[:1].lower() + (reason or str(error))[1:]
        raise RecipeError([f"cannot read recipe {str(path)!r}: {plain}."], str(path)) from None
    content = parse(text, str(path))
    if not isinstance(content, dict):
        kind = type(content).__name__
        fault = f"the recipe must be a mapping of keys to values, found {kind}."
        raise RecipeError([fault], str(path))
    return content
