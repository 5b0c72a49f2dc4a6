"""A mapping as it stands in a recipe file -> the parts of a recipe, or every fault it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from g2d.datasets import DATASETS
from g2d.encoders import ENCODERS, HUGGING_FACE, encoder_options
from g2d.engine.options import TrainOptions
from g2d.errors import ArgumentError, RecipeError
from g2d.functional.schedule import stage_epochs
from g2d.fusion import FUSIONS, READ_FROM_DATA
from g2d.method import Method
from g2d.methods import METHODS
from g2d.model import Teachers
from g2d.modulations import MODULATIONS
from g2d.recipe.checking import REQUIRED, Faults, Option, arguments, join
from g2d.recipe.parts import Checkpoint, Named, TeacherPlan
from g2d.recipe.reading import METHODS_KEY, Given, named
from g2d.recipe.variants import VARIANTS

NO_STAGES = "none"
"""The tau of a method that trains its loss without prioritization."""
TOP = {
    "name": Option(str, None),
    "seed": Option(int, 0),
    "epochs": Option(int | None, None),
    "warm_start": Option(bool, False),
    "controls": Option(bool, False),
    "stack": Option(int, 0),
}
METHOD_NAMES = (*METHODS, *VARIANTS)
"""What a user may write where a method is chosen."""
SECTIONS = ("data", "encoders", "fusion", "method", "train", "teachers")
TEACHERS = {
    "seed": Option(int | None, None),
    "epochs": Option(int | None, None),
    "distil_checkpoint": Option(Checkpoint, "best"),
    "ranking_checkpoint": Option(Checkpoint, "best"),
    "folder": Option(str | None, None),
}


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
    content = {**content, "encoders": _without_null(content.get("encoders"))}
    table = given.content.get(METHODS_KEY)
    if table is not None and not isinstance(table, Mapping):
        check.wrong(METHODS_KEY, "a mapping of names of methods to values", table)
    for name in table if isinstance(table, Mapping) else ():
        check.choose(METHODS_KEY, name, METHOD_NAMES, "method")
    for key in content.keys() - TOP.keys() - set(SECTIONS):
        check.unknown(str(key), "key", [*TOP, *SECTIONS], whose="a recipe")
    top = {key: option.default for key, option in TOP.items()} | check.options(
        "", {k: v for k, v in content.items() if k in TOP}, TOP
    )
    if top["stack"] < 0:
        check.append(f"stack must be a number of teacher sets, 0 or more, found {top['stack']}.")
    data = _data(check, content.get("data"), content.get("encoders"))
    encoders = _encoders(check, content.get("encoders"), data)
    modalities = tuple(encoders)
    fusion = _registered(
        check,
        "fusion",
        content.get("fusion") or "late",
        FUSIONS,
        "fusion",
        lambda name: arguments(FUSIONS[name], READ_FROM_DATA),
    )
    method, modulation = _method(check, content.get("method"), modalities)
    train = _train(check, content, top, method, modulation, modalities)
    plan = _teachers(check, content.get("teachers"), train, top["epochs"], modalities)
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
        "warm_start": top["warm_start"],
        "train": train,
        "teachers": plan,
        "controls": top["controls"],
        "stack": top["stack"],
    }


def _without_null(section: Any) -> Any:
    """Return a mapping without the keys whose value is null."""
    if not isinstance(section, dict):
        return section
    return {key: value for key, value in section.items() if value is not None}


def _section(check: Faults, path: str, value: Any) -> dict[str, Any] | None:
    """A named section in its long form, or None and a fault."""
    value = named(value)
    if value is None:
        check.append(f"{path} must be given, found nothing: a name, or a mapping with a name.")
    elif not isinstance(value, dict):
        check.wrong(path, "a name, or a mapping with a name", value)
    elif "name" not in value:
        check.append(
            f"{path}.name must be given, found only {', '.join(map(str, value)) or 'nothing'}."
        )
    else:
        return value
    return None


def _registered(
    check: Faults,
    path: str,
    value: Any,
    registry: Mapping[str, Any],
    kind: str,
    options: Callable[[str], dict[str, Option]],
    leave_out: tuple[str, ...] = (),
    names: Collection[str] | None = None,
) -> Named | None:
    """A section whose name is registered and whose options fit the signature of what it names."""
    section = _section(check, path, value)
    if section is None or not check.choose(
        join(path, "name") if isinstance(value, dict) and len(value) > 1 else path,
        section["name"],
        names or registry,
        kind,
    ):
        return None
    allowed = options(section["name"])
    given = {key: inner for key, inner in section.items() if key not in ("name", *leave_out)}
    right = check.options(path, given, allowed, whose=section["name"])
    defaults = {
        key: list(option.default) if isinstance(option.default, tuple) else option.default
        for key, option in allowed.items()
    }
    return Named(
        section["name"],
        {key: default for key, default in defaults.items() if default is not REQUIRED} | right,
    )


def _data(check: Faults, value: Any, encoders: Any) -> Named | None:
    section = _section(check, "data", value)
    if section is None or not check.choose(
        "data.name" if isinstance(value, dict) else "data", section["name"], DATASETS, "data set"
    ):
        return None
    given = {key: inner for key, inner in section.items() if key != "name"}
    model = DATASETS[section["name"]].options
    if (
        "modalities" in model.model_fields
        and given.get("modalities") is None
        and isinstance(encoders, dict)
    ):
        given["modalities"] = list(encoders)  # what is encoded is what is wanted
    options = check.model("data", given, model, whose=section["name"])
    return None if options is None else Named(section["name"], options.model_dump(mode="json"))


def _encoders(check: Faults, value: Any, data: Named | None) -> dict[str, Named]:
    if not isinstance(value, dict) or not value:
        check.append(f"encoders must be a mapping of modalities to encoders, found {value!r}.")
        return {}
    expected = None if data is None else data.options.get("modalities")
    if expected:
        for m in value.keys() - set(expected):
            check.unknown(
                f"encoders.{m}", "key", expected, whose=f"data.modalities {list(expected)}"
            )
        check.extend(
            f"encoders.{m} must be given, found none for this modality of the data."
            for m in expected
            if m not in value
        )
    order = [m for m in expected or value if m in value]
    built = {
        m: _registered(
            check, f"encoders.{m}", value[m], _EncoderNames(ENCODERS), "encoder", _encoder_arguments
        )
        for m in order
    }
    return {m: encoder or Named("") for m, encoder in built.items()}


class _EncoderNames(dict[str, Any]):
    """The encoders that exist by name, and those of the Hugging Face library: ``hf:<name or folder>``."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (
            isinstance(name, str) and name.startswith(HUGGING_FACE) and name != HUGGING_FACE
        )


