"""Types of everything in ``dataset.json``, checked when a store is opened.

The signature shows damage, but anyone can sign. What is signed must still have the right types and
stay inside the folder of the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from g2d.files import is_plain_name

Kind = Literal["audio", "image", "video", "sequence", "table", "text"]


def _inner_path(name: str) -> str:
    parts = name.split("/")
    if len(parts) > 2 or not all(is_plain_name(part) for part in parts):
        raise ValueError("a path must stay inside the store")
    return name


def _name(name: str) -> str:
    if not is_plain_name(name):
        raise ValueError("a name must be no path and have no control characters")
    return name


def _dtype(name: str) -> str:
    try:
        kind = np.dtype(name).kind
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"no type of NumPy: {error}") from None
    if kind not in "biuf":
        raise ValueError("values must be numbers")
    return name


Name = Annotated[str, AfterValidator(_name)]
InnerPath = Annotated[str, AfterValidator(_inner_path)]
Count = Annotated[int, Field(ge=0, lt=2**48)]
Size = Annotated[int, Field(ge=1, lt=2**48)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    """Base class of the parts; keys that it does not declare are kept."""

    model_config = ConfigDict(extra="allow", strict=True)


class SignalFacts(_Part):
    """Form in which a modality is stored; see :class:`~g2d.data.store.facts.Signal`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Kind
    dtype: Annotated[str, AfterValidator(_dtype)]
    shape: list[Count]
    view: list[dict[str, Any]] = Field(default_factory=list)
    facts: dict[str, Any] = Field(default_factory=dict)
    masked: bool = False

    @model_validator(mode="after")
    def _axes(self) -> SignalFacts:
        if not self.shape:
            raise ValueError("a row must have at least one axis")
        if np.prod([float(size) for size in self.shape]) >= 2**48:
            raise ValueError("a row must fit into memory")
        return self


class TaskFacts(_Part):
    """Task of the store; see :class:`~g2d.prepare.plan.Plan`."""

    kind: Literal["classification", "multilabel", "regression"]
    classes: Annotated[list[Name], Field(min_length=2)] | None = None
    labels: Annotated[list[Name], Field(min_length=1)] | None = None
    outputs: Size = 1
    scale: Literal["train"] | Annotated[list[Number], Field(min_length=2, max_length=2)] = "train"
    clip: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    log: bool = False
    output: Literal["sigmoid", "identity"] = "sigmoid"

    @model_validator(mode="after")
    def _names(self) -> TaskFacts:
        for kind, names in (("classification", self.classes), ("multilabel", self.labels)):
            if (self.kind == kind) != (names is not None):
                raise ValueError(f"the names of {kind} and the kind {self.kind} must fit")
            if names is not None and len(set(names)) != len(names):
                raise ValueError("names must differ")
        return self


class TargetFacts(_Part):
    """Figures of the training targets of a protocol."""

    counts: list[Count] | None = None
    low: Number | list[Number] | None = None
    high: Number | list[Number] | None = None
    variance: Number | list[Number] | None = None


class ProtocolFacts(_Part):
    """A split of the rows."""

    file: InnerPath
    views: InnerPath
    hash: str
    rows: dict[str, Count]
    unused: Count
    target: TargetFacts


class Facts(_Part):
    """Content of ``dataset.json``.

    Args:
        name: Name of the data set.
        task: Task of the store.
        modalities: How every modality is stored.
        rows: Number of rows.
        expected: Number of samples of the complete data set.
        partial: Whether samples are missing.
        skipped: Skipped samples.
        warnings: What a user should know.
        cautions: Sentences that belong to every number measured on these data.
        parameters: Options of the preparation.
        plan_hash: Hash of the preparation.
        content_hash: Hash of the content.
        protocols: Splits by name.
        files: SHA-256 of every file.
        sizes: Size of every file in bytes; empty in stores of earlier versions.
    """

    name: Name
    task: TaskFacts
    modalities: Annotated[dict[Name, SignalFacts], Field(min_length=1)]
    rows: Count
    expected: Count
    partial: bool
    skipped: list[dict[str, Any]]
    warnings: list[str]
    cautions: list[str]
    parameters: dict[str, Any]
    plan_hash: str
    content_hash: str
    protocols: Annotated[dict[str, ProtocolFacts], Field(min_length=1)]
    files: dict[InnerPath, str]
    sizes: dict[InnerPath, Count] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _listed(self) -> Facts:
        named = {name for p in self.protocols.values() for name in (p.file, p.views)}
        named |= {f"{m}.npy" for m in self.modalities} | {"target.npy", "group.npy"}
        if missing := sorted(named - set(self.files)):
            raise ValueError(f"files must list {missing[0]}")
        for protocol in self.protocols.values():
            if sum(protocol.rows.values()) + protocol.unused != self.rows:
                raise ValueError(f"splits must place each of the {self.rows} rows once")
            counts = protocol.target.counts
            names = self.task.classes or self.task.labels
            if names is not None and (counts is None or len(counts) != len(names)):
                raise ValueError("counts must be one per class or label")
            _check_scale(self.task, protocol.target)
        return self


def _check_scale(task: TaskFacts, target: TargetFacts) -> None:
    """Refuse a scale that is incomplete or has another number of outputs than the task."""
    numbers = [target.low, target.high, target.variance]
    if numbers.count(None) not in (0, 3):
        raise ValueError("a scale must have low, high and variance")
    if any(isinstance(each, list) and len(each) != task.outputs for each in numbers):
        raise ValueError(f"a scale must have one number per output ({task.outputs})")


def checked(facts: Mapping[str, Any]) -> None:
    """Check the types of the facts of a store.

    Args:
        facts: Content of ``dataset.json``.

    Raises:
        ValidationError: A value has the wrong type, or a path leads outside.
    """
    Facts.model_validate(dict(facts))
