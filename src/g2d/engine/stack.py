"""Stacking: one prediction from the heads of several trained models, weighted on validation.

Two sets of teachers trained from different seeds are the control that costs as much as a student.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from g2d.data import Loader, Source
from g2d.errors import UnsupportedError
from g2d.functional.calibration import fit_head_weights
from g2d.method import Method, TrainState
from g2d.model import MultimodalModel, Teachers
from g2d.types import Batch, Inputs, Output, Present


@dataclass(frozen=True)
class Head:
    """One weighted summand of a stack.

    Args:
        member: Name of the member that it belongs to.
        modality: The modality that it sees; None for a fused prediction.
        logits: Its logits ``(B, C)``.
    """

    member: str
    modality: str | None
    logits: Tensor

    @property
    def name(self) -> str:
        """Member and modality in words."""
        return f"{self.member}: {self.modality or 'fused'}"


class Student(nn.Module):
    """A trained model with the method that predicts with it, as a member of a stack.

    Args:
        model: The model.
        method: Its method.
    """

    def __init__(self, model: MultimodalModel, method: Method) -> None:
        super().__init__()
        self.model, self.method = model, method


class Stack(Method):
    """Weighted sum l = sum_j a_j h_j over the heads of students and of sets of teachers.

    The weights a come from :func:`g2d.functional.calibration.fit_head_weights`. A student whose
    prediction is a sum of heads (:meth:`~g2d.method.Method.head_scale`) adds one head per
    modality; any other student adds its fused prediction as one head. A student that is not
    trained (UME) adds none: it consists of its teachers.

    Args:
        method: The first student's method; its model is passed to every call.
        sets: Sets of teachers; their weights are saved with this object.
        others: Further students by name, each with its model; saved with this object too.
        name: Name of the first student.
    """

    trains = False
    own_heads = True
    weights: Tensor

    def __init__(
        self,
        method: Method,
        sets: Sequence[Teachers] = (),
        others: Mapping[str, tuple[MultimodalModel, Method]] | None = None,
        name: str = "student",
    ) -> None:
        super().__init__()
        self.method, self.name = method, name
        self.sets = nn.ModuleList(nn.ModuleDict(teachers.models) for teachers in sets)
        self.others = nn.ModuleDict({key: Student(*one) for key, one in (others or {}).items()})
        self.modalities, self.task = method.modalities, method.task
        self.register_buffer("head_weights", torch.ones(len(self.modalities)))
        self.register_buffer("weights", torch.ones(0))

    @property
    def single(self) -> bool:
        """Whether the first student is the only member, so that its features determine all."""
        return not self.sets and not self.others

    def head_scale(self, model: MultimodalModel) -> None:
        """Return None: the heads of a stack have weights already."""

    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        """Refuse: the members of a stack are trained before it is built."""
        raise UnsupportedError("epochs of a stack must be 0: its members are trained before.")

    def heads(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> list[Head]:
        """Return every head; the plain mean of their logits is the stack without weights."""
        return self._outputs(model, inputs, present)[0]

    def _outputs(
        self, model: MultimodalModel, inputs: Inputs, present: Present
    ) -> tuple[list[Head], dict[str, Output]]:
        """Return every head, and the output of every student by its name."""
        heads: list[Head] = []
        for i, teachers in enumerate(self.sets):
            assert isinstance(teachers, nn.ModuleDict)
            heads += [
                Head(f"teachers {i + 1}", m, teachers[m]({m: inputs[m]}, present=present).logits)
                for m in self.modalities
            ]
        outputs: dict[str, Output] = {}
        for name, one, method in self._students(model):
            outputs[name] = method.predict(one, inputs, present)
            heads += student_heads(name, one, method, outputs[name])
        return heads, outputs

    def _students(self, model: MultimodalModel) -> Iterator[tuple[str, MultimodalModel, Method]]:
        if self.method.trains:
            yield self.name, model, self.method
        for name, other in self.others.items():
            assert isinstance(other, Student)
            yield name, other.model, other.method

    @torch.no_grad()
    def fit(self, model: MultimodalModel, source: Source, batch_size: int) -> Mapping[str, float]:
        """Fit the weights of the heads on the validation rows.

        Args:
            model: The first student's trained model.
            source: The data.
            batch_size: Rows per step.

        Returns:
            The weight of every head by its name.
        """
        device = next(model.parameters()).device
        kept, targets = list[list[Head]](), list[Tensor]()
        for batch in Loader(source, "valid", batch_size, device=device).epoch(0):
            kept.append(self.heads(model, batch.inputs, batch.present))
            targets.append(batch.target)
        logits = [torch.cat([part[j].logits for part in kept]) for j in range(len(kept[0]))]
        with torch.enable_grad():
            weights = fit_head_weights(
                logits, torch.cat(targets), self.task.negative_log_likelihood
            )
        self.weights = weights.to(device)
        names = [head.name for head in kept[0]]
        return dict(zip(names, self.weights.tolist(), strict=True))

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        """Return the weighted sum of all heads, and of each modality's own heads.

        With additive members the unimodal logits add up to the fused logits. A modality without a
        head of its own has the mean of the students' unimodal logits.
        """
        heads, outputs = self._outputs(model, inputs, present)
        weights = self.weights
        if len(weights) == 0:
            weights = torch.full((len(heads),), 1 / len(heads), device=heads[0].logits.device)
        weighted = [
            (head.modality, weight * head.logits)
            for head, weight in zip(heads, weights, strict=True)
        ]
        z = {}
        for m in self.modalities:
            own = [logits for modality, logits in weighted if modality == m]
            read = [o.unimodal_logits[m] for o in outputs.values() if o.unimodal_logits]
            z[m] = torch.stack(own).sum(0) if own else torch.stack(read).mean(0)
        features = (
            outputs[self.name].features
            if self.name in outputs
            else {m: one.pooled for m, one in model.encode(inputs, present=present).items()}
        )
        return Output(features, torch.stack([logits for _, logits in weighted]).sum(0), z)

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *rest: object
    ) -> None:
        # The number of heads is known only after the first prediction.
        if f"{prefix}weights" in state_dict:
            self.weights = torch.ones_like(
                state_dict[f"{prefix}weights"], device=self.weights.device
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)


def student_heads(name: str, model: MultimodalModel, method: Method, output: Output) -> list[Head]:
    """Return the heads that a student adds to a stack.

    Args:
        name: Name of the student.
        model: Its model.
        method: Its method.
        output: Its prediction.
    """
    scale, z = method.head_scale(model), output.unimodal_logits
    if scale is None or z is None:
        return [Head(name, None, output.logits)]
    return [Head(name, m, len(z) * scale * z[m]) for m in method.modalities]