def _encoder_arguments(name: str) -> dict[str, Option]:
    return {
        key: Option(p.annotation, REQUIRED if p.default is p.empty else p.default)
        for key, p in encoder_options(name).items()
    }


def _method(
    check: Faults, value: Any, modalities: tuple[str, ...]
) -> tuple[Named | None, Named | None]:
    value = _with_tau(value)
    method = _registered(
        check,
        "method",
        value,
        METHODS,
        "method",
        lambda name: arguments(METHODS[name], ("teachers", "modulation")),
        leave_out=("modulation",),
        names=METHOD_NAMES,
    )
    modulation, given = None, value.get("modulation") if isinstance(value, dict) else None
    if given is not None and method is not None:
        if "modulation" not in arguments(METHODS[method.name]):
            check.append(
                f"method.modulation must be left out for {method.name}, which takes none, found {given!r}."
            )
        else:
            modulation = _registered(
                check,
                "method.modulation",
                given,
                MODULATIONS,
                "modulation",
                lambda name: arguments(MODULATIONS[name]),
            )
    for path, part in (("method", method), ("method.modulation", modulation)):
        _check_by_modality(check, path, part, modalities)
    if (
        not check and method is not None
    ):  # the constructors' own rules; without teachers, which do not exist yet
        check.construct("method", lambda: make_method(method, modulation, Teachers({})))
    return method, modulation


def _with_tau(section: Any) -> Any:
    """Write the word ``none`` for a tau of null, and for one left out beside another modulation.

    Recipes of earlier versions have ``tau: null`` for the loss without prioritization.
    """
    if not isinstance(section, dict):
        return section
    null = "tau" in section and section["tau"] is None
    replaced = section.get("modulation") is not None and "tau" not in section
    options = METHODS[section["name"]] if section.get("name") in METHODS else None
    if null or (replaced and options is not None and "tau" in arguments(options)):
        return {**section, "tau": NO_STAGES}
    return section


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


def _check_by_modality(
    check: Faults, path: str, part: Named | None, modalities: tuple[str, ...]
) -> None:
    """tau has one length per modality, and a mapping one value for each."""
    if part is None or not modalities:
        return
    for key, value in part.options.items():
        if key == "tau" and isinstance(value, list) and len(value) != len(modalities):
            check.append(
                f"{path}.tau must hold one length per modality ({len(modalities)}: {', '.join(modalities)}), found {list(value)}."
            )
        elif isinstance(value, Mapping):
            for name in value.keys() - set(modalities):
                check.unknown(f"{path}.{key}.{name}", "key", modalities, whose="the modalities")
            check.extend(
                f"{path}.{key}.{m} must be given, found none for this modality."
                for m in modalities
                if m not in value
            )


