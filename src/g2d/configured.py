"""Objects described by the arguments of their constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from textwrap import indent
from types import NoneType, UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from g2d.files import one_of

WIDTH = 88
"""Longest text, in characters, that is printed on one line."""


class Configured:
    """Base of methods, tasks and the like: remembers, checks and prints constructor arguments.

    An argument annotated as a ``Literal`` must be one of its values; this is checked before the
    constructor runs. ``repr`` prints every argument.

    Attributes:
        arguments: The constructor's arguments by name, defaults included.

    Example:
        >>> class Damping(Configured):
        ...     def __init__(self, *, strength: float = 1.0, on: Literal["all", "some"] = "all"):
        ...         self.strength = strength
        >>> Damping(strength=0.5)
        Damping(strength=0.5, on='all')
        >>> Damping(on="al")
        Traceback (most recent call last):
        g2d.errors.ArgumentError: on must be one of all, some, found 'al'. Did you mean 'all'?
    """

    arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        instance = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(instance, *args, **kwargs)
        except TypeError:  # copying passes no arguments; for wrong ones the constructor raises
            return instance
        bound.apply_defaults()
        _, *names = bound.arguments
        arguments = {name: bound.arguments[name] for name in names}
        for name, choices in _choices(cls.__init__).items():
            if arguments[name] is not None or None not in choices:
                one_of(name, arguments[name], [c for c in choices if c is not None])
        instance.__dict__["arguments"] = arguments
        return instance

    def __repr__(self) -> str:
        name = type(self).__name__
        options = [f"{key}={_short(value)}" for key, value in self.arguments.items()]
        line = f"{name}({', '.join(options)})"
        if len(line) <= WIDTH and "\n" not in line:
            return line
        inner = indent(",\n".join(options), "  ")
        return f"{name}(\n{inner},\n)"


@cache
def _choices(constructor: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Return the values of every ``Literal`` argument, None among them where it is allowed."""
    try:
        hints = get_type_hints(constructor)
    except NameError:  # annotations of a class of the user's that exist for type checkers only
        return {}
    choices = {}
    for name, hint in hints.items():
        inner = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        if all(get_origin(part) is Literal or part is NoneType for part in inner):
            values = [v for part in inner for v in (get_args(part) or (None,))]
            if any(value is not None for value in values):
                choices[name] = tuple(values)
    return choices


def _short(value: Any) -> str:
    """Return ``repr(value)``, or the name of its class, with its length, if that is long."""
    text = repr(value)
    is_short = len(text) <= WIDTH and "\n" not in text and not text.startswith("<")
    if isinstance(value, Configured) or is_short:
        return text
    size = f"{len(value)} entries" if isinstance(value, list | tuple | dict) else "..."
    return f"{type(value).__name__}({size})"
