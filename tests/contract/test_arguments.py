"""Constructor arguments of every method and modulation: choices, checks and ``repr``."""

from __future__ import annotations

import copy
import inspect
import math
from textwrap import indent
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from g2d.errors import ArgumentError
from g2d.method import Method, Modulation
from g2d.methods import G2D, METHODS, UMT, Joint
from g2d.modulations import MODULATIONS, SMP
from support.workbench import Bench, arguments

KINDS: dict[str, type[Method | Modulation]] = {**METHODS, **MODULATIONS}
CHOICES = [
    (name, argument, hint)
    for name, kind in KINDS.items()
    for argument, hint in get_type_hints(kind.__init__).items()
    if get_origin(hint) is Literal
]
TRAINED_CHOICES = [
    (name, argument, choice)
    for name, argument, hint in CHOICES
    if name in METHODS and METHODS[name].trains
    for choice in get_args(hint)
]
DAMPING = {"alpha": 0.5, "gamma": 2.0, "weight": 2.0, "tau": (1, 1), "epochs": 3}
"""Values of arguments that are no defaults."""


def made(name: str, **options: Any) -> Method | Modulation:
    """Return a method for two modalities, or a modulation, before it is built."""
    if name in METHODS:
        options = arguments(name, 2) | options
        if METHODS[name].needs_teachers:
            options["teachers"] = Bench(name).teachers()
    return KINDS[name](**options)


@pytest.mark.parametrize(("name", "argument", "hint"), CHOICES)
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(
    name: str, argument: str, hint: Any
) -> None:
    choices = ", ".join(get_args(hint))
    with pytest.raises(ArgumentError, match=rf"^{argument} must be one of {choices}, found 'x'\."):
        made(name, **{argument: "x"})


@pytest.mark.parametrize(("name", "argument", "choice"), TRAINED_CHOICES)
def test_every_choice_trains(name: str, argument: str, choice: str) -> None:
    regression = "classification" not in METHODS[name].tasks
    bench = Bench(name, regression=regression, options={argument: choice})
    _, _, records = bench.train(epochs=[1])
    assert all(math.isfinite(value) for record in records for value in record.values())


@pytest.mark.parametrize("name", KINDS)
def test_a_text_is_always_a_choice(name: str) -> None:
    """A recipe's schema is derived from the signature, so no argument may accept any text."""
    assert str not in get_type_hints(KINDS[name].__init__).values()


@pytest.mark.parametrize("name", KINDS)
def test_repr_shows_every_argument_on_one_screen(name: str) -> None:
    instance = made(name)
    text = repr(instance)
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert text.startswith(f"{KINDS[name].__name__}(")
    for argument in inspect.signature(KINDS[name]).parameters:
        assert f"{argument}={instance.arguments[argument]!r}" in text


@pytest.mark.parametrize("name", KINDS)
def test_repr_shows_a_changed_argument(name: str) -> None:
    parameters = inspect.signature(KINDS[name]).parameters
    for argument, value in DAMPING.items():
        if argument in parameters:
            assert f"{argument}={value!r}" in repr(made(name, **{argument: value}))


@pytest.mark.parametrize("name", KINDS)
def test_a_copy_has_the_arguments_of_its_original(name: str) -> None:
    original = made(name)
    copied = copy.deepcopy(original)
    assert copied.arguments.keys() == original.arguments.keys()
    assert type(copied) is type(original)


def test_repr_of_a_method_shows_its_modulation() -> None:
    modulation = SMP(tau=(1, 1))
    joint = Joint(modulation=modulation, teachers=Bench("joint").teachers())
    inner = indent(f"modulation={modulation!r},", "  ")
    assert repr(joint).startswith(f"Joint(\n  unimodal=0.0,\n{inner}\n  teachers=Teachers(")


def test_a_misspelled_argument_is_refused_by_the_constructor_s_name() -> None:
    with pytest.raises(TypeError, match=r"SMP\.__init__\(\) got an unexpected keyword argument"):
        SMP(tua=(1, 1))  # type: ignore[call-arg]


@pytest.mark.parametrize(("kind", "argument"), [(G2D, "alpha"), (G2D, "beta"), (UMT, "weight")])
def test_weights_by_modality_must_name_every_modality(kind: type[Method], argument: str) -> None:
    bench = Bench("g2d")
    method = kind(teachers=bench.teachers(), **{argument: {"sight": 1.0}})
    rule = rf"{argument} must name every modality once \(sight, sound\), found sight\."
    with pytest.raises(ArgumentError, match=rule):
        method.build(bench.model(), bench.task)
