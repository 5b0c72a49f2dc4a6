"""Typed parts of a result of ``g2d fit``: its plan, its members, and the choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from g2d.errors import RunError
from g2d.files import NAME_RULE, is_plain_name, read_json, write_json
from g2d.runs.content import Content, Metrics, Number
from g2d.runs.names import PLAN, TEACHERS

Condition = Literal["", "silent"]
"""When a member is trained: always, or if no interaction was found and joint training is behind
the calibrated teachers."""


SHARED = ("data", "name", "stack", "students", "controls")
"""Keys of a recipe that a member cannot change."""


class Planned(Content):
    """A member that is to be trained.

    Args:
        name: Its name, and the name of its folder.
        about: What it is, in words.
        settings: Values that it changes in the recipe, by dotted key.
        when: Its condition.
        teachers: Whether it is a set of teachers, one model per modality.
        passes: Cost of its training, in passes of the training rows per epoch.

    Raises:
        ValidationError: An unknown key, or a setting that all members share.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    about: str
    settings: dict[str, Any] = Field(default_factory=dict)
    when: Condition = ""
    teachers: bool = False
    passes: int = 1

    @field_validator("settings")
    @classmethod
    def _own(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for key in settings:
            if key.partition(".")[0] in SHARED:
                raise ValueError(f"{key} must be the same for all members")
        return settings


class Plan(Content):
    """Content of ``plan.json``: what a fit trains, decided once.

    Args:
        budget: The budget as it was given.
        passes: Largest number of passes.
        seconds_per_pass: Measured cost of a pass over all epochs; None for a named budget.
        members: What is trained, in this order.
        left_out: Members that the budget does not allow, with the reason.
        metric: Metric that chooses.
        recipe: The resolved recipe that the members change.

    Raises:
        ValidationError: The members do not begin with the teachers, or their names cannot be those
            of their folders.
    """

    budget: str
    passes: int
    seconds_per_pass: float | None = None
    members: list[Planned]
    left_out: dict[str, str] = Field(default_factory=dict)
    metric: str
    recipe: dict[str, Any]

    @field_validator("members")
    @classmethod
    def _in_order(cls, members: list[Planned]) -> list[Planned]:
        names = [member.name for member in members]
        if not members or names[0] != TEACHERS or not members[0].teachers:
            raise ValueError(f"the first member must be {TEACHERS}, with teachers: true")
        for name in names:
            if not is_plain_name(name) or names.count(name) > 1:
                raise ValueError(f"names must be unique, of {NAME_RULE}, found {name!r:.300}")
        return members

    def write(self, folder: Path) -> None:
        """Write ``plan.json`` in the folder of a fit atomically."""
        write_json(folder / PLAN, self.plain())


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Args:
        path: A ``plan.json``.

    Raises:
        RunError: There is none, or it is damaged.
    """
    try:
        return Plan.model_validate(read_json(path))
    except FileNotFoundError:
        raise RunError(f"cannot read {path}: no such file.") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        fault = first["msg"].removeprefix("Value error, ")
        reason = f"{key}: {'no such key' if first['type'] == 'extra_forbidden' else fault}"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise RunError(
        f"{path} must be a plan of g2d fit, found damage: {reason}. "
        "Correct it, or delete it to plan again."
    )


class FitMember(Content):
    """A member that was trained.

    Args:
        name: Its name.
        about: What it is, in words.
        teachers: Whether it is a set of teachers.
        passes: Cost of its training, in passes of the training rows per epoch.
        seconds: Duration of its training.
        parameters: Number of its parameters.
        scores: Validation score of its own prediction, before any calibration, under ``fused``;
            of a set of teachers the plain mean of their logits.
        unimodal: Validation score of its prediction from each modality alone.
        relies: Share of the validation score that is lost if a modality comes from another row,
            of a student whose fusion is not a sum.
    """

    name: str
    about: str
    teachers: bool = False
    passes: int = 1
    seconds: Number = 0.0
    parameters: int = 0
    scores: Metrics = Field(default_factory=dict)
    unimodal: Metrics = Field(default_factory=dict)
    relies: dict[str, float | None] = Field(default_factory=dict)


class FitOption(Content):
    """A model that could be chosen: members whose heads are weighted on the validation rows.

    Args:
        members: Names of its members.
        passes: Forward passes of every encoder per prediction.
        parameters: Number of its parameters.
        score: Validation score, with weights from other validation rows.
        loss: Validation loss, likewise.
        behind: Score of the reference minus its own.
        error: Standard error of that difference.
        test: Test metrics; empty unless it was chosen or is a control.
    """

    members: list[str]
    passes: int
    parameters: int
    score: float
    loss: float
    behind: float = 0.0
    error: float = 0.0
    test: Metrics = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The members, joined by plus signs."""
        return " + ".join(self.members)


class FitInteraction(Content):
    """Share of a member's prediction that comes from the interaction of modalities.

    Args:
        state: ``"found"``, ``"not found"`` or ``"not tested"``.
        share: The share with its interval; None if it was not tested.
    """

    state: str
    share: tuple[float, float, float] | None = None


class FitFacts(Content):
    """The members and the choice of ``g2d fit``. Scores are of the validation rows.

    Args:
        paragraph: What was chosen and why, in words.
        budget: The budget as it was given.
        passes: Passes of the training rows per epoch that were used.
        metric: Metric that chooses.
        modalities: Names of the modalities.
        rows: Number of validation rows.
        members: Every member that was trained.
        options: Every model that could be chosen, in order of their cost.
        chosen: Place of the chosen option.
        reference: Place of the option that a cheaper one must come near.
        single: Place of the best option of one model.
        ensemble: Place of the calibrated ensemble of the teachers.
        joint: Place of the first joint model; None if none was trained.
        teachers: Score of every teacher.
        at_chance: Modalities whose teacher is not above chance.
        undecided: Whether no option differs from the chosen one by more than two standard errors.
        own: Score of the chosen model's prediction from each modality alone.
        heads: Weight of every head of the chosen model.
        shares: What every head contributes to the chosen model's prediction, in shares of 1.
        interaction: Whether the answer is in the interaction; None with one modality.
        unstable: Difference of two joint models and its standard error; None if there is one.
        left_out: Members that were not trained, with the reason.
        seconds: Duration of all training.
    """

    paragraph: str = ""
    budget: str
    passes: int
    metric: str
    modalities: list[str]
    rows: int
    members: list[FitMember]
    options: list[FitOption]
    chosen: int
    reference: int
    single: int | None = None
    ensemble: int
    joint: int | None = None
    teachers: Metrics
    at_chance: list[str] = Field(default_factory=list)
    undecided: bool = False
    own: Metrics = Field(default_factory=dict)
    heads: Metrics = Field(default_factory=dict)
    shares: Metrics = Field(default_factory=dict)
    interaction: FitInteraction | None = None
    unstable: tuple[float, float] | None = None
    left_out: dict[str, str] = Field(default_factory=dict)
    seconds: Number = 0.0

    def member(self, name: str) -> FitMember:
        """Return a member by its name."""
        return next(member for member in self.members if member.name == name)
