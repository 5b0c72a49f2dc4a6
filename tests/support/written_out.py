"""Methods written out with plain tensors, to compare with on the tiny problem.

A test gives a subclass of :class:`WrittenOut` that holds the formulas of one method, and
:func:`compare` trains the method and its literal form side by side. The literal form uses nothing
of the package: its encoders, losses and optimizer are written here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from g2d.fusion import Additive, Late
from g2d.method import Method, TrainState, Validation
from g2d.model import MultimodalModel
from g2d.task import Classification, Regression, Task
from g2d.types import Batch
from support.tiny import BATCHES, VARIANCE, WIDTHS, batches, network, task_of, validation_of
from support.workbench import predicted, weights

RATE, MOMENTUM, DECAY = 0.04, 0.9, 0.02
TOLERANCE = 1e-12
"""Relative and absolute."""

SHARED_NAMES = ("loss/", "kappa/", "beta/", "cosine/", "weight/", "rate/", "frozen/", "alignment/")
"""Beginnings of recorded names that a literal form must record too, all of them."""


class WrittenOut:
    """Weights of a model and a method by name, and the computations that every method needs.

    Subclasses write out a method in :meth:`step`.

    Attributes:
        defaults: Options of the method as its paper or card has them.
        t: All weights and buffers by name, ``model.*`` and ``method.*``.
        o: Options of the method.
        epoch: Current epoch, counted from 1.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self, model: MultimodalModel, method: Method, task: Task, options: Mapping[str, Any]
    ) -> None:
        self.names = [f"model.{name}" for name, _ in model.named_parameters()]
        self.names += [f"method.{name}" for name, _ in method.named_parameters()]
        self.t = {name: v.detach().clone() for name, v in weights(model, method).items()}
        for name in self.names:
            self.t[name].requires_grad_()
        self.velocity: dict[str, Tensor] = {}
        self.modalities, self.k = model.modalities, len(model.modalities)
        self.scale = 1 / self.k if isinstance(model.fusion, Late) else 1.0
        self.classes = isinstance(task, Classification)
        self.sigmoid = isinstance(task, Regression) and task.output == "sigmoid"
        self.o = SimpleNamespace(**{**self.defaults, **options})
        self.epoch = self.epochs = 0
        self.rows: Callable[[str, int], list[Batch]]

    def epoch_start(self) -> None:
        """Prepare for an epoch."""

    def step(self, batch: Batch) -> dict[str, Tensor | float]:
        """Train on one batch; return what the method must record."""
        raise NotImplementedError

    def epoch_end(self, validation: Validation) -> dict[str, float]:
        """Finish an epoch; return what the method must record."""
        return {}

    def predict(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the fused and the unimodal predictions of a batch."""
        z = self.logits(self.features(batch, train=False))
        return self.fused(z), z

    def features(
        self,
        batch: Batch,
        *,
        train: bool = True,
        only: Iterable[str] | None = None,
        t: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Return f^m per modality, zero in rows without it."""
        return {
            m: self.encode(m, batch.inputs[m], train=train, t=t) * self.has(batch, m)[:, None]
            for m in (self.modalities if only is None else only)
        }

    def encode(
        self, m: str, x: Any, *, train: bool = True, t: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Return the features of an encoder: convolution, normalization, tanh, linear layer."""
        t = self.t if t is None else t
        at = f"model.encoders.{m}."
        weight, bias = t[at + "0.weight"], t[at + "0.bias"]
        grid = [
            sum(weight[:, 0, a, b] * x[:, 0, i + a, j + b, None] for a in (0, 1) for b in (0, 1))
            + bias
            for i in (0, 1)
            for j in (0, 1)
        ]
        h = torch.stack(grid, 2)  # (B, 2 channels, 4 places)
        h = self.normalized(h, at + "1.", train=train, t=t)
        return h.tanh().flatten(1) @ t[at + "4.weight"].T + t[at + "4.bias"]

    def normalized(
        self, h: Tensor, at: str, *, train: bool, t: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Return normalized channels ``(B, C, N)``; in train mode, update the statistics."""
        t = self.t if t is None else t
        mean, variance = t[at + "running_mean"], t[at + "running_var"]
        if train:
            count = h.shape[0] * h.shape[2]
            mean = h.sum((0, 2)) / count
            squares = (h - mean[:, None]).square().sum((0, 2))
            variance = squares / count
            with torch.no_grad():
                self.t[at + "running_mean"] = 0.9 * t[at + "running_mean"] + 0.1 * mean
                unbiased = squares / (count - 1)
                self.t[at + "running_var"] = 0.9 * t[at + "running_var"] + 0.1 * unbiased
                self.t[at + "num_batches_tracked"] = t[at + "num_batches_tracked"] + 1
        unit = (h - mean[:, None]) / (variance[:, None] + 1e-5).sqrt()
        return unit * t[at + "weight"][:, None] + t[at + "bias"][:, None]

    def head(self, m: str, f: Tensor, at: str = "model.fusion.heads.") -> Tensor:
        """Return W_m f + b_m."""
        return self.linear(f, f"{at}{m}")

    def linear(self, f: Tensor, at: str) -> Tensor:
        """Return W f + b."""
        return f @ self.t[at + ".weight"].T + self.t[at + ".bias"]

    def logits(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return z^m per modality."""
        return {m: self.head(m, f) for m, f in features.items()}

    def fused(self, z: Mapping[str, Tensor]) -> Tensor:
        """Return the sum or the mean of z^m, by the model's fusion."""
        return torch.stack(list(z.values())).sum(0) * self.scale

    def has(self, batch: Batch, m: str) -> Tensor:
        """Return 1 for rows that have the modality, else 0."""
        mask = None if batch.present is None else batch.present.get(m)
        return torch.ones(len(batch), dtype=torch.float64) if mask is None else mask.double()

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of every row: cross-entropy, or the squared error of the sigmoid."""
        if self.classes:
            return -log_softmax(logits)[torch.arange(len(target)), target]
        return (self.values(logits) - target).square().sum(1) / target.shape[1]

    def values(self, logits: Tensor) -> Tensor:
        """Return the predictions of a regression: logits, or their sigmoid."""
        return 1 / (1 + (-logits).exp()) if self.sigmoid else logits

    def confidence(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the confidence of every row in its true target."""
        if self.classes:
            return log_softmax(logits).exp()[torch.arange(len(target)), target]
        squared = (self.values(logits) - target).square()
        return (-squared / torch.tensor(VARIANCE, dtype=torch.float64)).exp().sum(1) / 2

    def mean_confidence(
        self, z: Mapping[str, Tensor], batch: Batch, empty: float
    ) -> dict[str, float]:
        """Return the mean over the rows that have the modality, or ``empty`` without any."""
        scores = {}
        for m, logits in z.items():
            has = self.has(batch, m)
            total = float((self.confidence(logits.detach(), batch.target) * has).sum())
            scores[m] = total / float(has.sum()) if has.sum() else empty
        return scores

    def gradients(self, loss: Tensor, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return the gradients of a loss; parameters that it does not reach are left out."""
        names = list(self.names if names is None else names)
        values = torch.autograd.grad(
            loss, [self.t[name] for name in names], retain_graph=True, allow_unused=True
        )
        return {name: g for name, g in zip(names, values, strict=True) if g is not None}

    def window(self) -> tuple[float, float]:
        """Return the first and the last epoch of the modulation, from epochs or shares."""
        start, end = self.o.window or (1, math.inf)
        if isinstance(start, float):
            start = math.floor(start * self.epochs + 1e-6) + 1
            end = max(start, math.floor(end * self.epochs + 1e-6))
        return start, end

    def inside(self) -> bool:
        """Return whether the epoch is in the window of the modulation."""
        start, end = self.window()
        return start <= self.epoch <= end

    def of(self, m: str) -> str:
        """Return how the names of an encoder's weights begin."""
        return f"model.encoders.{m}."

    def descend(
        self, gradients: Mapping[str, Tensor], rate: Callable[[str], float] = lambda _: 1.0
    ) -> None:
        """Take a step of gradient descent with momentum and weight decay.

        Args:
            gradients: Gradients by name; parameters without one do not change.
            rate: Factor on the learning rate of a parameter.
        """
        with torch.no_grad():
            for name, g in gradients.items():
                change = g + DECAY * self.t[name]
                if name in self.velocity:
                    change = change + MOMENTUM * self.velocity[name]
                self.velocity[name] = change
                self.t[name] = self.t[name] - RATE * rate(name) * change
                self.t[name].requires_grad_()


def log_softmax(logits: Tensor) -> Tensor:
    """Return log softmax over the last axis."""
    return logits - logits.exp().sum(-1, keepdim=True).log()


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of each row."""
    return -(log_softmax(logits).exp() * log_softmax(logits)).sum(-1)


def weight_of(weight: float | Mapping[str, float], m: str) -> float:
    """Return one of several weights, or the only one."""
    return weight[m] if isinstance(weight, Mapping) else weight


def compare(
    kind: type[Method],
    literal: type[WrittenOut],
    options: Mapping[str, Any],
    k: int,
    *,
    first: int = 1,
    epochs: int = 3,
    regression: bool = False,
    output: Literal["sigmoid", "identity"] = "sigmoid",
    complete: bool = False,
    fusion: type[Additive] = Late,
    written: Mapping[str, Any] | None = None,
    prepare: Callable[[Method], object] = lambda method: None,
) -> list[dict[str, float]]:
    """Train a method and its literal form side by side, and compare them after every step.

    Args:
        kind: Class of the method.
        literal: Its literal form.
        options: Arguments of the method that differ from its defaults.
        k: Number of modalities.
        first: First epoch, as in a run that is resumed.
        epochs: Last epoch; each has two batches.
        regression: Whether targets are values instead of classes.
        output: Function that turns logits into values.
        complete: Whether every row has all modalities.
        fusion: The model's fusion.
        written: Options of the literal form if they differ from those of the method.
        prepare: Function that changes the method before training.

    Returns:
        What the method recorded, step by step.
    """
    modalities, task = tuple(WIDTHS)[:k], task_of(regression, output)
    model = network(modalities, task.outputs, 7, fusion)
    torch.manual_seed(8)
    method = kind(**options).build(model, task).double()
    prepare(method)

    def rows(split: str, epoch: int) -> list[Batch]:
        number = epoch if split == "train" else 1
        return batches(k, number, split, regression=regression, complete=complete)

    def share_of_rows(split: str, fraction: float, epoch: int) -> list[Batch]:
        return rows(split, epoch)[: max(1, int(fraction * BATCHES))]

    twin = literal(model, method, task, options if written is None else written)
    twin.rows, twin.epochs = rows, epochs
    state = TrainState(
        model,
        torch.optim.SGD(
            method.parameter_groups(model), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY
        ),
        task,
        epochs=epochs,
        batches_per_epoch=BATCHES,
        rows=share_of_rows,
    )
    records = []
    for epoch in range(first, epochs + 1):
        state.epoch = twin.epoch = epoch
        model.train()
        method.train()
        method.epoch_start(state)
        twin.epoch_start()
        for batch in rows("train", epoch):
            record = {
                name: float(value) for name, value in method.training_step(state, batch).items()
            }
            agree(record, twin.step(batch))
            agree_in_weights(model, method, twin)
            records.append(record)
        validation = validation_of(modalities, epoch)
        agree(method.epoch_end(state, validation), twin.epoch_end(validation))
    batch = rows("train", 1)[0]
    output = predicted(method, model, batch)
    fused, unimodal = twin.predict(batch)
    near(output.logits, fused, "fused prediction")
    assert (output.unimodal_logits or {}).keys() == unimodal.keys()
    for m, z in unimodal.items():
        near((output.unimodal_logits or {})[m], z, f"prediction of {m}")
    return records


def agree(record: Mapping[str, float], expected: Mapping[str, Tensor | float]) -> None:
    """Check that a record holds the expected values, and no others of the shared names."""
    shared = {name for name in record if name.startswith(SHARED_NAMES)}
    assert shared == {name for name in expected if name.startswith(SHARED_NAMES)}
    for name, value in expected.items():
        near(record[name], value, name)


def agree_in_weights(model: nn.Module, method: nn.Module, twin: WrittenOut) -> None:
    """Check that all weights and buffers are those of the literal form."""
    ours = weights(model, method)
    assert ours.keys() == twin.t.keys()
    for name, value in ours.items():
        near(value, twin.t[name], name)


def near(value: Any, expected: Any, name: str) -> None:
    """Check that two numbers or tensors are equal up to rounding."""
    torch.testing.assert_close(
        torch.as_tensor(value, dtype=torch.float64).detach(),
        torch.as_tensor(expected, dtype=torch.float64).detach(),
        rtol=TOLERANCE,
        atol=TOLERANCE,
        equal_nan=True,
        msg=lambda text: f"{name}: {text}",
    )
