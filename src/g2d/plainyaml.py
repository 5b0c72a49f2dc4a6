"""YAML read as plain values: no tags, no duplicate keys, nothing that runs code."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from g2d.errors import RecipeError
from g2d.files import read_text

MOST_CHARACTERS = 2**20
"""Characters of the longest text that is read."""
MOST_NODES = 10_000
"""Values, keys, lists and mappings of the largest text, repeated ones counted again."""
MOST_LEVELS = 32
"""Lists and mappings within each other."""
WHOLE_NUMBERS = range(-(2**63), 2**63)
"""Whole numbers that are read: those of 64 bits."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")
)
"""Tags of plain values."""


def _refuse(problem: str, node: yaml.Node) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """Loader of plain values that refuses duplicate keys and what is too large or too deep.

    It reads 1e-3 as a number, which is text in YAML 1.1, and 1:30 and 010 as text, which are
    numbers there.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.levels = self.nodes = 0
        self.sizes: dict[yaml.Node, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a value, and count its nodes and levels; an alias counts as what it repeats."""
        repeated = self.check_event(yaml.AliasEvent)
        before, self.levels = self.nodes, self.levels + 1
        if self.levels > MOST_LEVELS:
            self._refuse_depth(self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        if node is None:
            return None
        if repeated:
            if node not in self.sizes:
                _refuse("a value that contains itself", node)
            size, height = self.sizes[node]
            self.nodes += size
        else:
            self.nodes, height = self.nodes + 1, 1 + max(self._heights(node), default=0)
            self.sizes[node] = self.nodes - before, height
        if self.levels + height - 1 > MOST_LEVELS:
            self._refuse_depth(node.start_mark)
        if self.nodes > MOST_NODES:
            _refuse(f"more than {MOST_NODES:,} values", node)
        self.levels -= 1
        return node

    def _heights(self, node: yaml.Node) -> Iterator[int]:
        if isinstance(node, yaml.ScalarNode):
            return
        for inner in node.value:
            for part in inner if isinstance(inner, tuple) else (inner,):
                yield self.sizes[part][1]

    def _refuse_depth(self, mark: Any) -> NoReturn:
        problem = f"lists and mappings more than {MOST_LEVELS} levels deep"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return a plain value."""
        if node.tag not in _TAGS:
            _refuse(f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')}", node)
        if isinstance(node, yaml.ScalarNode) and _NO_TEXT.search(node.value):
            _refuse("a text with a zero byte or half of a character", node)
        value = super().construct_object(node, deep)
        if isinstance(value, int) and value not in WHOLE_NUMBERS:
            _refuse("a whole number of more than 64 bits", node)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping whose keys differ."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _refuse("a list or a mapping as a key", key)
            name = self.construct_object(key, deep=True)
            if name in seen:
                _refuse(f"the key {name!r} is given twice", key)
            seen.add(name)
        return super().construct_mapping(node, deep)


_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))(?:[eE][-+]?\d+)?$"
    r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag.removeprefix("tag:yaml.org,2002:") not in ("int", "float", "timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _WHOLE, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse(text: str, source: str) -> Any:
    """Convert YAML text to plain values.

    Args:
        text: The YAML text.
        source: Name of its origin, for messages.

    Raises:
        RecipeError: The text is not YAML, is too large or too deep, or holds more than plain
            values.

    Example:
        >>> parse("lr: 1e-3", "example")
        {'lr': 0.001}
    """
    try:
        if len(text) > MOST_CHARACTERS:
            raise yaml.YAMLError(f"more than {MOST_CHARACTERS:,} characters")
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except Exception as error:  # the reader's own, and those of int(), float() and the like
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        if not isinstance(error, yaml.YAMLError):
            problem = f"a value that does not fit its tag: {problem or type(error).__name__}"
        fault = f"the text must be plain YAML, found: {problem}{where}."
        raise RecipeError([fault], source) from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a recipe file as a plain mapping.

    Args:
        path: Path of the YAML file.

    Raises:
        RecipeError: There is no such file, it is not text, it is too large, or it does not hold a
            mapping.
    """
    try:
        text = read_text(path, MOST_CHARACTERS)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        plain = (reason or str(error))[:1].lower() + (reason or str(error))[1:]
        raise RecipeError([f"cannot read recipe {str(path)!r}: {plain}."], str(path)) from None
    content = parse(text, str(path))
    if not isinstance(content, dict):
        kind = type(content).__name__
        fault = f"the recipe must be a mapping of keys to values, found {kind}."
        raise RecipeError([fault], str(path))
    return content
