"""Errors of pydantic models, translated into sentences for the user."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from g2d.errors import G2DError
from g2d.files import did_you_mean, nearest

_NOUNS: dict[Any, str] = {int: "whole number", float: "number", str: "text", Path: "path"}
_WORDS = {kind: f"a {noun}" for kind, noun in _NOUNS.items()}
_WORDS |= {bool: "true or false", NoneType: "null", Any: "any value"}
_PLURALS = {kind: f"{noun}s" for kind, noun in _NOUNS.items()} | {Any: "values"}


class Faults(list[str]):
    """The faults of a recipe found so far, one sentence each."""

    top: Collection[str] = ()
    """Keys of the recipe itself."""

    def unknown(self, path: str, valid: Iterable[str], owner: str) -> None:
        """Add a key that does not exist, with the nearest one that does.

        Args:
            path: The dotted key.
            valid: The keys that exist in its place.
            owner: What the keys belong to.
        """
        valid = list(valid)
        name = path.rpartition(".")[2]
        near = nearest(name, valid)
        hint = (
            f"Did you mean {path.removesuffix(name) + near!r}?"
            if near
            else f"Valid: {', '.join(sorted(valid)) or 'none'}."
        )
        self.append(f"{path} is not a key of {owner}. {hint}")

    def wrong(self, path: str, rule: str, value: Any) -> None:
        """Add a value that breaks a rule."""
        self.append(f"{path} must be {rule}, found {shown(value)}.")

    def choose(self, path: str, value: Any, valid: Collection[str], kind: str) -> bool:
        """Return whether a value is a registered name, and add a fault if not."""
        if isinstance(value, str) and value in valid:
            return True
        article = "an" if kind[0] in "aeiou" else "a"
        self.append(
            f"{path} must name {article} {kind} ({', '.join(valid)}), found {shown(value)}."
            + did_you_mean(str(value)[:SHOWN], valid)
        )
        return False

    def values(self, path: str, given: Any, model: type[BaseModel], owner: str) -> dict[str, Any]:
        """Return the given values, converted and with defaults; add a fault for each wrong one.

        Values are read strictly: no text becomes a number, and no number a truth value. A value of
        null counts as left out where the model does not allow it. Sections inside the section are
        read in the same way.

        Args:
            path: The dotted key of the section; empty for the recipe itself.
            given: The values; None for an empty section.
            model: The model of the section.
            owner: What the keys belong to.
        """
        if given is not None and not isinstance(given, Mapping):
            self.wrong(path, "a mapping of keys to values", given)
        given = given if isinstance(given, Mapping) else {}
        fields = model.model_fields
        self.top = self.top if path else fields
        for key in given.keys() - fields.keys():
            if key in self.top:
                rule = f"must be outside the section {path!r}: write {key}=VALUE"
                self.append(f"{join(path, key)} {rule}.")
            else:
                self.unknown(join(path, key), fields, owner)
        sections = {
            key: self.values(join(path, key), given.get(key), field.annotation, key)
            for key, field in fields.items()
            if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel)
        }
        known = {
            key: value
            for key, value in given.items()
            if key in fields.keys() - sections.keys()
            and (value is not None or _allows_null(fields[key].annotation))
        }
        try:
            text = json.dumps(known, ensure_ascii=False).encode()
            made = model.model_validate_json(text, strict=True)
        except ValidationError as error:
            first = {str(next(iter(fault["loc"]), "")): fault for fault in error.errors()[::-1]}
            for key, fault in sorted(first.items()):
                self._explain(join(path, key) if key else path, key, fault, model, owner)
                known.pop(key, None)
            made = model.model_construct(**({} if "" in first else known))
        except (TypeError, ValueError, RecursionError) as error:
            self.append(f"{path or owner} must hold plain values, found: {error}.")
            made = model.model_construct()
        plain: dict[str, Any] = to_jsonable_python(dict(made) | sections)
        return plain

    def construct(self, path: str, build: Callable[[], Any]) -> Any:
        """Return what a function returns, or None if it raises; its message is added once."""
        try:
            return build()
        except G2DError as error:
            if not any(fault.endswith(str(error)) for fault in self):
                self.append(f"{path}: {error}" if path else str(error))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            self.append(f"{path or 'the recipe'} must have usable values, found: {error}.")
        return None

    def _explain(
        self, at: str, key: str, fault: ErrorDetails, model: type[BaseModel], owner: str
    ) -> None:
        annotation = model.model_fields[key].annotation if key else None
        kind, message = fault["type"], fault["msg"]
        if kind == "missing":
            self.append(f"{at} must be given for {owner}, found nothing: {describe(annotation)}.")
        elif kind in ("value_error", "assertion_error"):
            self.append(f"{at}: {message.partition(', ')[2] or message}")
        elif key and kind.endswith(("_type", "_parsing", "literal_error", "_float")):
            self.wrong(at, describe(annotation), fault["input"])
            if kind.endswith(("list_type", "tuple_type")) and isinstance(fault["input"], str):
                self[-1] += f" A list has brackets: {at}=[{fault['input']}]."
        else:
            self.wrong(at, message.removeprefix("Input should be "), fault["input"])


SHOWN = 200
"""Characters of a value that a message shows."""


def shown(value: Any) -> str:
    """Return a value as it is written in Python, cut to a length that a message can hold.

    Example:
        >>> shown([1, 2]), len(shown("x" * 10_000))
        ('[1, 2]', 203)
    """
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def join(path: str, key: Any) -> str:
    """Return a dotted key."""
    return f"{path}.{key}" if path else str(key)


def describe(annotation: Any) -> str:
    """Return in words what an annotation allows.

    Example:
        >>> describe(float | dict[str, float]), describe(list[int] | None)
        ('a number or a mapping of names to numbers', 'a list of whole numbers or null')
        >>> describe(tuple[Literal["image", "tone"], ...] | None)
        "a list of values among 'image', 'tone', or null"
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        choices = ", ".join(repr(choice) for choice in inner)
        return f"one of {choices}" if len(inner) > 1 else choices
    if origin in (Union, UnionType):
        kinds = list(dict.fromkeys(describe(choice) for choice in inner))
        return f"{', '.join(kinds[:-1])}{',' * (',' in kinds[0])} or {kinds[-1]}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of names to {_plural(inner[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list of {_plural(inner[0])}"
    if hasattr(annotation, "__metadata__"):
        return describe(inner[0])
    return _WORDS.get(annotation, f"a {getattr(annotation, '__name__', annotation)}")


def _allows_null(annotation: Any) -> bool:
    return annotation in (Any, None, NoneType) or NoneType in get_args(annotation)


def _plural(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return f"values among {describe(annotation).removeprefix('one of ')}"
    return _PLURALS.get(annotation, f"values, each {describe(annotation)}")
