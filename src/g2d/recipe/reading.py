"""YAML text and ``key=value`` overrides -> one plain mapping."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml

from g2d.errors import RecipeError

NAMED_SECTIONS = ("data", "fusion", "method", "modulation")
"""Sections that may be a bare name instead of a mapping with a name."""


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


def read_recipe(path: Path) -> dict[str, Any]:
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


def override(
    content: dict[str, Any], assignments: Iterable[str], faults: list[str]
) -> dict[str, Any]:
    """The mapping with dotted ``key=value`` overrides laid over it; the values are YAML. What cannot be laid is a fault.

    Example:
        >>> override({"method": "joint"}, ["method.unimodal=1", "seed=2"], [])
        {'method': {'name': 'joint', 'unimodal': 1}, 'seed': 2}
    """
    result: dict[str, Any] = _copied(content)
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        if not sign or not key.strip():
            faults.append(f"an override must be written key=value, found {assignment!r}.")
            continue
        try:
            value = parse(text, assignment)
        except RecipeError:
            faults.append(f"{key} must be a YAML value, found {text!r}.")
            continue
        _lay(result, key.strip().split("."), value, faults)
    return result


def named(value: Any) -> Any:
    """A section in its long form: a bare name is a mapping with nothing but a name."""
    return {"name": value} if isinstance(value, str) else value


def _lay(content: dict[str, Any], keys: list[str], value: Any, faults: list[str]) -> None:
    *parents, last = keys
    inner = content
    for depth, key in enumerate(parents):
        held = named(inner.get(key, {})) if _takes_name(parents, depth) else inner.get(key, {})
        if not isinstance(held, dict):
            faults.append(
                f"{'.'.join(keys)} must lie in a section, found the value {held!r} at {'.'.join(parents[: depth + 1])}."
            )
            return
        inner[key] = held
        inner = held
    inner[last] = value


def _takes_name(parents: list[str], depth: int) -> bool:
    return parents[depth] in NAMED_SECTIONS or (depth == 1 and parents[0] == "encoders")


def _copied(value: Any) -> Any:
    return (
        {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value
    )
