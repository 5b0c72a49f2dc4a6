"""YAML text and ``key=value`` overrides -> one plain mapping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from g2d.errors import RecipeError
from g2d.plainyaml import parse

NAMED_SECTIONS = ("data", "fusion", "method", "modulation")
"""Sections that may be a bare name instead of a mapping with a name."""


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
