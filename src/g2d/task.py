"""What kind of target a problem has, and everything that depends on it: loss, confidence, distillation, prediction, metrics.

Methods never branch on the task: they call it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchmetrics.metric import Metric
from torchmetrics.regression import MeanAbsoluteError, R2Score

from g2d.errors import ArgumentError
from g2d.functional.losses import logit_distillation
from g2d.functional.scoring import error_confidence, true_class_confidence


class Task(ABC):
    """The contract. ``outputs`` is C, the width of the logits; ``headline`` names the metric that selects (higher is better)."""

    kind: str
    headline: str
    outputs: int
    least_rows: int = 1
    """Rows that a split must have for the headline to be defined."""

    @abstractmethod
    def loss_per_row(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of each row, ``(B,)``; its batch mean is L_S of Eq. 1."""

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """L_S (Eq. 1): the mean loss of the batch, a scalar in float32."""
        return self.loss_per_row(logits, target).mean()

    @abstractmethod
    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """Confidence of each row in the truth, ``(B,)`` in [0, 1]; its batch mean is rho of Eq. 5."""

    @abstractmethod
    def distillation(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        temperature: float = 1.0,
        present: Tensor | None = None,
    ) -> Tensor:
        """L_logit (Eq. 3), a scalar: how far the student's prediction is from a teacher's, which receives no gradient."""

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """The answer a user wants: class numbers ``(B,)``, or values ``(B, C)`` in the original unit."""

    @abstractmethod
    def metrics(self) -> MetricCollection:
        """Fresh metrics; ``update(logits, target)`` takes what the model and the batch hold."""

    @abstractmethod
    def negative_log_likelihood(self, logits: Tensor, target: Tensor) -> Tensor:
        """What calibration minimises, summed over the rows (a scalar)."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Everything that rebuilds this task with :func:`task_from_config`; plain JSON values."""


class Classification(Task):
    """One class of C per row. Targets are ``(B,)`` int64.

    Args:
        classes: their names, or their number.

    Example:
        >>> task = Classification(3)
        >>> task.predict(torch.tensor([[0.1, 0.7, 0.2]]))
        tensor([1])
    """

    kind = "classification"
    headline = "accuracy"

    def __init__(self, classes: Sequence[str] | int) -> None:
        self.classes = (
            tuple(map(str, range(classes))) if isinstance(classes, int) else tuple(classes)
        )
        if len(self.classes) < 2:
            raise ArgumentError(f"classes must be two or more, found {len(self.classes)}.")
        self.outputs = len(self.classes)

    def loss_per_row(self, logits: Tensor, target: Tensor) -> Tensor:
        """CE(l, y) (Eq. 1)."""
        return F.cross_entropy(logits.float(), target, reduction="none")

    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """softmax(l)[i, y_i] (Eq. 5)."""
        return true_class_confidence(logits, target)

    def distillation(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        temperature: float = 1.0,
        present: Tensor | None = None,
    ) -> Tensor:
        return logit_distillation(student, teacher, temperature=temperature, present=present)

    def predict(self, logits: Tensor) -> Tensor:
        return logits.argmax(1)

    def metrics(self) -> MetricCollection:
        n = self.outputs
        members: dict[str, Metric | MetricCollection] = {
            "accuracy": MulticlassAccuracy(n, average="micro"),
            "macro_f1": MulticlassF1Score(n, average="macro"),
            "unweighted_average_recall": MulticlassAccuracy(n, average="macro"),
        }
        if n > 5:
            members["top5"] = MulticlassAccuracy(n, top_k=5, average="micro")
        return MetricCollection(members)

    def negative_log_likelihood(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), target, reduction="sum")

    def config(self) -> dict[str, Any]:
        return {"kind": self.kind, "classes": list(self.classes)}