def _train_options() -> dict[str, Option]:
    hints = get_type_hints(TrainOptions)
    options = {}
    for f in fields(TrainOptions):
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        options[f.name] = Option(hints[f.name], REQUIRED if default is MISSING else default)
    return {name: option for name, option in options.items() if name not in ("epochs", "seed")}


def _train(
    check: Faults,
    content: Mapping[str, Any],
    top: dict[str, Any],
    method: Named | None,
    modulation: Named | None,
    modalities: tuple[str, ...],
) -> TrainOptions | None:
    right = _train_section(check, "train", content.get("train"), modalities)
    unreadable = content.get("epochs") is not None and top["epochs"] is None
    epochs = (
        None
        if unreadable or method is None
        else _epochs(check, top["epochs"], method, modulation, modalities)
    )
    if epochs is None or right is None:
        return None
    options: TrainOptions | None = check.construct(
        "train", lambda: TrainOptions(epochs=epochs, seed=top["seed"], **right)
    )
    return options


def _train_section(
    check: Faults, path: str, value: Any, modalities: tuple[str, ...]
) -> dict[str, Any] | None:
    if value is None:
        return {}
    if not isinstance(value, dict):
        check.wrong(path, "a mapping of keys to values", value)
        return None
    check.extend(
        f"{path}.{key} must stand outside the section {path!r}, found it inside: write {key}."
        for key in ("epochs", "seed")
        if key in value
    )
    right = check.options(
        path,
        {key: inner for key, inner in value.items() if key not in ("epochs", "seed")},
        TRAIN,
        whose="train",
    )
    groups = (*modalities, "fusion", "method")
    for name in right.get("group_lr", {}).keys() - set(groups):
        check.unknown(f"{path}.group_lr.{name}", "key", groups, whose="the parameter groups")
    return {key: tuple(inner) if isinstance(inner, list) else inner for key, inner in right.items()}


def _epochs(
    check: Faults,
    given: int | None,
    method: Named,
    modulation: Named | None,
    modalities: tuple[str, ...],
) -> int | None:
    """Return the number of epochs, and replace shares in tau, or a tau left out, by whole epochs."""
    if not METHODS[method.name].trains:
        return 0
    parts = [("method.tau", method), ("method.modulation.tau", modulation)]
    for path, part in parts:
        if part is None or "tau" not in part.options or part.options["tau"] == NO_STAGES:
            continue
        tau = part.options["tau"]
        whole = tau is not None and all(isinstance(length, int) for length in tau)
        if whole and given not in (None, sum(tau)):
            check.append(
                "epochs must be the sum of tau or left out,"
                f" found epochs={given} and {path}={list(tau)}, whose sum is {sum(tau)}."
            )
            return None
        if whole:
            given = sum(tau)
        elif given is not None:
            try:
                part.options["tau"] = list(stage_epochs(tau, given, modalities))
            except ArgumentError as error:
                check.append(str(error))
                return None
    if given is None:
        check.append(
            "epochs must be given, found nothing. Only a tau of whole epochs can replace it."
        )
        return None
    if given < 1:
        check.append(f"epochs must be 1 or more, found {given}.")
        return None
    return given


def _teachers(
    check: Faults,
    value: Any,
    train: TrainOptions | None,
    given: int | None,
    modalities: tuple[str, ...],
) -> TeacherPlan | None:
    if value is not None and not isinstance(value, dict):
        check.wrong("teachers", "a mapping of keys to values", value)
        return None
    section = dict(value or {})
    own = _train_section(check, "teachers.train", section.pop("train", None), modalities)
    plan = {key: option.default for key, option in TEACHERS.items()} | check.options(
        "teachers", section, {**TEACHERS, "train": Option(Any, None)}, whose="teachers"
    )
    if train is None or own is None:
        return None
    # A student that is not trained leaves its epochs to its teachers.
    epochs = (train.epochs or given or 0) if plan["epochs"] is None else plan["epochs"]
    if epochs < 1:
        found = "nothing" if plan["epochs"] is None else epochs
        check.append(
            f"teachers.epochs must be 1 or more, found {found}. Give teachers.epochs or epochs."
        )
        return None
    seed = train.seed if plan["seed"] is None else plan["seed"]
    # Calibration weighs heads against each other; a teacher has one.
    options = check.construct(
        "teachers.train",
        lambda: replace(train, **{"calibrate": False, **own, "epochs": epochs, "seed": seed}),
    )
    folder = None if plan["folder"] is None else Path(plan["folder"])
    return (
        None
        if options is None
        else TeacherPlan(options, plan["distil_checkpoint"], plan["ranking_checkpoint"], folder)
    )


TRAIN = _train_options()
