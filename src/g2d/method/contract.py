"""What a method is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from g2d.errors import UnsupportedError
from g2d.fusion import Additive
from g2d.method.search import Space, spaces
from g2d.method.state import TrainState
from g2d.model import MultimodalModel
from g2d.task import Task
from g2d.types import Batch, Inputs, Output


@dataclass(frozen=True, slots=True)
class Validation:
    """How the model did on the validation split after an epoch, by the method's own inference rule.

    Args:
        loss, score: mean loss and headline metric (higher is better) of the fused prediction.
        unimodal_loss, unimodal_score: the same of every modality's own prediction.
    """

    loss: float
    score: float
    unimodal_loss: Mapping[str, float]
    unimodal_score: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a training step costs, in which all encoders learn. Counted by a test, not estimated.

    Args:
        forward, backward: passes of every encoder.
        teacher: forward passes of every teacher, without gradients.
        updates: of the optimizer; ``"k"`` is one per modality.
        flops: floating-point operations per step of joint training, on two convolutional encoders of equal cost.
        besides: what comes on top, in words.
    """

    forward: int = 1
    backward: int = 1
    teacher: int = 0
    updates: str = "1"
    flops: float = 1.0
    besides: str = ""

    def __str__(self) -> str:
        taught = f" + {self.teacher} of its teacher" if self.teacher else ""
        besides = f"; {self.besides}" if self.besides else ""
        steps = f"{self.updates} update{'' if self.updates == '1' else 's'}"
        return f"{self.forward} forward{taught} and {self.backward} backward per encoder, {steps}, {self.flops:.2f} x the FLOPs of joint{besides}"


class Method(nn.Module):
    """How one step of training goes, and how the trained model is asked.

    Hyperparameters are keyword-only arguments of the constructor, given once. A method is an ``nn.Module`` so that its heads,
    buffers and counters are saved and moved with it.

    Attributes:
        tasks: kinds of task it is defined for.
        needs_teachers: the constructor takes ``teachers``.
        needs_rows: it passes over whole splits (``TrainState.train_rows``).
        cost: of a training step.
        search: the arguments that ``g2d tune`` searches by default, and their ranges.
        own_heads: its prediction does not pass through the model's fusion.
        trains: False where training consists of the teachers alone.
        notices: sentences for the user that are not errors, by what they are about, oldest first.
    """

    tasks: ClassVar[frozenset[str]] = frozenset({"classification", "regression"})
    needs_teachers: ClassVar[bool] = False
    needs_rows: ClassVar[bool] = False
    own_heads: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    cost: ClassVar[Cost] = Cost()
    search: ClassVar[Mapping[str, Space]] = spaces()

    task: Task
    modalities: tuple[str, ...]
    head_weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.notices: dict[str, str] = {}

    def build(self, model: MultimodalModel, task: Task) -> Self:
        """Bind to a model and a task, and create the method's own heads; before the optimizer is made.

        Raises:
            UnsupportedError: the method is not defined for this task, number of modalities or fusion.
        """
        if task.kind not in self.tasks:
            raise UnsupportedError(
                f"task of {type(self).__name__} must be {' or '.join(sorted(self.tasks))}, found {task.kind}."
            )
        self.task, self.modalities = task, model.modalities
        self.register_buffer("head_weights", torch.ones(len(self.modalities)))
        return self

    def parameter_groups(self, model: MultimodalModel) -> list[dict[str, Any]]:
        """Optimizer groups of the model and of the method's own parameters (named ``method``)."""
        own = [{"name": "method", "params": list(self.parameters())}]
        return [*model.parameter_groups(), *(group for group in own if group["params"])]

    def epoch_start(self, state: TrainState) -> None:
        """Called before the first step of every epoch."""

    @abstractmethod
    def training_step(self, state: TrainState, batch: Batch) -> dict[str, Tensor | float]:
        """Everything one batch causes: forward, loss, backward, modulation, update(s). Returns what to record."""

    def epoch_end(self, state: TrainState, validation: Validation | None) -> dict[str, float]:
        """Called after every epoch with the validation results. Returns what to record."""
        return {}

    def predict(
        self, model: MultimodalModel, inputs: Inputs, present: Mapping[str, Tensor] | None = None
    ) -> Output:
        """The trained model's answer by this method's own rule, fused and unimodal: what evaluation, reports and exports call."""
        return self.calibrated(model, model(inputs, present=present, unimodal=True))

    def head_scale(self, model: MultimodalModel) -> float | None:
        """s, where this method's prediction is l = s * sum_m z^m, so that its heads can be calibrated; None where it is not such a sum."""
        return model.fusion.scale if isinstance(model.fusion, Additive) else None

    def calibrated(self, model: MultimodalModel, output: Output) -> Output:
        """Weigh the heads as :func:`g2d.functional.calibration.fit_head_weights` found (all 1 unless calibration was asked for)."""
        z, scale = output.unimodal_logits, self.head_scale(model)
        if z is None or scale is None or bool((self.head_weights == 1).all()):
            return output
        weighted = {
            m: z[m] * weight for m, weight in zip(self.modalities, self.head_weights, strict=True)
        }
        return Output(
            output.features, torch.stack(tuple(weighted.values())).sum(0) * scale, weighted
        )

    def unimodal_loss(self, m: str, z: Tensor, batch: Batch) -> Tensor:
        """L_S of a modality's own prediction z^m, a scalar: the mean over all rows, of which those that lack the modality count 0."""
        return (self.task.loss_per_row(z, batch.target) * batch.has(m)).mean()
