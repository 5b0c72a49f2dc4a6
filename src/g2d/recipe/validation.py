"""The rules of a recipe that concern more than one key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from g2d.engine.options import TrainOptions
from g2d.errors import RecipeError
from g2d.files import NAME_RULE, is_plain_name
from g2d.functional.schedule import stage_epochs
from g2d.method import Method
from g2d.methods import METHODS
from g2d.model import Teachers
from g2d.modulations import MODULATIONS
from g2d.recipe.earlier import completed
from g2d.recipe.faults import Faults, join
from g2d.recipe.parts import Named, TeacherPlan
from g2d.recipe.reading import METHODS_KEY, Given, named, sections
from g2d.recipe.schema import (
    METHOD_NAMES,
    NAMES,
    Keys,
    options_model,
    takes_modulation,
)
from g2d.runs import TEACHERS
from g2d.types import is_name

BY_NAME = ("data", "encoders", "fusion", "method")
"""Sections whose keys depend on the name that is chosen in them."""
NO_STAGES = "none"
"""The tau of a method that trains its loss without prioritization."""


def validate(
    content: Mapping[str, Any],
    given: Given,
    chosen: str | None,
    source: str,
    faults: Iterable[str] = (),
) -> dict[str, Any]:
    """Return the fields of a :class:`~g2d.recipe.Recipe`.

    Args:
        content: The composed mapping.
        given: What it was composed from.
        chosen: The name of the method or variant.
        source: What an error message calls the recipe.
        faults: Faults found so far.

    Raises:
        RecipeError: The recipe has faults; the message lists all of them.
    """
    check = Faults(faults)
    plans = {key: value for key, value in content.items() if key not in BY_NAME}
    table = given.content.get(METHODS_KEY)
    top = check.values("", plans | {METHODS_KEY: table}, Keys, "a recipe")
    _check_name(check, top["name"])
    for name in top[METHODS_KEY]:
        check.choose(METHODS_KEY, name, METHOD_NAMES, "method")
    data, encoders = _data(check, content.get("data"), content.get("encoders"))
    modalities = tuple(encoders)
    fusion = _named(check, "fusion", content.get("fusion") or "late", "fusion")
    method, modulation = _method(check, content.get("method"), modalities)
    if content.get("epochs") is not None and top["epochs"] is None:
        method = None  # unreadable: whatever depends on the number of epochs is not checked
    epochs = _epochs(check, top["epochs"], method, modulation, modalities)
    groups = (*modalities, "fusion", "method")
    for path, section in (("train", top["train"]), ("teachers.train", top["teachers"]["train"])):
        for name in section["group_lr"].keys() - set(groups):
            check.unknown(f"{path}.group_lr.{name}", groups, "the parameter groups")
    train = teachers = None
    if epochs is not None:
        options = {"epochs": epochs, "seed": top["seed"], **_tuples(top["train"])}
        train = check.construct("train", lambda: TrainOptions(**options))
    if train is not None:
        (own,) = sections(content, "teachers", "train") or [{}]
        teachers = _teachers(check, top["teachers"], own, train, top["epochs"])
    _check_validation(check, data, train, teachers)
    if check:
        raise RecipeError(check, source)
    assert data is not None
    assert method is not None
    return {
        "name": top["name"] or f"{given.label or data.name}-{chosen or method.name}",
        "data": data,
        "encoders": encoders,
        "fusion": fusion,
        "method": method,
        "modulation": modulation,
        "train": train,
        "teachers": teachers,
        **{key: top[key] for key in ("warm_start", "controls", "stack")},
    }


def make_method(method: Named, modulation: Named | None, teachers: Teachers | None) -> Method:
    """Return the method with its hyperparameters.

    Args:
        method: Its name and options.
        modulation: The modulation that takes the place of the method's own, if any.
        teachers: The teachers, for a method or modulation that needs them.
    """
    cls, options = METHODS[method.name], dict(method.options)
    if modulation is not None:
        if options.get("tau") == NO_STAGES:
            del options["tau"]
        options["modulation"] = MODULATIONS[modulation.name](**modulation.options)
    if cls.needs_teachers or modulation is not None:
        options["teachers"] = teachers
    made: Method = cls(**options)
    return made


def _check_name(check: Faults, name: str) -> None:
    """Require that a given name can be that of a folder next to the teachers' folder."""
    if name and not is_plain_name(name):
        check.wrong("name", NAME_RULE, name)
    elif name == TEACHERS:
        check.append(f"name must not be {TEACHERS!r}, the folder of all teachers.")


