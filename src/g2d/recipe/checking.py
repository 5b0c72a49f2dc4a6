"""Values against annotations: what a key may hold, said in words, and the nearest valid name for one that does not exist."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from g2d.errors import G2DError
from g2d.files import nearest

REQUIRED = object()
"""The default of an option that has none."""

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
    Any: "any value",
}
_PLURALS = {"a whole number": "whole numbers", "a number": "numbers", "a text": "texts"}


@dataclass(frozen=True, slots=True)
class Option:
    """One key that a section may hold.

    Args:
        annotation: what its value may be.
        default: its value where it is left out, or :data:`REQUIRED`.
    """

    annotation: Any
    default: Any = REQUIRED


def arguments(function: Callable[..., Any], leave_out: Collection[str] = ()) -> dict[str, Option]:
    """The options that a constructor or function takes by name, read from its signature.

    Example:
        >>> def encoder(example, *, width: int = 64): ...
        >>> arguments(encoder, ["example"])
        {'width': Option(annotation=<class 'int'>, default=64)}
    """
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    options = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in leave_out and parameter.kind in (
            parameter.KEYWORD_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        ):
            options[name] = Option(
                hints.get(name, Any),
                REQUIRED if parameter.default is parameter.empty else parameter.default,
            )
    return options


class Faults(list[str]):
    """The faults found so far, one sentence each."""

    def unknown(self, path: str, kind: str, valid: Iterable[str], *, whose: str = "") -> None:
        """A name that does not exist, with the nearest one that does."""
        valid = list(valid)
        name = path if kind != "key" else path.rpartition(".")[2]
        prefix = path.removesuffix(name)
        close = nearest(name, valid)
        owner = f" of {whose}" if whose else ""
        hint = (
            f"Did you mean {prefix + close!r}?"
            if close
            else f"Valid: {', '.join(sorted(valid)) or 'none'}."
        )
        self.append(f"{path} must be a known {kind}{owner}, found no such {kind}. {hint}")

    def wrong(self, path: str, rule: str, value: Any) -> None:
        """A value that breaks a rule."""
        self.append(f"{path} must be {rule}, found {value!r}.")

    def choose(self, path: str, value: Any, valid: Collection[str], kind: str) -> bool:
        """Whether a value is one of the registered names; a fault if not."""
        if value in valid:
            return True
        close = nearest(str(value), valid)
        hint = f" Did you mean {close!r}?" if close else ""
        self.append(
            f"{path} must name {_article(kind)} ({', '.join(valid)}), found {value!r}.{hint}"
        )
        return False

    def options(
        self, path: str, given: Mapping[str, Any], allowed: Mapping[str, Option], *, whose: str = ""
    ) -> dict[str, Any]:
        """The given values that are right, converted to their annotation; everything else becomes a fault."""
        right = {}
        for key, value in given.items():
            at = join(path, key)
            if key not in allowed:
                self.unknown(at, "key", allowed, whose=whose)
                continue
            if value is None and not allows_null(allowed[key].annotation):
                continue  # as if the key had been left out
            try:
                right[key] = convert(value, allowed[key].annotation)
            except (ValidationError, TypeError, ValueError):
                self.wrong(at, describe(allowed[key].annotation), value)
        self.extend(
            f"{join(path, key)} must be given{f' for {whose}' if whose else ''}, found nothing: {describe(option.annotation)}."
            for key, option in allowed.items()
            if option.default is REQUIRED and given.get(key) is None
        )
        return right

    def model(
        self, path: str, given: Mapping[str, Any], model: type[BaseModel], *, whose: str = ""
    ) -> BaseModel | None:
        """The pydantic model of the given values, or None and one fault per value that is wrong."""
        fields = model.model_fields
        known = {
            key: value
            for key, value in given.items()
            if key in fields and (value is not None or allows_null(fields[key].annotation))
        }
        for key in given.keys() - fields.keys():
            self.unknown(join(path, key), "key", model.model_fields, whose=whose)
        try:
            return model.model_validate_json(json.dumps(known), strict=True)
        except TypeError as error:
            self.append(f"{path} must hold plain values, found: {error}.")
        except ValidationError as error:
            seen = set()
            for fault in error.errors():
                place = ".".join(str(part) for part in fault["loc"][:1])
                if place not in seen:
                    seen.add(place)
                    self._explain(path, place, fault, model)
        return None

    def construct(self, path: str, build: Callable[[], Any]) -> Any:
        """What ``build`` returns, or None and its objection as a fault."""
        try:
            return build()
        except G2DError as error:
            self.append(f"{path}: {error}" if path else str(error))
            return None

    def _explain(self, path: str, place: str, fault: Any, model: type[BaseModel]) -> None:
        at = join(path, place) if place else path
        if fault["type"] == "missing":
            self.append(
                f"{at} must be given, found nothing: {describe(model.model_fields[place].annotation)}."
            )
        elif fault["type"] in ("value_error", "assertion_error"):
            self.append(f"{at}: {fault['msg'].partition(', ')[2] or fault['msg']}")
        elif (
            fault["type"].endswith(("_type", "_parsing", "literal_error", "_float"))
            and place in model.model_fields
        ):
            self.wrong(at, describe(model.model_fields[place].annotation), fault["input"])
        else:
            self.wrong(at, fault["msg"].removeprefix("Input should be "), fault["input"])


def allows_null(annotation: Any) -> bool:
    """Return whether an annotation allows None.

    Example:
        >>> allows_null(int | None), allows_null(int)
        (True, False)
    """
    return annotation in (Any, None, NoneType) or NoneType in get_args(annotation)


def join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def convert(value: Any, annotation: Any) -> Any:
    """A plain value as its annotation wants it; strictly: no text becomes a number, no number a truth.

    Raises:
        ValidationError: it is of another kind.

    Example:
        >>> convert([15, 15], tuple[int, ...])
        (15, 15)
    """
    return TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)


def describe(annotation: Any) -> str:
    """What an annotation allows, in words.

    Example:
        >>> describe(float | dict[str, float]), describe(list[int] | None)
        ('a number or a mapping of names to numbers', 'a list of whole numbers or null')
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(describe(choice) for choice in inner))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of names to {_plural(describe(inner[1]))}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list of {_plural(describe(inner[0]))}"
    if hasattr(annotation, "__metadata__"):
        return describe(inner[0])
    return _WORDS.get(annotation, f"a {getattr(annotation, '__name__', annotation)}")


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _plural(words: str) -> str:
    return _PLURALS.get(words, f"values that are {words}")
