"""The base class of all methods."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from g2d.configured import Configured
from g2d.errors import ArgumentError, UnsupportedError
from g2d.fusion import Additive
from g2d.method.mistakes import CHECKED, checked_build, checked_start, require_built
from g2d.method.search import Space, spaces
from g2d.method.state import TrainState
from g2d.model import MultimodalModel
from g2d.task import TASKS, Task
from g2d.types import Batch, Inputs, Output, Present


@dataclass(frozen=True, slots=True)
class Validation:
    """Results on the validation split after an epoch, by the method's own prediction rule.

    Args:
        loss: Mean loss of the fused prediction.
        score: Primary metric of the fused prediction; higher is better.
        unimodal_loss: Mean loss of each modality's own prediction.
        unimodal_score: Primary metric of each modality's own prediction.
        unimodal_confidence: Mean confidence in the true target (Eq. 5) of each modality's own
            prediction; needed by rankings by the lag alone.
    """

    loss: float
    score: float
    unimodal_loss: Mapping[str, float]
    unimodal_score: Mapping[str, float]
    unimodal_confidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a training step in which all encoders learn; a test counts it.

    Args:
        forward: Forward passes of every encoder.
        backward: Backward passes of every encoder.
        teacher: Forward passes of every teacher, without gradients.
        updates: Updates of the optimizer; ``"k"`` is one per modality.
        flops: Floating-point operations relative to joint training, on two convolutional encoders
            of equal cost.
        besides: Further costs, in words.
    """

    forward: int = 1
    backward: int = 1
    teacher: int = 0
    updates: str = "1"
    flops: float = 1.0
    besides: str = ""

    def __str__(self) -> str:
        of_teacher = f" + {self.teacher} of its teacher" if self.teacher else ""
        besides = f"; {self.besides}" if self.besides else ""
        steps = f"{self.updates} update{'' if self.updates == '1' else 's'}"
        return (
            f"{self.forward} forward{of_teacher} and {self.backward} backward per encoder, "
            f"{steps}, {self.flops:.2f} x the FLOPs of joint{besides}"
        )