def _check_validation(
    check: Faults, data: Named | None, train: TrainOptions | None, teachers: TeacherPlan | None
) -> None:
    """Require that selection on the test split is declared where the test rows validate."""
    if data is None or data.options.get("validation") != "test":
        return
    plans = {"train": train, "teachers.train": None if teachers is None else teachers.train}
    check.extend(
        f"{path}.select_on must be test with data.validation=test, found {plan.select_on}: the"
        " test rows validate, and every result must be marked."
        for path, plan in plans.items()
        if plan is not None and plan.select_on != "test"
    )


def _named(check: Faults, path: str, value: Any, kind: str, **further: Any) -> Named | None:
    """Return a section with a registered name, its options checked and complete.

    Args:
        check: The faults so far.
        path: The dotted key of the section.
        value: A name, or a mapping with a name and options.
        kind: What the name names, a key of :data:`NAMES`.
        further: Options that are added if they are not given.
    """
    section = named(value)
    if section is None:
        check.append(f"{path} must be given, found nothing: a name, or a mapping with a name.")
    elif not isinstance(section, dict):
        check.wrong(path, "a name, or a mapping with a name", section)
    elif "name" not in section:
        keys = ", ".join(map(str, section)) or "nothing"
        check.append(f"{path}.name must be given, found only {keys}.")
    elif check.choose(
        join(path, "name") if len(section) > 1 else path, section["name"], NAMES[kind], kind
    ):
        name = section["name"]
        model = options_model(kind, name)
        options = {key: inner for key, inner in section.items() if key != "name"}
        for key, inner in further.items():
            if key in model.model_fields and options.get(key) is None:
                options[key] = inner
        return Named(name, check.values(path, options, model, name))
    return None


def _data(check: Faults, value: Any, encoders: Any) -> tuple[Named | None, dict[str, Named]]:
    """Return the data and the encoders; without ``data.modalities`` the encoders say which."""
    if isinstance(encoders, dict):
        encoders = {m: encoder for m, encoder in encoders.items() if encoder is not None}
    encoded = {"modalities": list(encoders)} if isinstance(encoders, dict) else {}
    faults = len(check)
    data = _named(check, "data", value, "data set", **encoded)
    if not isinstance(encoders, dict) or not encoders:
        check.wrong("encoders", "a mapping of modalities to encoders", encoders)
        return data, {}
    for m in encoders:
        if not isinstance(m, str) or not is_name(m):
            check.wrong("a modality of encoders", f"{NAME_RULE}, without dots", m)
            return data, {}
    expected = None if data is None or len(check) > faults else data.options.get("modalities")
    if expected:
        for m in encoders.keys() - set(expected):
            check.unknown(f"encoders.{m}", expected, f"data.modalities {list(expected)}")
        check.extend(
            f"encoders.{m} must be given, found none for this modality of the data."
            for m in expected
            if m not in encoders
        )
    return data, {
        m: _named(check, f"encoders.{m}", encoders[m], "encoder") or Named("")
        for m in expected or encoders
        if m in encoders
    }


def _method(
    check: Faults, value: Any, modalities: tuple[str, ...]
) -> tuple[Named | None, Named | None]:
    section = dict(named(value)) if isinstance(value, dict | str) else value
    inner = section.pop("modulation", None) if isinstance(section, dict) else None
    # Older recipes have tau: null for the loss without prioritization.
    if isinstance(section, dict) and "tau" in section and section["tau"] is None:
        section["tau"] = NO_STAGES
    if isinstance(section, dict) and section.get("name") in list(METHODS):
        section = completed(section, options_model("method", section["name"]).model_fields)
    replaced = {"tau": NO_STAGES} if inner is not None else {}
    method = _named(check, "method", section, "method", **replaced)
    modulation = None
    if inner is not None and method is not None:
        if takes_modulation(method.name):
            modulation = _named(check, "method.modulation", inner, "modulation")
        else:
            check.append(
                f"method.modulation must be left out for {method.name}, which takes none,"
                f" found {inner!r}."
            )
    for path, part in (("method", method), ("method.modulation", modulation)):
        _check_by_modality(check, path, part, modalities)
    if not check and method is not None:  # the constructors' own rules; the teachers come later
        check.construct("method", lambda: make_method(method, modulation, Teachers({})))
    return method, modulation


