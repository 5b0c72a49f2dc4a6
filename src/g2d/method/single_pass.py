"""One forward, one backward, one update: most methods."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.method.contract import Method, Validation
from g2d.method.modulation import Modulation
from g2d.method.rankings import RankingLog, batch_confidence, split_confidence
from g2d.method.state import TrainState
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task
from g2d.types import Batch, Output, TeacherOutput


class SinglePass(Method):
    """One forward, one backward, one update.

    A method of this kind says what it minimises (:meth:`objective`) and, if need be, what it does to the gradients before the
    update (:meth:`before_update`). Any of them takes a modulation.

    Args:
        modulation: coefficients per modality; needs teachers, whose confidence it reads.
        teachers: frozen unimodal teachers.
    """

    wants_unimodal_logits: bool = False
    """The objective or the scores need z^m."""

    def __init__(
        self, *, modulation: Modulation | None = None, teachers: Teachers | None = None
    ) -> None:
        super().__init__()
        if modulation is not None and teachers is None:
            raise ArgumentError(
                f"teachers must be given with {type(modulation).__name__}, found None: their confidence ranks the modalities."
            )
        self.modulation, self.teachers = modulation, teachers
        self.rankings = RankingLog()

    def build(self, model: MultimodalModel, task: Task) -> Self:
        super().build(model, task)
        if self.teachers is not None and set(self.teachers.modalities) != set(model.modalities):
            raise ArgumentError(
                f"teachers must be one per modality ({', '.join(model.modalities)}), found {', '.join(self.teachers.modalities)}."
            )
        if self.modulation is not None:
            self.modulation.build(model, task)
        return self

    @abstractmethod
    def objective(
        self, output: Output, batch: Batch, teacher: TeacherOutput | None
    ) -> dict[str, Tensor]:
        """Named terms, each a mean over the rows; their sum is minimised. A term of weight zero is left out."""

    def observe(self, output: Output, batch: Batch) -> None:
        """Look at a part after its backward pass (the student's own scores); under no_grad."""

    def before_update(self, state: TrainState) -> None:
        """Edit the accumulated gradients; under no_grad. Call ``state.reduce_gradients()`` first if their true size matters."""

    def epoch_start(self, state: TrainState) -> None:
        if self.teachers is None:
            return
        self.rankings.clear()
        if state.has_rows and self.rankings.validation is None:
            self.rankings.validation = split_confidence(
                state, self.teachers, state.validation_rows()
            )
        if self.modulation is not None:
            self.modulation.epoch_start(state, self.teachers)

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        teacher = None if self.teachers is None else self.teachers(batch)
        # Once per update, on the whole batch of all processes: ranking per part could move two encoders in one update.
        rho = None if teacher is None else batch_confidence(state, batch, teacher)
        kappa = (
            None
            if self.modulation is None or rho is None
            else self.modulation.coefficients(state, rho)
        )
        door = (
            None
            if self.modulation is None or kappa is None
            else self.modulation.at_the_door(state, kappa)
        )
        gates = (
            {}
            if self.modulation is None
            else {
                "gate_heads": self.modulation.gate_heads,
                "freeze_batchnorm": self.modulation.freeze_batchnorm,
            }
        )
        losses: dict[str, Tensor | float] = {}
        for part in state.parts(batch):
            with state.autocast():
                output = state.model(
                    part.batch.inputs,
                    door,
                    present=part.batch.present,
                    unimodal=self.wants_unimodal_logits,
                    **gates,
                )
                terms = self.objective(output, part.batch, part.of(teacher))
            state.backward(
                sum(terms.values(), start=torch.zeros((), device=state.device)) * part.share
            )
            for name, term in terms.items():
                losses[f"loss/{name}"] = (
                    losses.get(f"loss/{name}", 0.0) + term.detach() * part.share
                )
            with torch.no_grad():
                self.observe(output, part.batch)
                for m, cosine in _alignment(output, part.of(teacher)).items():
                    losses[f"alignment/{m}"] = (
                        losses.get(f"alignment/{m}", 0.0) + cosine * part.share
                    )
        with torch.no_grad():
            self.before_update(state)
        state.update()
        if rho is not None:
            self.rankings.add(rho)
        return state.recorded(losses | {f"kappa/{m}": value for m, value in (kappa or {}).items()})

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        if self.teachers is None:
            return {}
        if self.modulation is not None:
            self.notices = self.rankings.doubts() | self.notices
        return self.rankings.summary()


def _alignment(output: Output, teacher: TeacherOutput | None) -> dict[str, Tensor]:
    """Mean cosine of every modality's features with its teacher's, where they are equally wide  (Fig. 5)."""
    taught = {} if teacher is None else teacher.features
    pairs = {
        m: (output.features[m].float(), f.float())
        for m, f in taught.items()
        if f.shape == output.features[m].shape
    }
    return {
        m: torch.nn.functional.cosine_similarity(own, other, dim=1).mean()
        for m, (own, other) in pairs.items()
    }