class Method(Configured, nn.Module):
    """Base of all methods: one training step, and the prediction of the trained model.

    Hyperparameters are keyword-only arguments of the constructor. A method is an ``nn.Module``, so
    that its heads, buffers and counters are saved and moved to a device with it.

    Attributes:
        tasks: Kinds of task that the method is defined for.
        needs_teachers: Whether the constructor requires ``teachers``.
        cost: Cost of a training step.
        search: Arguments that ``g2d tune`` searches by default, and their ranges.
        own_heads: Whether predictions come from heads of the method instead of the model's fusion.
        trains: False if the teachers are all that is trained.
        notices: Warnings for the user by topic, oldest first.
    """

    tasks: ClassVar[frozenset[str]] = frozenset(TASKS)
    needs_teachers: ClassVar[bool] = False
    own_heads: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    cost: ClassVar[Cost] = Cost()
    search: ClassVar[Mapping[str, Space]] = spaces()

    task: Task
    modalities: tuple[str, ...]
    head_weights: Tensor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, checked in CHECKED.items():
            if name in vars(cls):
                setattr(cls, name, checked(vars(cls)[name]))

    def __init__(self) -> None:
        super().__init__()
        self.notices: dict[str, str] = {}

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        if name in ("task", "modalities", "head_weights"):
            require_built(self)
        return super().__getattr__(name)

    @checked_build
    def build(self, model: MultimodalModel, task: Task) -> Self:
        """Bind the method to a model and a task, and create its own heads.

        Call it before creating the optimizer.

        Raises:
            ArgumentError: if the model is not a :class:`~g2d.model.MultimodalModel`, or the task
                not a :class:`~g2d.task.Task`.
            UnsupportedError: if the method is not defined for this task, number of modalities or
                fusion.
        """
        if task.kind not in self.tasks:
            kinds = " or ".join(sorted(self.tasks))
            raise UnsupportedError(
                f"task of {type(self).__name__} must be {kinds}, found {task.kind}."
            )
        self.task, self.modalities = task, model.modalities
        self.register_buffer("head_weights", torch.ones(len(self.modalities)))
        return self

    def parameter_groups(self, model: MultimodalModel) -> list[dict[str, Any]]:
        """Return the optimizer groups of the model and of the method (group ``method``)."""
        own = [{"name": "method", "params": list(self.parameters())}]
        return [*model.parameter_groups(), *(group for group in own if group["params"])]

    @checked_start
    def epoch_start(self, state: TrainState) -> None:
        """Prepare for an epoch; call it after setting ``state.epoch`` and before the first step."""

    @abstractmethod
    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        """Train on one batch: forward, loss, backward, modulation and update.

        Returns:
            The values to record, by name.
        """

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        """Finish an epoch; called with the validation results.

        Returns:
            The values to record, by name.
        """
        return {}

    def epoch_state(self) -> dict[str, Any]:
        """Return what later steps and the end of the current epoch read, apart from buffers.

        A checkpoint inside an epoch keeps it, together with ``state_dict()``. Override it, and
        :meth:`load_epoch_state`, in a method whose ``epoch_start`` or ``training_step`` sets
        attributes that are no parameters or buffers.

        Returns:
            Values that JSON can hold.
        """
        return {}

    def load_epoch_state(self, values: Mapping[str, Any]) -> None:
        """Restore what :meth:`epoch_state` returned; called instead of ``epoch_start``."""

    def predict(self, model: MultimodalModel, inputs: Inputs, present: Present = None) -> Output:
        """Predict with the trained model by the rule of this method, fused and per modality.

        Evaluation, reports and exports all use this method.
        """
        return self.calibrated(model, model(inputs, present=present, unimodal=True))

    def head_scale(self, model: MultimodalModel) -> float | None:
        """Return s if the prediction is l = s * sum_m z^m, so that its heads can be calibrated.

        Returns:
            s, or None if the prediction is no such sum.
        """
        return model.fusion.scale if isinstance(model.fusion, Additive) else None

    def calibrated(self, model: MultimodalModel, output: Output) -> Output:
        """Return the output with weighted heads, l = s * sum_m a_m z^m.

        The weights a come from :func:`g2d.functional.calibration.fit_head_weights`; all are 1
        unless calibration was requested.
        """
        z, scale = output.unimodal_logits, self.head_scale(model)
        if z is None or scale is None or bool((self.head_weights == 1).all()):
            return output
        weights = zip(self.modalities, self.head_weights, strict=True)
        weighted = {m: z[m] * weight for m, weight in weights}
        fused = torch.stack(tuple(weighted.values())).sum(0) * scale
        return Output(output.features, fused, weighted)

    def unimodal_loss(self, m: str, z: Tensor, batch: Batch) -> Tensor:
        """Return L_S of one modality's prediction z^m: a scalar, the mean over all rows.

        Rows without the modality count as 0.
        """
        return (self.task.loss_per_row(z, batch.target) * batch.has(m)).mean()

    def by_modality(self, values: Tensor) -> dict[str, float]:
        """Return the entries of a tensor ``(k,)`` by modality."""
        return dict(zip(self.modalities, values.tolist(), strict=True))

    def validated(self, validation: Validation | None) -> Validation:
        """Return the validation results.

        Raises:
            ArgumentError: if there are none.
        """
        if validation is None:
            raise ArgumentError(
                "validation must be given at the end of every epoch for "
                f"{type(self).__name__}, found None. Call method.epoch_end(state, Validation(...))."
            )
        return validation


def pooled_features(
    model: MultimodalModel,
    inputs: Inputs,
    present: Present = None,
    only: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Return the features f^m ``(B, D_m)`` of every modality, or of some of them.

    Args:
        model: The model with the encoders.
        inputs: Inputs of a batch.
        present: ``(B,)`` bool per modality; features are zero in rows without it.
        only: Names of the modalities to encode; None is all.
    """
    encoded = model.encode(inputs, present=present, only=only)
    return {m: features.pooled for m, features in encoded.items()}
