"""Methods with one forward pass, one backward pass and one update: most of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.precision import at_least_float32
from g2d.method.contract import Method, Validation
from g2d.method.interaction import interaction_notice
from g2d.method.modulation import Modulation
from g2d.method.rankings import RankingLog, batch_confidence, split_confidence
from g2d.method.rules import check_names
from g2d.method.state import Record, TrainState
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task
from g2d.types import Batch, Output, TeacherOutput, Terms


class SinglePass(Method):
    """Base of methods with one forward pass, one backward pass and one update.

    A subclass can change what is minimized (:meth:`objective`) and how the gradients are changed
    before the update (:meth:`before_update`). All of them can be combined with a
    modulation.

    Args:
        modulation: Coefficients per modality; needs ``teachers``, whose confidence it reads.
        teachers: Frozen unimodal teachers.
    """

    wants_unimodal_logits: bool = False
    """Whether the objective or the scores need z^m."""

    def __init__(
        self, *, modulation: Modulation | None = None, teachers: Teachers | None = None
    ) -> None:
        super().__init__()
        if modulation is not None and teachers is None:
            raise ArgumentError(
                f"teachers must be given with {type(modulation).__name__}, found None: "
                "their confidence ranks the modalities."
            )
        self.modulation, self.teachers = modulation, teachers
        self.rankings = RankingLog()

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        if self.teachers is not None:
            check_names("teachers", self.teachers.modalities, model.modalities)
        if self.modulation is not None:
            self.modulation.build(model, task)
        self.notices |= interaction_notice(model.fusion, self.costs_interaction)
        return self

    @property
    def costs_interaction(self) -> list[str]:
        """What this method does that can destroy what modalities show only together, in words."""
        excludes = self.modulation is not None and self.modulation.exclusive
        return ["stages in which one modality learns alone"] if excludes else []

    def objective(self, output: Output, batch: Batch, teacher: TeacherOutput | None) -> Terms:
        """Return the terms of the loss by name; their sum is minimized.

        Each term is a mean over the rows. Leave out a term of weight zero. The default is the loss
        of the fused prediction alone.
        """
        return {"task": self.task.loss(output.logits, batch.target)}

    def observe(self, output: Output, batch: Batch) -> None:
        """Read the output of a part after its backward pass; runs without gradients."""

    def before_update(self, state: TrainState) -> None:
        """Change the accumulated gradients; runs without gradients.

        Call ``state.reduce_gradients()`` first if the true size of a gradient matters.
        """

    def epoch_start(self, state: TrainState) -> None:
        if self.teachers is None:
            return
        self.rankings.clear()
        if state.has_rows and self.rankings.validation is None:
            rows = state.validation_rows()
            self.rankings.validation = split_confidence(state.task, self.teachers, rows)
        if self.modulation is not None:
            self.modulation.epoch_start(state, self.teachers)

    def training_step(self, state: TrainState, batch: Batch) -> Record:
        teacher = None if self.teachers is None else self.teachers(batch)
        # Once per update, on the whole batch of all processes: a ranking per part could let two
        # encoders learn in one update.
        rho = None if teacher is None else batch_confidence(state, batch, teacher)
        modulation, unimodal = self.modulation, self.wants_unimodal_logits
        kappa: dict[str, float] = {}
        options = {}
        if modulation is not None and rho is not None:
            kappa = modulation.coefficients(state, rho)
            options = {
                "kappa": modulation.at_the_door(state, kappa),
                "gate_heads": modulation.gate_heads,
                "freeze_batchnorm": modulation.freeze_batchnorm,
            }
            unimodal = unimodal or modulation.wants_unimodal_logits
        record: Record = {}
        for part in state.parts(batch):
            with state.autocast():
                output = state.model(
                    part.batch.inputs,
                    present=part.batch.present,
                    unimodal=unimodal,
                    **options,
                )
                terms = self.objective(output, part.batch, part.of(teacher))
            state.backward_terms(terms, part, record)
            with torch.no_grad():
                self.observe(output, part.batch)
                if modulation is not None:
                    modulation.observe(output, part.batch)
                for m, cosine in _alignment(output, part.of(teacher)).items():
                    key = f"alignment/{m}"
                    record[key] = record.get(key, 0.0) + cosine * part.share
        with torch.no_grad():
            if modulation is not None:
                kappa |= modulation.before_update(state)
            self.before_update(state)
        state.update()
        if rho is not None:
            self.rankings.add(rho)
        return state.recorded(record | {f"kappa/{m}": value for m, value in kappa.items()})

    def epoch_state(self) -> dict[str, Any]:
        modulation = {} if self.modulation is None else self.modulation.epoch_state()
        return {"rankings": self.rankings.state(), "modulation": modulation}

    def load_epoch_state(self, values: Mapping[str, Any]) -> None:
        self.rankings.load(values["rankings"])
        if self.modulation is not None:
            self.modulation.load_epoch_state(values["modulation"])

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        if self.teachers is None:
            return {}
        record = self.rankings.summary()
        if self.modulation is not None:
            self.notices = self.rankings.doubts(self.modulation.by) | self.notices
            record |= self.modulation.epoch_end(state, validation)
        return record


def _alignment(output: Output, teacher: TeacherOutput | None) -> dict[str, Tensor]:
    """Return the mean cosine between features and teacher features of equal width  (Fig. 5)."""
    if teacher is None:
        return {}
    return {
        m: F.cosine_similarity(at_least_float32(own), at_least_float32(other), dim=1).mean()
        for m, other in teacher.features.items()
        if other.shape == (own := output.features[m]).shape
    }