class Regression(Task):
    """C real values per row. Logits and targets are both ``(B, C)``.

    The prediction is p = sigmoid(l) (Eq. 1; targets lie in (0, 1)) or p = l, in the scaled unit of the targets; metrics are
    computed in the original unit, ``value = low + (high - low) * target``, exponentiated if ``log``.

    Args:
        outputs: C.
        output: what turns logits into predictions.
        low, high: the scale, learnt on the training rows: the values that map to 0 and 1, of all outputs or of each.
        log: the scale holds the logarithm of the value.
        variance: Var_train(y) of the scaled targets, for the confidence of Eq. 5; of all outputs or of each.

    Raises:
        ArgumentError: a target's shape differs from the logits' (``(B,)`` against ``(B, 1)`` would broadcast silently).
    """

    kind = "regression"
    headline = "r2"
    least_rows = 2

    def __init__(
        self,
        outputs: int = 1,
        *,
        output: Literal["sigmoid", "identity"] = "sigmoid",
        low: float | Sequence[float] = 0.0,
        high: float | Sequence[float] = 1.0,
        log: bool = False,
        variance: float | Sequence[float] = 1.0,
    ) -> None:
        if outputs < 1:
            raise ArgumentError(f"outputs must be one or more, found {outputs}.")
        if output not in ("sigmoid", "identity"):
            raise ArgumentError(f"output must be 'sigmoid' or 'identity', found {output!r}.")
        for name, value in (("low", low), ("high", high), ("variance", variance)):
            if isinstance(value, Sequence) and len(value) != outputs:
                raise ArgumentError(
                    f"{name} must be one number, or one for each of the {outputs} outputs, found {len(value)}."
                )
        if not min(_each(variance)) > 0:
            raise ArgumentError(
                f"variance of the training targets must be positive, found {variance}."
            )
        self.outputs, self.output, self.low, self.high, self.log, self.variance = (
            outputs,
            output,
            low,
            high,
            log,
            variance,
        )

    def squash(self, logits: Tensor) -> Tensor:
        """Predictions in the scaled unit of the targets, ``(B, C)`` float32."""
        return torch.sigmoid(logits.float()) if self.output == "sigmoid" else logits.float()

    def unscale(self, scaled: Tensor) -> Tensor:
        """Values in the original unit, from targets or predictions in the scaled one."""
        low, high = (scaled.new_tensor(_each(end)) for end in (self.low, self.high))
        value = low + (high - low) * scaled
        return value.exp() if self.log else value

    def original(self, target: Tensor) -> Tensor:
        """Targets in the original unit, float64; what differs from zero by the rounding of the scaled unit alone is zero."""
        value = self.unscale(target.double())
        least = (
            max(map(abs, (*_each(self.low), *_each(self.high))))
            * 2
            * torch.finfo(torch.float32).eps
        )
        return value if self.log else torch.where(value.abs() <= least, 0.0, value)

    def loss_per_row(self, logits: Tensor, target: Tensor) -> Tensor:
        """(p - y)², averaged over the outputs (Eq. 1)."""
        self._check(logits, target)
        return (self.squash(logits) - target.float()).square().mean(1)

    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """exp(-(p - y)² / Var_train(y)): Eq. 5 where no true class exists."""
        self._check(logits, target)
        return error_confidence(
            self.squash(logits),
            target,
            logits.new_tensor(_each(self.variance), dtype=torch.float32),
        )

    def distillation(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        temperature: float = 1.0,
        present: Tensor | None = None,
    ) -> Tensor:
        """Mean squared difference of the two predictions; a temperature has no meaning here and is not used."""
        per_row = (self.squash(student) - self.squash(teacher.detach())).square().mean(1)
        return per_row.mean() if present is None else (per_row * present).mean()

    def predict(self, logits: Tensor) -> Tensor:
        return self.unscale(self.squash(logits))

    def metrics(self) -> MetricCollection:
        members: dict[str, Metric | MetricCollection] = {
            "r2": _InUnit(self, _R2()),
            "mape": _InUnit(self, MeanPercentageError()),
            "mae": _InUnit(self, MeanAbsoluteError()),
            "zero_targets": _InUnit(self, ZeroTargets()),
        }
        return MetricCollection(members, compute_groups=False)

    def negative_log_likelihood(self, logits: Tensor, target: Tensor) -> Tensor:
        """N/2 log of the mean squared error: a Gaussian whose variance is fitted too."""
        error: Tensor = self.loss_per_row(logits, target).mean().clamp_min(1e-12)
        return len(logits) / 2 * error.log()

    def config(self) -> dict[str, Any]:
        scale = {
            name: list(value) if isinstance(value := getattr(self, name), Sequence) else value
            for name in ("low", "high", "variance")
        }
        return {
            "kind": self.kind,
            "outputs": self.outputs,
            "output": self.output,
            "log": self.log,
        } | scale

    def _check(self, logits: Tensor, target: Tensor) -> None:
        if logits.shape != target.shape:
            raise ArgumentError(
                f"regression targets must have the shape of the logits, (rows, outputs) = {tuple(logits.shape)}, found {tuple(target.shape)}."
            )


def _each(numbers: float | Sequence[float]) -> list[float]:
    """One number of all outputs, or one of each: what broadcasts to ``(B, C)``."""
    return list(numbers) if isinstance(numbers, Sequence) else [numbers]


TASKS: dict[str, type[Task]] = {"classification": Classification, "regression": Regression}


def task_from_config(config: Mapping[str, Any]) -> Task:
    """The task that :meth:`Task.config` described.

    Example:
        >>> task_from_config(Classification(["cat", "dog"]).config()).outputs
        2
    """
    return TASKS[config["kind"]](**{key: value for key, value in config.items() if key != "kind"})


class MeanPercentageError(Metric):
    """MAPE in percent: the mean of 100 * abs(y - p) / abs(y); targets of zero, where it is undefined, are left out.

    Example:
        >>> metric = MeanPercentageError()
        >>> metric.update(torch.tensor([9.0, 22.0]), torch.tensor([10.0, 20.0]))
        >>> round(metric.compute().item(), 4)
        10.0
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "count"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        defined = target != 0
        self.total += ((prediction - target)[defined] / target[defined]).abs().double().sum()
        self.count += defined.sum()

    def compute(self) -> Tensor:
        return 100 * self.total / self.count if self.count > 0 else torch.tensor(math.nan)


class ZeroTargets(Metric):
    """How many targets are zero: those that MAPE leaves out."""

    full_state_update = False
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        self.count += (target == 0).sum()

    def compute(self) -> Tensor:
        return self.count


class _R2(R2Score):
    """The mean of the outputs' coefficients of determination; NaN of fewer than two rows, which have no variance."""

    def compute(self) -> Tensor:
        return super().compute() if self.total > 1 else torch.tensor(math.nan)


class _InUnit(Metric):
    """A regression metric fed with logits and scaled targets, computed in the original unit."""

    full_state_update = False

    def __init__(self, task: Regression, metric: Metric) -> None:
        super().__init__()
        self.task = task
        self.metric = metric

    def update(self, logits: Tensor, target: Tensor) -> None:
        self.metric.update(self.task.predict(logits), self.task.original(target).float())

    def compute(self) -> Any:
        return self.metric.compute()

    def reset(self) -> None:
        super().reset()
        self.metric.reset()
