"""Typed content of ``result.json`` and ``metrics.jsonl``, validated when read.

Keys that a class does not declare are kept, so that files of other versions with the same schema
open and can be written again without loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from g2d.errors import RunError
from g2d.files import read_json
from g2d.manifest import write_signed
from g2d.runs.content import Content as Content
from g2d.runs.content import Metrics as Metrics
from g2d.runs.content import Number
from g2d.runs.fitted import FitFacts
from g2d.runs.names import RESULT

SCHEMA = 1
"""Version of ``result.json`` that is written and read."""


class Scores(Content):
    """Metrics of one split.

    Args:
        fused: Metrics of all modalities together.
        unimodal: Metrics of the model's own logits of each modality.
        rows: Number of rows; None in ``metrics.jsonl``.
        groups: Number of independent groups of rows; None in ``metrics.jsonl``.
    """

    fused: Metrics = Field(default_factory=dict)
    unimodal: dict[str, Metrics] = Field(default_factory=dict)
    rows: int | None = None
    groups: int | None = None


class DataFacts(Content):
    """Description of the data of a run.

    Args:
        name: Name of the data set.
        protocol: Name of the split.
        content_hash: SHA-256 of the content.
        protocol_hash: SHA-256 of the split and of what was fitted on its training rows.
        modalities: Names of the modalities.
        rows: Number of rows per split.
        setting: Setting of a built-in data set.
        options: Options of a built-in data set.
        parameters: Options with which a store was prepared.
        expected: Number of samples of the complete data set.
        partial: Whether samples are missing.
        cautions: Sentences that belong to every number measured on these data.
        kept: Number of prepared samples.
        note: A remark about the data.
    """

    name: str
    protocol: str
    content_hash: str
    protocol_hash: str
    modalities: list[str] = Field(default_factory=list)
    rows: dict[str, int] = Field(default_factory=dict)
    setting: Any = None
    options: Any = None
    parameters: Any = None
    expected: int | None = None
    partial: bool = False
    cautions: list[str] = Field(default_factory=list)
    kept: int | None = None
    note: str = ""


class TeacherResult(Content):
    """One teacher of a run.

    Args:
        test: Its test metrics.
        valid: Its validation metrics.
        confidence: Its mean probability of the true class per split.
        confidence_ratio: Confidence of the student's own logits of this modality on the test
            split, divided by that of the teacher.
        epoch: Epoch of the checkpoint.
        reused: Whether it had been trained for another run.
        seconds: Duration of its training, in seconds.
        folder: Name of its folder.
    """

    test: Metrics
    valid: Metrics = Field(default_factory=dict)
    confidence: Metrics = Field(default_factory=dict)
    confidence_ratio: float | None = None
    epoch: int | None = None
    reused: bool = False
    seconds: Number = 0.0
    folder: str = ""


class Control(Content):
    """A model that needs no deep learning, or no training once the teachers exist.

    Args:
        modality: Modality of the best teacher; None for other controls.
        test: Test metrics.
        unimodal: Test metrics of a linear model on each modality alone.
        strengths: Inverse strength of the penalty of each linear model.
        head_weights: Weight per modality of a calibrated ensemble.
    """

    modality: str | None = None
    test: Metrics = Field(default_factory=dict)
    unimodal: dict[str, Metrics] = Field(default_factory=dict)
    strengths: Metrics = Field(default_factory=dict)
    head_weights: Metrics = Field(default_factory=dict)


class Cost(Content):
    """Cost of a run.

    Args:
        seconds: Duration of the student's training, in seconds.
        epochs: Number of epochs.
        updates: Number of updates.
        skipped_updates: Number of batches left out because their update was not finite.
        flops_per_step: Floating-point operations of one training step of the last epoch.
        updates_per_step: Number of updates per training step.
        passes: Calls of each encoder per training step, under ``encoder_forward`` and
            ``encoder_backward``.
        teacher_seconds: Duration of the teachers' training, in seconds.
    """

    seconds: Number | None = None
    epochs: int | None = None
    updates: int | None = None
    skipped_updates: int = 0
    flops_per_step: Number | None = None
    updates_per_step: int | None = None
    passes: dict[str, dict[str, int]] = Field(default_factory=dict)
    teacher_seconds: Number | None = None


class StackFacts(Content):
    """Stacking of a run.

    Args:
        teacher_sets: Number of sets of teachers stacked with the student; 0 for no stack.
        head_weights: Weight of every stacked head.
        name: Name of the first student.
        students: Recipes of further students by name, resolved.
    """

    teacher_sets: int = 0
    head_weights: Metrics = Field(default_factory=dict)
    name: str = "student"
    students: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Result(Content):
    """Content of ``result.json``: everything that a finished run reports.

    Args:
        schema_version: Version of the format, ``schema`` in the file.
        name: Name of the recipe.
        method: Name of the method.
        fusion: Name of the fusion.
        modalities: Names of the modalities.
        encoders: What was taken of each pretrained model, in words, by modality.
        task: Configuration of the task; ``kind`` is its name.
        data: Description of the data.
        seed: Seed of the run.
        teacher_seed: Seed of its teachers.
        versions: Versions of the libraries.
        threads: Number of threads of torch.
        processes: Number of processes that trained together.
        batchnorm: Rows over which BatchNorm normalized in training: ``none`` (no such layer),
            ``whole batch`` or ``share of each process``; empty in results of earlier versions.
        device: Device of the training.
        epochs: Number of epochs that were trained.
        selected_epoch: Epoch of the selected checkpoint.
        select_on: Split that selects the epoch.
        selection_metric: Metric that selects the epoch.
        calibrated: Whether the heads were calibrated on the validation split.
        additive: Whether the prediction is a sum of one part per modality, which cannot represent
            an interaction; None in results of earlier versions.
        test: Test scores.
        valid: Validation scores.
        teachers: Teacher per modality; empty if the run has none.
        controls: Control by name; empty if the recipe asks for none.
        cost: Cost of the run.
        notices: Warnings of the run.
        complete: Whether the run is complete.
        stack: Stacking of the run.
        files: SHA-256 of the other files of the run; empty in those of earlier versions.
        fit: The members and the choice, of a result of ``g2d fit``.
    """

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str
    method: str
    fusion: str
    modalities: list[str]
    encoders: dict[str, str] = Field(default_factory=dict)
    task: dict[str, Any]
    data: DataFacts
    seed: int
    teacher_seed: int
    versions: dict[str, str] = Field(default_factory=dict)
    threads: int = 1
    processes: int = 1
    batchnorm: str = ""
    device: str = ""
    epochs: int
    selected_epoch: int
    select_on: str
    selection_metric: str
    calibrated: bool = False
    additive: bool | None = None
    test: Scores
    valid: Scores = Field(default_factory=Scores)
    teachers: dict[str, TeacherResult] = Field(default_factory=dict)
    controls: dict[str, Control] = Field(default_factory=dict)
    cost: Cost = Field(default_factory=Cost)
    notices: list[str] = Field(default_factory=list)
    complete: bool = True
    stack: StackFacts = Field(default_factory=StackFacts)
    files: dict[str, str] = Field(default_factory=dict)
    fit: FitFacts | None = None

    @property
    def selected_on_test(self) -> bool:
        """Whether the test split selected the epoch, so that the test scores are too good."""
        return self.select_on == "test"

    def write(self, folder: Path) -> None:
        """Write ``result.json`` in a run folder atomically, with its signature."""
        write_signed(folder / RESULT, self.plain())

    @property
    def epoch_in_words(self) -> str:
        """The epoch whose weights were kept."""
        if not self.epochs:
            return "no training of its own"
        return f"epoch {self.selected_epoch} of {self.epochs}"

    def __repr__(self) -> str:
        metric = self.selection_metric
        own = {"fused": self.test.fused, **self.test.unimodal}
        scores = ", ".join(
            f"{name} {scores[metric]:.3f}" for name, scores in own.items() if metric in scores
        )
        facts = f"{self.name!r}, seed {self.seed}, {self.epoch_in_words}"
        return f"Result({facts}; test {metric}: {scores})"

    __str__ = __repr__


class Epoch(Content):
    """One line of ``metrics.jsonl``.

    Args:
        epoch: Number of the epoch, from 1.
        seconds: Duration of the epoch, in seconds.
        lr: Learning rate per parameter group.
        train: Mean of every recorded value over the updates of the epoch.
        valid: Validation scores.
    """

    epoch: int
    seconds: Number = 0.0
    lr: Metrics = Field(default_factory=dict)
    train: Metrics = Field(default_factory=dict)
    valid: Scores = Field(default_factory=Scores)


def read_content(path: Path, remedy: str) -> Any:
    """Read a JSON file of a run.

    Args:
        path: The file.
        remedy: Sentence that says how to rebuild a damaged file.

    Raises:
        RunError: The file is damaged.
    """
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} must be readable JSON, found damage: {error}. {remedy}") from None


def damage(error: ValidationError) -> str:
    """Return the first fault of a validation as part of a sentence.

    Example:
        >>> try:
        ...     Epoch.model_validate({"epoch": "one"})
        ... except ValidationError as error:
        ...     damage(error)
        "epoch: Input should be a valid integer, unable to parse string as an integer, found 'one'"
    """
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "content"
    if first["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {first['msg']}, found {str(repr(first['input']))[:60]}"
