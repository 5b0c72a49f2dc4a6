"""YAML text and files -> plain values: no tags, no duplicate keys, nothing that runs code."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from g2d.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """Plain values only. A key given twice is refused, and 1e-3 is a number (YAML 1.1 reads it as text)."""

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
    r"[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))(?:[eE][-+]?\d+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
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
    """YAML text -> plain values.

    Raises:
        RecipeError: it is not YAML, or holds more than plain values.

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
        raise RecipeError(
            [
                f"the text must be plain YAML, found: {getattr(error, 'problem', None) or error}{where}."
            ],
            source,
        ) from None


def read_mapping(path: Path) -> dict[str, Any]:
    """A recipe file as a plain mapping.

    Raises:
        RecipeError: there is no such file, or it is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RecipeError(
            [f"the recipe must be a readable YAML file, found {str(path)!r}: {reason}."], str(path)
        ) from None
    content = parse(text, str(path))
    if not isinstance(content, dict):
        raise RecipeError(
            [f"the recipe must be a mapping of keys to values, found {type(content).__name__}."],
            str(path),
        )
    return content
