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
from g2d.functional.losses import label_distillation, logit_distillation
from g2d.functional.precision import at_least_float32
from g2d.functional.scoring import (
    error_confidence,
    true_class_confidence,
    true_state_confidence,
)


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
        score: Name of the score of a diagnosis, the mean of :meth:`hits` over rows.
        discrete: Whether the prediction of a row is right or wrong.
        outputs: C, the width of the logits.
        names: Names of the classes or labels; empty for values.
        least_rows: Number of rows that a split needs for the headline metric to be defined.
    """

    kind: str
    headline: str
    score: str
    discrete: bool
    outputs: int
    least_rows: int = 1
    names: tuple[str, ...] = ()

    @abstractmethod
    def check_target(self, target: Tensor) -> None:
        """Check the shape and data type of the targets of a batch.

        Raises:
            ArgumentError: They are no targets of this task.
        """

    @abstractmethod
    def loss_per_row(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row ``(B,)``; its mean over the batch is L_S of Eq. 1."""

    def row_weights(self, target: Tensor) -> Tensor:
        """Return the factor of each row's loss ``(B,)``: 1 unless classes have weights."""
        return torch.ones(len(target), device=target.device)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return L_S (Eq. 1): the mean loss of the batch, a scalar."""
        return self.loss_per_row(logits, target).mean()

    @abstractmethod
    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the confidence of each row in its true target ``(B,)``, in [0, 1].

        Its mean over the batch is rho of Eq. 5.
        """

    def learned(self, confidence: float, score: float) -> float:
        """Return how much a prediction has learned: its confidence, or R² for values.

        Args:
            confidence: Mean confidence in the true target over some rows.
            score: Headline metric of the same rows.
        """
        return confidence

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
        """Return the answer: class numbers ``(B,)``, values ``(B, C)``, or states ``(B, C)``."""

    @abstractmethod
    def answers(self, logits: Tensor) -> list[Any] | Tensor:
        """Return the answer of each row in words: names, or values ``(B, C)``."""

    def hits(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the quantity of each row ``(B,)`` whose mean is the score of a diagnosis, float32.

        It is 1 or 0 for a right or wrong prediction; for values, minus the squared error in the
        scaled unit.
        """
        return same(self.predict(logits), target).to(torch.float32)

    @abstractmethod
    def truth(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the value that the logits give to the true target ``(B,)``; higher is better."""

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of every class or label ``(B, C)``.

        Raises:
            ArgumentError: The targets are values.
        """

    @abstractmethod
    def logits_of(self, probabilities: Tensor) -> Tensor:
        """Return logits ``(B, C)`` with these probabilities.

        Raises:
            ArgumentError: The targets are values.
        """

    @abstractmethod
    def metrics(self) -> Metrics:
        """Return new, empty metrics."""

    @abstractmethod
    def negative_log_likelihood(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return what calibration minimizes, summed over the rows (a scalar)."""

    def guesses(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability of every guess ``(N,)``, and whether it is right, bool.

        A row has one guess, or one for each label.

        Raises:
            ArgumentError: The targets are values.
        """
        probability, guess = self.probabilities(logits).max(1)
        return probability, guess == target

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return plain JSON values from which :func:`task_from_config` rebuilds this task."""


class Classification(Task):
    """One class of C per row. Targets are class numbers ``(B,)``, int64.

    Args:
        classes: Names of the classes, or their number.
        weights: Factor of the loss of the rows of each class; None weighs all rows alike. The loss
            of a batch is the mean over its rows, not divided by the sum of the weights.

    Raises:
        ArgumentError: There are fewer than two classes, or the weights are not one positive number
            per class.

    Example:
        >>> task = Classification(["cat", "dog", "bird"])
        >>> task
        Classification(classes=['cat', 'dog', 'bird'], weights=None)
        >>> task.predict(torch.tensor([[0.1, 0.7, 0.2]]))
        tensor([1])
    """

    kind = "classification"
    headline = score = "accuracy"
    discrete = True

    def __init__(
        self, classes: Sequence[str] | int, *, weights: Sequence[float] | None = None
    ) -> None:
        self.classes = (
            tuple(map(str, range(classes))) if isinstance(classes, int) else tuple(classes)
        )
        if len(self.classes) < 2:
            raise ArgumentError(f"classes must be two or more, found {len(self.classes)}.")
        self.outputs, self.names = len(self.classes), self.classes
        self.weights = None if weights is None else tuple(weights)
        if weights is not None and not (
            len(weights) == self.outputs and all(0 < weight < math.inf for weight in weights)
        ):
            raise ArgumentError(
                f"weights must be one positive number for each of the {self.outputs} classes, "
                f"found {list(weights)}."
            )

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
        """Return the cross-entropy CE(l, y) of each row ``(B,)`` (Eq. 1), times its weight."""
        loss = F.cross_entropy(at_least_float32(logits), target, reduction="none")
        return loss if self.weights is None else loss * self.row_weights(target).to(loss)

    def row_weights(self, target: Tensor) -> Tensor:
        """Return the weight of the class of each row ``(B,)``."""
        if self.weights is None:
            return super().row_weights(target)
        return torch.tensor(self.weights, device=target.device)[target]

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

    def answers(self, logits: Tensor) -> list[Any] | Tensor:
        """Return the name of the most probable class of each row."""
        return [self.classes[number] for number in self.predict(logits).tolist()]

    def truth(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the logit of the true class ``(B,)``."""
        return logits.gather(1, target[:, None])[:, 0]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of every class ``(B, C)``, softmax(l)."""
        return at_least_float32(logits).softmax(1)

    def logits_of(self, probabilities: Tensor) -> Tensor:
        """Return logarithms of the probabilities ``(B, C)``."""
        return probabilities.clamp_min(1e-38).log()

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
        """Return the kind, the names of the classes, and their weights if they have some."""
        weights = {} if self.weights is None else {"weights": list(self.weights)}
        return {"kind": self.kind, "classes": list(self.classes)} | weights


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
    score = "R²"
    discrete = False
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

    def unsquash(self, values: Tensor) -> Tensor:
        """Return logits ``(B, C)`` whose prediction in the scaled unit is nearest to values."""
        return values.logit(1e-6) if self.output == "sigmoid" else values

    def unscale(self, scaled: Tensor) -> Tensor:
        """Return values in the original unit, from targets or predictions in the scaled unit."""
        value = self.stretched(scaled)
        return value.exp() if self.log else value

    def stretched(self, scaled: Tensor) -> Tensor:
        """Return values in the original unit, or their logarithms if ``log``."""
        low, high = (scaled.new_tensor(_each(end)) for end in (self.low, self.high))
        return low + (high - low) * scaled

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

    def learned(self, confidence: float, score: float) -> float:
        """Return R², which is the headline metric."""
        return score

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

    def answers(self, logits: Tensor) -> list[Any] | Tensor:
        """Return values in the original unit ``(B, C)``, on the CPU."""
        return self.predict(logits).cpu()

    def hits(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return minus the squared error of each row in the scaled unit ``(B,)``."""
        return -self.loss_per_row(logits, target)

    def truth(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return minus the squared error of each row in the scaled unit ``(B,)``."""
        return self.hits(logits, target)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Refuse: values have no probability."""
        raise ArgumentError(
            f"probabilities must belong to classes or labels, found a {self.kind} task."
        )

    def logits_of(self, probabilities: Tensor) -> Tensor:
        """Refuse: values have no probability."""
        return self.probabilities(probabilities)

    def metrics(self) -> Metrics:
        """Return R², MAE, MAPE and the number of zero targets, in the original unit.

        With ``log``, ``r2_log`` is R² of the logarithms, on which a few large values weigh less.
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


class MultiLabel(Task):
    """Any number of C labels per row. Targets are 1 or 0 per label ``(B, C)``, float or bool.

    Every output has a sigmoid of its own: p_c = sigmoid(l_c). A label is predicted if p_c > 0.5.

    Args:
        labels: Names of the labels, or their number.

    Raises:
        ArgumentError: There is no label, or a name occurs twice.

    Example:
        >>> task = MultiLabel(["happy", "sad", "surprised"])
        >>> task
        MultiLabel(labels=['happy', 'sad', 'surprised'])
        >>> task.answers(torch.tensor([[2.0, -1.0, 0.5], [-1.0, -1.0, -1.0]]))
        [('happy', 'surprised'), ()]
    """

    kind = "multilabel"
    headline = "micro_f1"
    score = "subset accuracy"
    discrete = True

    def __init__(self, labels: Sequence[str] | int) -> None:
        self.labels = tuple(map(str, range(labels))) if isinstance(labels, int) else tuple(labels)
        if not self.labels:
            raise ArgumentError("labels must be one or more, found none.")
        if repeated := [name for name in self.labels if self.labels.count(name) > 1]:
            raise ArgumentError(f"labels must have different names, found {repeated[0]!r} twice.")
        self.outputs, self.names = len(self.labels), self.labels

    def check_target(self, target: Tensor) -> None:
        """Check that targets are states ``(B, C)``, float or bool."""
        fits = target.ndim == 2 and target.shape[1] == self.outputs
        if fits and (target.is_floating_point() or target.dtype == torch.bool):
            return
        change = "target.to(torch.float)" if fits else "one column of 0 and 1 per label"
        raise ArgumentError(
            f"target must hold 0 or 1 per label, of shape (rows, {self.outputs}) and type float "
            f"or bool, found shape {tuple(target.shape)} and type {target.dtype}. Pass {change}."
        )

    def loss_per_row(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the binary cross-entropy of each row, averaged over the labels ``(B,)`` (Eq. 1).

        -mean over c of y_c log p_c + (1 - y_c) log(1 - p_c)
        """
        self._check(logits, target)
        logits = at_least_float32(logits)
        entropy = F.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none")
        return entropy.mean(1)

    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean probability of the true states ``(B,)``: Eq. 5 per label."""
        self._check(logits, target)
        return true_state_confidence(logits, target)

    def distillation(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        temperature: float = 1.0,
        present: Tensor | None = None,
    ) -> Tensor:
        """Return the divergence of the student's labels from the teacher's (Eq. 3 per label).

        See :func:`~g2d.functional.label_distillation`.
        """
        return label_distillation(student, teacher, temperature=temperature, present=present)

    def predict(self, logits: Tensor) -> Tensor:
        """Return which labels have a probability above 0.5 ``(B, C)``, bool."""
        return logits > 0

    def answers(self, logits: Tensor) -> list[Any] | Tensor:
        """Return the names of the predicted labels of each row, a tuple that may be empty."""
        return [
            tuple(name for name, state in zip(self.labels, row, strict=True) if state)
            for row in self.predict(logits).tolist()
        ]

    def truth(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean log-odds of the true states ``(B,)``: l if the row has it, else -l."""
        return torch.where(target.bool(), logits, -logits).mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probability of every label ``(B, C)``, sigmoid(l)."""
        return at_least_float32(logits).sigmoid()

    def logits_of(self, probabilities: Tensor) -> Tensor:
        """Return log-odds ``(B, C)``."""
        return probabilities.logit(1e-7)

    def guesses(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probability of the predicted state of every label, and whether it is right."""
        right = self.predict(logits) == target.bool()
        return at_least_float32(logits).abs().sigmoid().flatten(), right.flatten()

    def metrics(self) -> Metrics:
        """Return subset accuracy, micro and macro F1, and mean average precision.

        Subset accuracy is the share of rows whose labels are all right. See
        :func:`~g2d.functional.f1_of_labels` and
        :func:`~g2d.functional.mean_average_precision` for labels without positive rows.

        Example:
            >>> metrics = MultiLabel(2).metrics()
            >>> metrics.update(torch.tensor([[2.0, 1.0], [-1.0, 3.0]]), torch.eye(2))
            >>> values = metrics.compute()
            >>> list(values)
            ['macro_f1', 'mean_average_precision', 'micro_f1', 'subset_accuracy']
            >>> round(values["micro_f1"], 4), values["subset_accuracy"]
            (0.8, 0.5)
        """
        return _MultiLabelMetrics(self)

    def negative_log_likelihood(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the binary cross-entropy, summed over rows and labels."""
        return self.loss_per_row(logits, target).sum() * self.outputs

    def config(self) -> dict[str, Any]:
        """Return the kind and the names of the labels."""
        return {"kind": self.kind, "labels": list(self.labels)}

    def _check(self, logits: Tensor, target: Tensor) -> None:
        if logits.shape != target.shape:
            raise ArgumentError(
                "targets of several labels must have the shape of the logits, "
                f"(rows, labels) = {tuple(logits.shape)}, found {tuple(target.shape)}."
            )


def same(first: Tensor, second: Tensor) -> Tensor:
    """Return which rows of two answers or targets are equal ``(B,)``, bool.

    Args:
        first: Class numbers ``(B,)``, or states ``(B, C)``.
        second: The same of other rows, or of other predictions.

    Example:
        >>> same(torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]]))
        tensor([ True, False])
    """
    equal = first == second
    return equal if equal.ndim == 1 else equal.all(1)


def _each(numbers: float | Sequence[float]) -> list[float]:
    """Return one number for all outputs, or one for each, as a list that broadcasts."""
    return list(numbers) if isinstance(numbers, Sequence) else [numbers]


TASKS: dict[str, type[Task]] = {
    task.kind: task for task in (Classification, Regression, MultiLabel)
}


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


class _MultiLabelMetrics(Metrics):
    """Counts per label, rows whose labels are all right, and the logits of all rows."""

    def __init__(self, task: MultiLabel) -> None:
        self.task = task
        self.counts = torch.zeros(task.outputs, 3, dtype=torch.int64)
        self.right = torch.zeros((), dtype=torch.int64)
        self.logits: list[Tensor] = []
        self.target: list[Tensor] = []

    def update(self, logits: Tensor, target: Tensor) -> None:
        predicted, states = self.task.predict(logits), target.bool()
        counts = metrics.label_counts(predicted, states)
        self.counts = self.counts.to(counts.device) + counts
        self.right = self.right.to(counts.device) + same(predicted, states).sum()
        self.logits.append(at_least_float32(logits).detach().cpu())
        self.target.append(states.cpu())

    def compute(self) -> dict[str, float]:
        micro, macro = metrics.f1_of_labels(self.counts)
        none = torch.zeros(0, self.task.outputs)
        logits, target = (torch.cat([none, *parts]) for parts in (self.logits, self.target))
        return {
            "macro_f1": macro.item(),
            "mean_average_precision": metrics.mean_average_precision(logits, target).item(),
            "micro_f1": micro.item(),
            "subset_accuracy": self.right.item() / max(len(target), 1),
        }


class _Determination:
    """Sums of targets, their squares and squared errors, which give R²."""

    def __init__(self) -> None:
        self.rows = 0
        self.total = self.total_of_squares = self.residual = torch.zeros(())

    def add(self, value: Tensor, truth: Tensor) -> None:
        self.rows += len(truth)
        self.total = self.total + truth.sum(0)
        self.total_of_squares = self.total_of_squares + truth.square().sum(0)
        self.residual = self.residual + (truth - value).square().sum(0)

    def r2(self) -> float:
        sums = self.total, self.total_of_squares, self.residual
        return metrics.r2_score(self.rows, *sums).item()


class _RegressionMetrics(Metrics):
    """Sums of targets and errors in the original unit, and of logarithms if the task has them."""

    def __init__(self, task: Regression) -> None:
        self.task = task
        self.values, self.logarithms = _Determination(), _Determination()
        self.zero_targets, self.error = 0, torch.zeros(())
        self.share = torch.zeros((), dtype=torch.float64)

    def update(self, logits: Tensor, target: Tensor) -> None:
        value = self.task.predict(logits)
        truth = self.task.original(target).to(value)
        error, defined = truth - value, truth != 0
        self.zero_targets += int((~defined).sum())
        self.values.add(value, truth)
        if self.task.log:
            squashed = self.task.squash(logits).double()
            self.logarithms.add(*map(self.task.stretched, (squashed, target.double())))
        self.error = self.error + error.abs().sum()
        self.share = self.share + (error[defined] / truth[defined]).abs().double().sum()

    def compute(self) -> dict[str, float]:
        count = self.values.rows * self.task.outputs
        defined = count - self.zero_targets
        return {
            "mae": (self.error / count).item() if count else math.nan,
            "mape": (100 * self.share / defined).item() if defined else math.nan,
            "r2": self.values.r2(),
            **({"r2_log": self.logarithms.r2()} if self.task.log else {}),
            "zero_targets": float(self.zero_targets),
        }