def _check_by_modality(
    check: Faults, path: str, part: Named | None, modalities: tuple[str, ...]
) -> None:
    """Require one length of tau per modality, and one value per modality in a mapping."""
    for key, value in part.options.items() if part is not None and modalities else ():
        if key == "tau" and isinstance(value, list) and len(value) != len(modalities):
            names = f"{len(modalities)}: {', '.join(modalities)}"
            check.append(f"{path}.tau must hold one length per modality ({names}), found {value}.")
        elif isinstance(value, Mapping):
            for name in value.keys() - set(modalities):
                check.unknown(f"{path}.{key}.{name}", modalities, "the modalities")
            check.extend(
                f"{path}.{key}.{m} must be given, found none for this modality."
                for m in modalities
                if m not in value
            )


def _epochs(
    check: Faults,
    given: int | None,
    method: Named | None,
    modulation: Named | None,
    modalities: tuple[str, ...],
) -> int | None:
    """Return the number of epochs, and replace shares in tau, or a tau left out, by whole epochs.

    A student that is not trained has no epochs.
    """
    if method is None:
        return None
    if not METHODS[method.name].trains:
        return 0
    for path, part in (("method.tau", method), ("method.modulation.tau", modulation)):
        options = {} if part is None else part.options
        tau = options.get("tau", NO_STAGES)
        if tau == NO_STAGES or (tau is None and given is None):
            continue
        if tau is not None and all(isinstance(length, int) for length in tau):
            if given not in (None, sum(tau)):
                check.append(
                    "epochs must be the sum of tau or left out,"
                    f" found epochs={given} and {path}={tau}, whose sum is {sum(tau)}."
                )
                return None
            given = sum(tau)
        elif given is not None:
            lengths = check.construct("", partial(stage_epochs, tau, given, modalities))
            options["tau"] = None if lengths is None else list(lengths)
    if given is None:
        check.append(
            "epochs must be given, found nothing. Only a tau of whole epochs can replace it."
        )
    elif given < 1:
        check.append(f"epochs must be 1 or more, found {given}.")
    else:
        return given
    return None


def _teachers(
    check: Faults,
    section: Mapping[str, Any],
    own: Any,
    train: TrainOptions,
    given: int | None,
) -> TeacherPlan | None:
    """Return how the teachers are trained: like the student, unless the section differs.

    A student that is not trained leaves its number of epochs to its teachers.

    Args:
        check: The faults so far.
        section: The section ``teachers`` with its defaults.
        own: Options of training as the section gives them.
        train: The student's options.
        given: Number of epochs that the recipe gives.
    """
    plan = dict(section)
    options = _tuples(plan.pop("train"))
    given_here = {k for k, v in own.items() if v is not None} if isinstance(own, Mapping) else set()
    options = {key: value for key, value in options.items() if key in given_here}
    epochs, seed = plan.pop("epochs"), plan.pop("seed")
    length = (train.epochs or given or 0) if epochs is None else epochs
    if length < 1:
        number = "nothing" if epochs is None else epochs
        check.append(
            f"teachers.epochs must be 1 or more, found {number}. Give teachers.epochs or epochs."
        )
        return None
    options |= {"epochs": length, "seed": train.seed if seed is None else seed}
    # Calibration weights heads against each other; a teacher has one head.
    options = {"calibrate": False, **options}
    trained = check.construct("teachers.train", lambda: replace(train, **options))
    return trained and TeacherPlan(trained, **plan)


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with tuples in place of lists."""
    return {k: tuple(value) if isinstance(value, list) else value for k, value in options.items()}
