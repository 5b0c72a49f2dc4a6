"""Objects described by the arguments of their constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from textwrap import indent
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from g2d.errors import ArgumentError
from g2d.files import one_of

WIDTH = 88
"""Longest text, in characters, that is printed on one line."""

SIZES = {
    **dict.fromkeys(("width", "widths", "hidden", "length"), 2**16),
    **dict.fromkeys(("layers", "heads"), 2**8),
    "pool": 2**6,
}
"""Arguments that size the layers of an encoder, a fusion or a method, and their largest values."""


class Configured:
    """Base of methods, tasks and the like: remembers, checks and prints constructor arguments.

    An argument annotated as a ``Literal`` must be one of its values, and an argument that sizes
    layers (:data:`SIZES`) must be a size that a machine can hold, and ``dropout`` a share; this is
    checked before the constructor runs. ``repr`` prints every argument.

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
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(parameters)  # of the constructor, not of __new__

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        instance = super().__new__(cls)
        try:
            bound = cls.__signature__.bind(*args, **kwargs)
        except TypeError:  # copying passes no arguments; for wrong ones the constructor raises
            return instance
        bound.apply_defaults()
        arguments = instance.__dict__["arguments"] = dict(bound.arguments)
        for name, choices in _choices(cls.__init__).items():
            one_of(name, arguments[name], choices)
        _check_sizes(arguments)
        return instance

    def __repr__(self) -> str:
        name = type(self).__name__
        options = [f"{key}={_short(value)}" for key, value in self.arguments.items()]
        line = f"{name}({', '.join(options)})"
        if len(line) <= WIDTH and "\n" not in line:
            return line
        inner = indent(",\n".join(options), "  ")
        return f"{name}(\n{inner},\n)"


def _check_sizes(arguments: Mapping[str, Any]) -> None:
    for name, most in SIZES.items():
        value = arguments.get(name)
        if isinstance(value, list | tuple) and not value:
            raise ArgumentError(f"{name} must hold one size or more, found none.")
        for size in value if isinstance(value, list | tuple) else [value]:
            if isinstance(size, int) and not 1 <= size <= most:
                raise ArgumentError(f"{name} must be between 1 and {most:,}, found {value}.")
    value = arguments.get("dropout", 0.0)
    for share in value if isinstance(value, list | tuple) else [value]:
        if isinstance(share, int | float) and not 0 <= share <= 1:
            raise ArgumentError(f"dropout must be between 0 and 1, found {value}.")


@cache
def _choices(constructor: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Return the values of every argument that is annotated as a ``Literal``."""
    try:
        hints = get_type_hints(constructor)
    except NameError:  # a user's annotations that exist for type checkers only
        return {}
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


def _short(value: Any) -> str:
    """Return ``repr(value)``, or the name of its class, with its length, if that is long."""
    text = repr(value)
    is_short = len(text) <= WIDTH and "\n" not in text and not text.startswith("<")
    if isinstance(value, Configured) or is_short:
        return text
    size = f"{len(value)} entries" if isinstance(value, list | tuple | dict) else "..."
    return f"{type(value).__name__}({size})"
