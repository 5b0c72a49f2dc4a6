"""Kinds of targets, and what depends on them: loss, confidence, distillation, prediction, metrics.

Methods never branch on the kind of target: they call the task.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from g2d.configured import Configured
from g2d.errors import ArgumentError
from g2d.functional import metrics
from g2d.functional.losses import logit_distillation
from g2d.functional.precision import at_least_float32
from g2d.functional.scoring import error_confidence, true_class_confidence


class Metrics(ABC):
    """Sums over all rows so far, and the metrics that follow from them.

    Batches can be of any size: the metrics of a split do not depend on how it is cut.
    """

    @abstractmethod
    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add the rows of a batch.

        Args:
            logits: Logits ``(B, C)``.
            target: Targets as in :class:`~g2d.types.Batch`.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return every metric by name."""


class Task(Configured, ABC):
    """Contract of a kind of target.

    Attributes:
        kind: Name of the kind, a key of :data:`TASKS`.
        headline: Name of the metric that selects the best epoch; higher is better.
        outputs: C, the width of the logits.
        least_rows: Number of rows that a split needs for the headline metric to be defined.
    """

    kind: str
    headline: str
    outputs: int
    least_rows: int = 1

    @abstractmethod
    def check_target(self, target: Tensor) -> None:
        """Check the shape and data type of the targets of a batch.

        Raises:
            ArgumentError: They are no targets of this task.
        """

    @abstractmethod
    def loss_per_row(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row ``(B,)``; its mean over the batch is L_S of Eq. 1."""

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return L_S (Eq. 1): the mean loss of the batch, a scalar."""
        return self.loss_per_row(logits, target).mean()

    @abstractmethod
    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the confidence of each row in its true target ``(B,)``, in [0, 1].

        Its mean over the batch is rho of Eq. 5.
        """

    @abstractmethod
    def distillation(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        temperature: float = 1.0,
        present: Tensor | None = None,
    ) -> Tensor:
        """Return L_logit (Eq. 3): the distance of the student's prediction from a teacher's.

        Args:
            student: Fused logits of the student ``(B, C)``; receive the gradient.
            teacher: Logits of one teacher ``(B, C)``; receive no gradient.
            temperature: Divisor of both logits, where the task has one.
            present: Rows that have the teacher's modality ``(B,)``, bool; the others add nothing.

        Returns:
            A scalar.
        """

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """Return the answer for a user: class numbers ``(B,)`` or values ``(B, C)``."""

    @abstractmethod
    def metrics(self) -> Metrics:
        """Return new, empty metrics."""

    @abstractmethod
    def negative_log_likelihood(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return what calibration minimizes, summed over the rows (a scalar)."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return plain JSON values from which :func:`task_from_config` rebuilds this task."""


class Classification(Task):
    """One class of C per row. Targets are class numbers ``(B,)``, int64.

    Args:
        classes: Names of the classes, or their number.

    Raises:
        ArgumentError: There are fewer than two classes.

    Example:
        >>> task = Classification(["cat", "dog", "bird"])
        >>> task
        Classification(classes=['cat', 'dog', 'bird'])
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

    def check_target(self, target: Tensor) -> None:
        """Check that targets are class numbers ``(B,)``, int64."""
        if target.ndim == 1 and target.dtype == torch.int64:
            return
        change = "target.long()" if target.ndim == 1 else "target.argmax(1) for one-hot rows"
        raise ArgumentError(
            "target must hold class numbers of shape (rows,) and type int64, "
            f"found shape {tuple(target.shape)} and type {target.dtype}. "
            f"Pass {change}."
        )

    def loss_per_row(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy CE(l, y) of each row ``(B,)`` (Eq. 1)."""
        return F.cross_entropy(at_least_float32(logits), target, reduction="none")

    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return softmax(l)[i, y_i] of each row ``(B,)`` (Eq. 5)."""
        return true_class_confidence(logits, target)

    def distillation(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        temperature: float = 1.0,
        present: Tensor | None = None,
    ) -> Tensor:
        """Return the divergence of the student's classes from the teacher's (Eq. 3).

        See :func:`~g2d.functional.logit_distillation`.
        """
        return logit_distillation(student, teacher, temperature=temperature, present=present)

    def predict(self, logits: Tensor) -> Tensor:
        """Return the number of the most probable class ``(B,)``."""
        return logits.argmax(1)

    def metrics(self) -> Metrics:
        """Return accuracy, macro F1, unweighted average recall and, above 5 classes, top 5.

        Example:
            >>> metrics = Classification(2).metrics()
            >>> metrics.update(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
            >>> metrics.compute()["accuracy"]
            0.5
        """
        return _ClassificationMetrics(self)

    def negative_log_likelihood(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy, summed over the rows."""
        return F.cross_entropy(at_least_float32(logits), target, reduction="sum")

    def config(self) -> dict[str, Any]:
        """Return the kind and the names of the classes."""
        return {"kind": self.kind, "classes": list(self.classes)}


class Regression(Task):
    """C real values per row. Logits and targets are both ``(B, C)``.

    Targets are in a scaled unit: ``value = low + (high - low) * target``, and then
    ``exp(value)`` if ``log``. The prediction is p = sigmoid(l) (Eq. 1; targets in (0, 1)) or
    p = l, in the same scaled unit. Metrics are computed in the original unit.

    Args:
        outputs: Number of values C.
        output: Function that turns logits into predictions, ``"sigmoid"`` or ``"identity"``.
        low: Value that maps to 0 in the scaled unit, of all outputs or of each.
        high: Value that maps to 1 in the scaled unit, of all outputs or of each.
        log: Whether ``low`` and ``high`` are logarithms of values.
        variance: Var_train(y) of the scaled targets, of all outputs or of each; the confidence
            of Eq. 5 divides by it.

    Raises:
        ArgumentError: An argument breaks its rule, or later the shape of the targets differs from
            that of the logits (``(B,)`` and ``(B, 1)`` would broadcast without an error).

    Example:
        >>> task = Regression(output="identity", low=0.0, high=20.0)
        >>> task
        Regression(outputs=1, output='identity', low=0.0, high=20.0, log=False, variance=1.0)
        >>> task.predict(torch.tensor([[0.25]]))
        tensor([[5.]])
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
        for name, value in (("low", low), ("high", high), ("variance", variance)):
            if isinstance(value, Sequence) and len(value) != outputs:
                raise ArgumentError(
                    f"{name} must be one number, or one for each of the {outputs} outputs, "
                    f"found {len(value)}."
                )
        if not min(_each(variance)) > 0:
            raise ArgumentError(
                f"variance of the training targets must be positive, found {variance}."
            )
        self.outputs, self.output = outputs, output
        self.low, self.high, self.log, self.variance = low, high, log, variance

    def check_target(self, target: Tensor) -> None:
        """Check that targets are values ``(B, C)``, float."""
        if target.ndim == 2 and target.shape[1] == self.outputs and target.is_floating_point():
            return
        raise ArgumentError(
            f"target must hold values of shape (rows, {self.outputs}) and a floating-point type, "
            f"found shape {tuple(target.shape)} and type {target.dtype}. "
            f"Pass target.to(torch.float).reshape(-1, {self.outputs})."
        )

    def squash(self, logits: Tensor) -> Tensor:
        """Return predictions in the scaled unit of the targets ``(B, C)``."""
        values = at_least_float32(logits)
        return torch.sigmoid(values) if self.output == "sigmoid" else values

    def unscale(self, scaled: Tensor) -> Tensor:
        """Return values in the original unit, from targets or predictions in the scaled unit."""
        low, high = (scaled.new_tensor(_each(end)) for end in (self.low, self.high))
        value = low + (high - low) * scaled
        return value.exp() if self.log else value

    def original(self, target: Tensor) -> Tensor:
        """Return targets in the original unit, float64.

        A value that differs from zero only by the rounding of the scaled unit becomes zero.
        """
        value = self.unscale(target.double())
        largest = max(map(abs, (*_each(self.low), *_each(self.high))))
        rounding = largest * 2 * torch.finfo(torch.float32).eps
        return value if self.log else torch.where(value.abs() <= rounding, 0.0, value)

    def loss_per_row(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return (p - y)² of each row, averaged over the outputs ``(B,)`` (Eq. 1)."""
        self._check(logits, target)
        prediction = self.squash(logits)
        return (prediction - target.to(prediction)).square().mean(1)

    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return exp(-(p - y)² / Var_train(y)) ``(B,)``: Eq. 5 without a true class."""
        self._check(logits, target)
        prediction = self.squash(logits)
        variance = prediction.new_tensor(_each(self.variance))
        return error_confidence(prediction, target, variance)

    def distillation(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        temperature: float = 1.0,
        present: Tensor | None = None,
    ) -> Tensor:
        """Return the mean squared difference of the two predictions.

        ``temperature`` has no meaning for values and is ignored.
        """
        per_row = (self.squash(student) - self.squash(teacher.detach())).square().mean(1)
        return per_row.mean() if present is None else (per_row * present).mean()

    def predict(self, logits: Tensor) -> Tensor:
        """Return values in the original unit ``(B, C)``."""
        return self.unscale(self.squash(logits))

    def metrics(self) -> Metrics:
        """Return R², MAE, MAPE and the number of zero targets, in the original unit.

        MAPE, in percent, is the mean of 100 |y - p| / |y|; targets of zero, for which it is
        undefined, are left out and counted as ``zero_targets``.

        Example:
            >>> metrics = Regression(output="identity").metrics()
            >>> metrics.update(torch.tensor([[9.0], [22.0]]), torch.tensor([[10.0], [20.0]]))
            >>> {name: round(value, 4) for name, value in metrics.compute().items()}
            {'mae': 1.5, 'mape': 10.0, 'r2': 0.9, 'zero_targets': 0.0}
        """
        return _RegressionMetrics(self)

    def negative_log_likelihood(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return N/2 log of the mean squared error: a Gaussian whose variance is fitted too."""
        error: Tensor = self.loss_per_row(logits, target).mean().clamp_min(1e-12)
        return len(logits) / 2 * error.log()

    def config(self) -> dict[str, Any]:
        """Return the kind and the arguments of the constructor."""
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
                "regression targets must have the shape of the logits, "
                f"(rows, outputs) = {tuple(logits.shape)}, found {tuple(target.shape)}."
            )


def _each(numbers: float | Sequence[float]) -> list[float]:
    """Return one number for all outputs, or one for each, as a list that broadcasts."""
    return list(numbers) if isinstance(numbers, Sequence) else [numbers]


TASKS: dict[str, type[Task]] = {"classification": Classification, "regression": Regression}


def task_from_config(config: Mapping[str, Any]) -> Task:
    """Build the task that :meth:`Task.config` described.

    Example:
        >>> task_from_config(Classification(["cat", "dog"]).config()).outputs
        2
    """
    return TASKS[config["kind"]](**{key: value for key, value in config.items() if key != "kind"})


class _ClassificationMetrics(Metrics):
    """A confusion matrix, and the rows whose true class is among the five most probable."""

    def __init__(self, task: Classification) -> None:
        self.task = task
        self.confusion = self.in_top_5 = torch.zeros((), dtype=torch.int64)

    def update(self, logits: Tensor, target: Tensor) -> None:
        classes, predicted = self.task.outputs, self.task.predict(logits)
        self.confusion = self.confusion + metrics.confusion_matrix(predicted, target, classes)
        if classes > 5:
            top = logits.topk(5, dim=1).indices
            self.in_top_5 = self.in_top_5 + (top == target[:, None]).any(1).sum()

    def compute(self) -> dict[str, float]:
        classes = self.task.outputs
        confusion = self.confusion.expand(classes, classes)
        values = {
            "accuracy": metrics.accuracy(confusion),
            "macro_f1": metrics.macro_f1(confusion),
        }
        if classes > 5:
            values["top5"] = self.in_top_5 / confusion.sum().clamp_min(1)
        values["unweighted_average_recall"] = metrics.unweighted_average_recall(confusion)
        return {name: value.item() for name, value in values.items()}


class _RegressionMetrics(Metrics):
    """Sums of targets, errors and their squares, in the original unit."""

    def __init__(self, task: Regression) -> None:
        self.task = task
        self.rows = self.zero_targets = 0
        self.total = self.total_of_squares = self.residual = self.error = torch.zeros(())
        self.share = torch.zeros((), dtype=torch.float64)

    def update(self, logits: Tensor, target: Tensor) -> None:
        value = self.task.predict(logits)
        truth = self.task.original(target).to(value)
        error, defined = truth - value, truth != 0
        self.rows += len(truth)
        self.zero_targets += int((~defined).sum())
        self.total = self.total + truth.sum(0)
        self.total_of_squares = self.total_of_squares + truth.square().sum(0)
        self.residual = self.residual + error.square().sum(0)
        self.error = self.error + error.abs().sum()
        self.share = self.share + (error[defined] / truth[defined]).abs().double().sum()

    def compute(self) -> dict[str, float]:
        count = self.rows * self.task.outputs
        defined = count - self.zero_targets
        r2 = metrics.r2_score(self.rows, self.total, self.total_of_squares, self.residual)
        return {
            "mae": (self.error / count).item() if count else math.nan,
            "mape": (100 * self.share / defined).item() if defined else math.nan,
            "r2": r2.item(),
            "zero_targets": float(self.zero_targets),
        }
