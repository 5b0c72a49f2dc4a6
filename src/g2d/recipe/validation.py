"""The rules of a recipe that concern more than one key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from g2d.engine.options import TrainOptions
from g2d.errors import RecipeError
from g2d.files import NAME_RULE, is_plain_name
from g2d.functional.schedule import stage_epochs
from g2d.fusion import FUSIONS
from g2d.method import AUTO, LAG, Method, automatic, checked_ranking, kind_of
from g2d.methods import METHODS
from g2d.model import Teachers
from g2d.modulations import MODULATIONS
from g2d.recipe.faults import Faults, join
from g2d.recipe.parts import Named, TeacherPlan
from g2d.recipe.reading import METHODS_KEY, named
from g2d.recipe.schema import METHOD_NAMES, NAMES, Keys, options_model, takes_modulation
from g2d.runs import TEACHERS
from g2d.types import is_name

BY_NAME = ("data", "encoders", "fusion", "method")
"""Sections whose keys depend on the name that is chosen in them."""
NO_STAGES = "none"
"""The tau of a method that trains its loss without prioritization."""


def validate(content: Mapping[str, Any], source: str, faults: Iterable[str]) -> dict[str, Any]:
    """Return the fields of a :class:`~g2d.recipe.Recipe`; the name may be empty.

    Args:
        content: The composed mapping.
        source: What an error message calls the recipe.
        faults: Faults found so far.

    Raises:
        RecipeError: The recipe has faults; the message lists all of them.
    """
    check = _Check(faults)
    top = check.values("", {k: v for k, v in content.items() if k not in BY_NAME}, Keys, "a recipe")
    data, encoders = check.data(content.get("data"), content.get("encoders"))
    check.names(top, (*encoders, "fusion", "method"))
    fusion = check.part("fusion", content.get("fusion") or "late", "fusion")
    parts = check.method(content.get("method"), tuple(encoders))
    method = parts["method"]
    check.rankings(parts, fusion)
    epochs = None
    if content.get("epochs") is None or top["epochs"] is not None:  # else it is unreadable
        epochs = check.epochs(top["epochs"], parts, tuple(encoders))
    train = teachers = None
    if epochs is not None:
        options = {"epochs": epochs, "seed": top["seed"], **_tuples(top["train"])}
        train = check.construct("train", lambda: TrainOptions(**options))
    if train is not None:
        teachers = check.teachers(top["teachers"], train, top["epochs"])
    theirs = None if teachers is None else teachers.train
    check.students(top["students"], method)
    check.selection(data, {"train": train, "teachers.train": theirs})
    if check:
        raise RecipeError(check, source)
    return {
        "data": data,
        "encoders": encoders,
        "fusion": fusion,
        "method": method,
        "modulation": parts["method.modulation"],
        "train": train,
        "teachers": teachers,
        **{key: top[key] for key in ("name", "warm_start", "controls", "stack", "students")},
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


class _Check(Faults):
    """The faults of a recipe, found section by section."""

    def names(self, top: Mapping[str, Any], groups: Collection[str]) -> None:
        """Check the recipe's name, which is that of a folder, and names of methods and groups."""
        if top["name"] and not is_plain_name(top["name"]):
            self.wrong("name", NAME_RULE, top["name"])
        elif top["name"] == TEACHERS:
            self.append(f"name must not be {TEACHERS!r}, the folder of all teachers.")
        for name in top[METHODS_KEY]:
            self.choose(METHODS_KEY, name, METHOD_NAMES, "method")
        for path, train in (("train", top["train"]), ("teachers.train", top["teachers"]["train"])):
            for name in [name for name in train["group_lr"] or () if name not in groups]:
                self.unknown(f"{path}.group_lr.{name}", groups, "the parameter groups")

    def part(self, path: str, value: Any, kind: str, **further: Any) -> Named | None:
        """Return a section with a registered name, its options checked and complete.

        Args:
            path: The dotted key of the section.
            value: A name, or a mapping with a name and options.
            kind: What the name names, a key of :data:`NAMES`.
            further: Options that are added if they are not given.
        """
        section = named(value)
        if section is None:
            self.append(f"{path} must be given, found nothing: a name, or a mapping with a name.")
        elif not isinstance(section, dict):
            self.wrong(path, "a name, or a mapping with a name", section)
        elif "name" not in section:
            keys = ", ".join(map(str, section)) or "nothing"
            self.append(f"{path}.name must be given, found only {keys}.")
        elif self.choose(
            join(path, "name") if len(section) > 1 else path, section["name"], NAMES[kind], kind
        ):
            model = options_model(kind, section["name"])
            options = {key: inner for key, inner in section.items() if key != "name"}
            for key, inner in further.items():
                if key in model.model_fields and options.get(key) is None:
                    options[key] = inner
            return Named(section["name"], self.values(path, options, model, section["name"]))
        return None

    def data(self, value: Any, encoders: Any) -> tuple[Named | None, dict[str, Named]]:
        """Return the data and the encoders; without ``data.modalities`` the encoders say which."""
        sections = encoders if isinstance(encoders, dict) else {}
        given = {m: section for m, section in sections.items() if section is not None}
        faults = len(self)
        data = self.part("data", value, "data set", modalities=list(given) or None)
        if not given:
            self.wrong("encoders", "a mapping of modalities to encoders", encoders)
        wrong = [m for m in given if not (isinstance(m, str) and is_name(m))]
        if wrong:
            self.wrong("a modality of encoders", f"{NAME_RULE}, without dots", wrong[0])
        if wrong or not given:
            return data, {}
        chosen = data.options.get("modalities") if data and len(self) == faults else None
        modalities = chosen or list(given)
        self.per_modality("encoders", given, modalities, f"data.modalities {modalities}")
        parts = {
            m: self.part(f"encoders.{m}", given[m], "encoder") for m in modalities if m in given
        }
        return data, {m: part or Named("") for m, part in parts.items()}

    def method(self, value: Any, modalities: tuple[str, ...]) -> dict[str, Named | None]:
        """Return by key the method, and the modulation that takes the place of its own."""
        section, inner = named(value), None
        if isinstance(section, dict):
            inner = section.get("modulation")
            section = {key: option for key, option in section.items() if key != "modulation"}
            # Older recipes have tau: null for the loss without prioritization.
            if section.get("tau", NO_STAGES) is None and not _is_self_timed(section):
                section["tau"] = NO_STAGES
        further = {} if inner is None else {"tau": NO_STAGES}
        method, modulation = self.part("method", section, "method", **further), None
        if inner is not None and method is not None:
            if takes_modulation(method.name):
                modulation = self.part("method.modulation", inner, "modulation")
            else:
                rule = f"left out for {method.name}, which takes none"
                self.wrong("method.modulation", rule, inner)
        parts = {"method": method, "method.modulation": modulation}
        for path, part in parts.items():
            for key, option in part.options.items() if part and modalities else ():
                self.per_modality(f"{path}.{key}", option, modalities, "the modalities")
        if not self and method is not None:  # the constructors' own rules; the teachers come later
            self.construct("method", lambda: make_method(method, modulation, Teachers({})))
        return parts

    def per_modality(self, path: str, option: Any, modalities: Collection[str], owner: str) -> None:
        """Require one length of tau, place in the ranking, or value per modality."""
        if path.endswith(".tau") and isinstance(option, list) and len(option) != len(modalities):
            rule = f"one length per modality ({len(modalities)}: {', '.join(modalities)})"
            self.append(f"{path} must hold {rule}, found {option}.")
        elif path.endswith(".ranking") and isinstance(option, list):
            self.construct(path, partial(checked_ranking, option, tuple(modalities)))
        elif isinstance(option, Mapping):
            for m in [m for m in option if m not in modalities]:
                self.unknown(f"{path}.{m}", modalities, owner)
            for m in [m for m in modalities if m not in option]:
                self.append(f"{path}.{m} must be given, found none for this modality of the data.")

    def rankings(self, parts: Mapping[str, Named | None], fusion: Named | None) -> None:
        """Replace the ranking ``auto`` by the one that it means with this fusion and tau."""
        for part in parts.values():
            if part and fusion and part.options.get("ranking") == AUTO:
                tau, additive = part.options.get("tau"), FUSIONS[fusion.name].additive
                part.options["ranking"] = automatic(tau, additive=additive)

    def epochs(
        self, given: int | None, parts: Mapping[str, Named | None], modalities: tuple[str, ...]
    ) -> int | None:
        """Return the number of epochs, and replace shares in tau, or a tau left out, by epochs.

        A student that is not trained has no epochs.
        """
        method = parts["method"]
        if method is None or not METHODS[method.name].trains:
            return None if method is None else 0
        for path, part in parts.items():
            tau: Any = part.options.get("tau", NO_STAGES) if part else NO_STAGES
            if not part or tau == NO_STAGES or (tau is None and _is_self_timed(part.options)):
                continue
            if tau is not None and all(isinstance(length, int) for length in tau):
                if given not in (None, sum(tau)):
                    self.append(
                        "epochs must be the sum of tau or left out,"
                        f" found epochs={given} and {path}.tau={tau}, whose sum is {sum(tau)}."
                    )
                    return None
                given = sum(tau)
            elif given is not None:
                lengths = self.construct("", partial(stage_epochs, tau, given, modalities))
                part.options["tau"] = lengths and list(lengths)
        if given is None:
            self.append(
                "epochs must be given, found nothing. Only a tau of whole epochs can replace it."
            )
        elif given < 1:
            self.wrong("epochs", "1 or more", given)
        return given if given and given > 0 else None

    def teachers(
        self, section: Mapping[str, Any], train: TrainOptions, given: int | None
    ) -> TeacherPlan | None:
        """Return how the teachers are trained: like the student, unless the section differs.

        A student that is not trained leaves its number of epochs to its teachers.

        Args:
            section: The section ``teachers`` with its defaults.
            train: The student's options.
            given: Number of epochs that the recipe gives.
        """
        plan = dict(section)
        epochs, seed, folder = plan.pop("epochs"), plan.pop("seed"), plan.pop("folder")
        length = (train.epochs or given or 0) if epochs is None else epochs
        if length < 1:
            number = "nothing" if epochs is None else epochs
            rule = f"must be 1 or more, found {number}. Give teachers.epochs or epochs."
            self.append(f"teachers.epochs {rule}")
            return None
        own = {key: value for key, value in _tuples(plan.pop("train")).items() if value is not None}
        # Calibration weights heads against each other; a teacher has one head.
        own = {"calibrate": False, "seed": train.seed if seed is None else seed, **own}
        trained = self.construct("teachers.train", lambda: replace(train, epochs=length, **own))
        return trained and TeacherPlan(trained, folder=folder and Path(folder), **plan)

    def students(self, number: int, method: Named | None) -> None:
        """Refuse several students of a method that trains none."""
        if number > 1 and method is not None and not METHODS[method.name].trains:
            self.wrong("students", f"1 for {method.name}, which trains no student", number)

    def selection(self, data: Named | None, plans: Mapping[str, TrainOptions | None]) -> None:
        """Require that selection on the test split is declared where the test rows validate."""
        if data is not None and data.options.get("validation") == "test":
            self.extend(
                f"{path}.select_on must be test with data.validation=test, found {plan.select_on}:"
                " the test rows validate, and every result must be marked."
                for path, plan in plans.items()
                if plan is not None and plan.select_on != "test"
            )


def _is_self_timed(options: Mapping[str, Any]) -> bool:
    """Return whether the ranking of some options decides how long the stages are."""
    return kind_of(options.get("ranking") or ())[0] == LAG


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with tuples in place of lists."""
    return {k: tuple(value) if isinstance(value, list) else value for k, value in options.items()}
