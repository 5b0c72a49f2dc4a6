"""Train the members of a fit, each in an ordinary folder, and read what they predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g2d import analysis
from g2d.data import Loader, Source, Split
from g2d.engine.stack import Head, student_heads
from g2d.experiment.console import Console
from g2d.experiment.fitting.planning import member_recipe
from g2d.experiment.run import trained_student
from g2d.experiment.students import student_folder
from g2d.experiment.teachers import TeacherSet, teacher_cache
from g2d.method import Method
from g2d.model import MultimodalModel, evaluating
from g2d.recipe import Recipe
from g2d.runs import (
    MEMBERS,
    TEACHERS,
    FitInteraction,
    FitMember,
    Planned,
    Result,
)
from g2d.types import Batch, Output


@dataclass
class Member:
    """A trained member.

    Args:
        planned: What it is.
        recipe: Its recipe.
        seconds: Duration of its training.
        set: The teachers, of a member that is a set of them.
        model: The model of a student.
        method: The method of a student.
        result: The result of a student's run.
    """

    planned: Planned
    recipe: Recipe
    seconds: float
    set: TeacherSet | None = None
    model: MultimodalModel | None = None
    method: Method | None = None
    result: Result | None = None
    interaction: FitInteraction | None = field(default=None, init=False)
    relies: dict[str, float | None] = field(default_factory=dict, init=False)

    @property
    def name(self) -> str:
        """Name of the member."""
        return self.planned.name

    @property
    def student(self) -> tuple[MultimodalModel, Method]:
        """Model and method of a student."""
        assert self.model is not None
        assert self.method is not None
        return self.model, self.method

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        parts = list(self.set.teachers.models.values()) if self.set else list(self.student)
        return sum(parameter.numel() for part in parts for parameter in part.parameters())

    def heads(self, batch: Batch) -> tuple[list[Head], dict[str, Tensor]]:
        """Return the heads for a batch, and the prediction of every modality alone."""
        if self.set is not None:
            models = self.set.teachers.models
            z = {
                m: model({m: batch.inputs[m]}, present=batch.present).logits
                for m, model in models.items()
            }
            return [Head(self.name, m, logits) for m, logits in z.items()], z
        model, method = self.student
        output = method.predict(model, batch.inputs, batch.present)
        return student_heads(self.name, model, method, output), dict(output.unimodal_logits or {})


@dataclass(frozen=True)
class Outputs:
    """Predictions of a member for the rows of a split, on the CPU.

    Args:
        heads: Its heads.
        unimodal: The prediction of every modality alone.
        present: Which rows have a modality ``(N,)``, by modality.
    """

    heads: list[Head]
    unimodal: dict[str, Tensor]
    present: dict[str, Tensor]

    @property
    def plain(self) -> Tensor:
        """The prediction without weights for the heads: their mean."""
        return torch.stack([head.logits for head in self.heads]).mean(0)


def train(planned: Planned, base: Recipe, source: Source, out: Path, console: Console) -> Member:
    """Train a member in its folder, or continue; a finished one is opened.

    The test split stays closed.

    Args:
        planned: What to train.
        base: What all members share.
        source: The data.
        out: Folder of the fit.
        console: Where to report to.

    Raises:
        UnsupportedError: The member's method is not defined for the task or the fusion.
    """
    recipe = member_recipe(base, planned)
    if planned.teachers:
        teachers = teachers_of(recipe, source, out, console, test=False)
        return Member(planned, recipe, teachers.seconds, set=teachers)
    trained = trained_student(recipe, source, student_folder(out, planned.name), console)
    return Member(
        planned,
        recipe,
        float(trained.result.cost.seconds or 0.0),
        model=trained.model,
        method=trained.method,
        result=trained.result,
    )


def teachers_of(
    recipe: Recipe, source: Source, out: Path, console: Console, *, test: bool
) -> TeacherSet:
    """Return a set of teachers, trained now or before.

    Args:
        recipe: It determines the teachers.
        source: The data.
        out: Folder of the fit.
        console: Where to report to.
        test: Whether they are measured on the test split too.
    """
    folder = recipe.teachers.folder or out / MEMBERS / TEACHERS
    example = recipe.example(source)
    cache = teacher_cache(recipe, source, folder, example, console, test=test)
    return TeacherSet(*cache.teachers())


@torch.no_grad()
def outputs(member: Member, source: Source, split: Split) -> Outputs:
    """Return what a member predicts for a split.

    Args:
        member: The member.
        source: The data.
        split: Name of the split.
    """
    parts: list[tuple[list[Head], dict[str, Tensor]]] = []
    has: dict[str, list[Tensor]] = {m: [] for m in source.modalities}
    for batch in _batches(member, source, split):
        parts.append(member.heads(batch))
        for m, rows in has.items():
            rows.append(batch.has(m).bool().cpu())
    first, alone = parts[0]
    heads = [
        Head(head.member, head.modality, torch.cat([part[0][j].logits.cpu() for part in parts]))
        for j, head in enumerate(first)
    ]
    unimodal = {m: torch.cat([part[1][m].cpu() for part in parts]) for m in alone}
    return Outputs(heads, unimodal, {m: torch.cat(rows) for m, rows in has.items()})


def examine(member: Member, source: Source) -> None:
    """Measure, on the validation rows, what a student's prediction relies on.

    A prediction that is a sum of heads needs no measurement.

    Args:
        member: A student; its interaction and what it relies on are set.
        source: The data.
    """
    model, method = member.student
    if method.head_scale(model) is not None or len(source.modalities) < 2:
        member.interaction = FitInteraction(state="not tested")
        return

    def predict(batch: Batch) -> Output:
        return method.predict(model, batch.inputs, batch.present)

    batches = partial(_batches, member, source)
    with evaluating(model):
        means = analysis.feature_means(model, batches("train"))
        pool = analysis.feature_pool(
            model, batches("valid"), means, predict=predict, group=source.groups("valid")
        )
        needed = analysis.perceptual_scores(pool, source.task)
        share = analysis.interaction_share(pool)
    member.relies = {
        m: None if needed.get(m) is None else needed[m].value for m in source.modalities
    }
    interval = share.share.value, share.share.low, share.share.high
    member.interaction = FitInteraction(state=share.state, share=interval)


def facts_of(member: Member, own: Outputs, scores: Mapping[str, float]) -> FitMember:
    """Return what a result reports about a member.

    Args:
        member: The member.
        own: What it predicts for the validation rows.
        scores: Validation score of the prediction, under ``fused``, and of each modality alone.
    """
    return FitMember(
        name=member.name,
        about=member.planned.about,
        teachers=member.planned.teachers,
        passes=member.planned.passes,
        seconds=round(member.seconds, 1),
        parameters=member.parameters,
        scores={"fused": scores["fused"]},
        unimodal={m: scores[m] for m in own.unimodal if m in scores},
        relies=member.relies,
    )


def _batches(member: Member, source: Source, split: Split) -> Any:
    options = member.recipe.train
    device = options.resolved_device()
    return Loader(source, split, options.eval_batch_size, device=device).epoch(0)


def kept(members: Sequence[Member], names: Sequence[str]) -> list[Member]:
    """Return some members by name, in their own order."""
    return [member for member in members if member.name in names]
