"""A small problem for tests of methods: three modalities of unequal width, teachers and rows."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from g2d.encoders.transformer import Transformer
from g2d.fusion import Concat, Fusion, Late
from g2d.method import Method, TrainState, Validation
from g2d.methods import METHODS
from g2d.model import MultimodalModel, Teachers
from g2d.task import Classification, MultiLabel, Regression, Task
from g2d.types import Batch, Inputs, Output, Sequence

WIDTHS = {"sight": 6, "sound": 5, "word": 8}
ROWS, CLASSES, EPOCHS = 48, 3, 2

ARGUMENTS: dict[str, dict[str, Any]] = {
    "g2d": {"tau": (1, 0, 1)},
    "g2d_released": {"tau": (1, 0, 1)},
    "mslr": {"strategy": "keep", "coefficients": {"sight": 0.5}},
    "mses": {"patience": 1},
    "pmr": {"fraction": 1.0},
    "reconboost": {"phases": (1, 1), "hidden": 7},
}
"""Arguments that a method needs on this problem; others keep their defaults."""


def arguments(name: str, k: int) -> dict[str, Any]:
    """Return a method's arguments for k modalities, with prioritization epochs 1, 0, .., 1."""
    options = dict(ARGUMENTS.get(name, {}))
    if "tau" in options:
        options["tau"] = (*[1] * min(k - 1, 1), *[0] * (k - 2), EPOCHS - min(k - 1, 1))
    return options


@dataclass
class Bench:
    """Builder of models, methods and rows; every call builds the same.

    Args:
        name: Name of the method.
        k: Number of modalities.
        options: Arguments of the method, in addition to :data:`ARGUMENTS`.
        batchnorm: Whether the encoders of sight and sound have BatchNorm.
        regression: Whether targets are real values instead of classes.
        several: Whether targets are the states of several labels instead of classes.
        absent: Whether some rows lack a modality.
        order: Order of the modalities; None is that of :data:`WIDTHS`.
        fusion: Fusion, ``"late"`` or ``"concat"``.
    """

    name: str
    k: int = 2
    options: dict[str, Any] = field(default_factory=dict)
    batchnorm: bool = False
    regression: bool = False
    several: bool = False
    absent: bool = False
    order: tuple[str, ...] | None = None
    fusion: str = "late"

    @property
    def modalities(self) -> tuple[str, ...]:
        return self.order or tuple(WIDTHS)[: self.k]

    @property
    def epochs(self) -> int:
        """Epochs after which every encoder has been trained by the bench's arguments."""
        return 2 * len(self.modalities) if self.name == "reconboost" else EPOCHS

    @property
    def task(self) -> Task:
        if self.several:
            return MultiLabel(CLASSES)
        return Regression(1, output="identity") if self.regression else Classification(CLASSES)

    def encoder(self, m: str, seed: int) -> nn.Module:
        """Return an encoder whose weights depend on modality and seed only.

        Sight has a convolution, sound a linear layer, word a transformer.
        """
        torch.manual_seed(1000 * seed + sum(map(ord, m)))
        norm = {"sight": nn.BatchNorm2d(6), "sound": nn.BatchNorm1d(5)} if self.batchnorm else {}
        layers: dict[str, list[nn.Module]] = {
            "sight": [
                nn.Conv2d(1, 6, 3),
                norm.get("sight", nn.Identity()),
                nn.Tanh(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
            ],
            "sound": [nn.Linear(4, 5), norm.get("sound", nn.Identity()), nn.Tanh()],
        }
        return (
            nn.Sequential(*layers[m]) if m in layers else Transformer(features=3, width=8, heads=2)
        )

    def model(self, modalities: tuple[str, ...] | None = None, seed: int = 0) -> MultimodalModel:
        modalities = modalities or self.modalities
        encoders = {m: self.encoder(m, seed) for m in modalities}
        dims, outputs = {m: WIDTHS[m] for m in modalities}, self.task.outputs
        fusion: Fusion = Concat(dims, outputs) if self.fusion == "concat" else Late(dims, outputs)
        torch.manual_seed(seed)
        with torch.no_grad():  # heads must not depend on the order of the modalities
            for m in sorted(modalities):
                for parameter in fusion.heads[m].parameters():
                    parameter.normal_(0, 0.3)
        return MultimodalModel(encoders, fusion)

    def teachers(self) -> Teachers:
        return Teachers(
            {m: self.model((m,), seed=7 + i) for i, m in enumerate(sorted(self.modalities))}
        )

    def method(self, model: MultimodalModel) -> Method:
        kind = METHODS[self.name]
        options = arguments(self.name, len(self.modalities)) | self.options
        if options.get("ranking") == "lag" and "tau" not in self.options:
            options["tau"] = None
        if not set(options.get("coefficients") or ()) <= set(self.modalities):
            options.pop("coefficients")
        if kind.needs_teachers:
            options["teachers"] = self.teachers()
        torch.manual_seed(3)
        return kind(**options).build(model, self.task)

    def rows(
        self, split: str = "train", size: int = 12, process: int = 0, processes: int = 1
    ) -> Iterator[Batch]:
        """Yield batches, or the share of a process of every batch.

        The rows do not depend on the order of the modalities.
        """
        g = torch.Generator().manual_seed({"train": 5, "valid": 6}[split])
        inputs: dict[str, Any] = {
            "sight": torch.randn(ROWS, 1, 6, 6, generator=g),
            "sound": torch.randn(ROWS, 4, generator=g),
            "word": Sequence(
                torch.randn(ROWS, 4, 3, generator=g),
                torch.arange(4) < torch.randint(1, 5, (ROWS, 1), generator=g),
            ),
        }
        classes = torch.randint(CLASSES, (ROWS,), generator=g)
        target = classes[:, None] / CLASSES if self.regression else classes
        if self.several:  # the last label is in half of the rows, and some rows have none
            target = torch.stack([classes == 0, classes > 0, torch.arange(ROWS) % 2 == 0], 1)
            target = (target & (torch.arange(ROWS)[:, None] % 7 > 0)).float()
        present = {m: torch.rand(ROWS, generator=g) > 0.3 for m in WIDTHS} if self.absent else None
        whole = Batch(
            {m: inputs[m] for m in self.modalities},
            target,
            torch.arange(ROWS),
            present and {m: present[m] for m in self.modalities},
        )
        for start in range(0, ROWS, size):
            rows = torch.arange(start, start + size)
            # Shares of unequal size.
            cuts = [size * (i + 1) // processes + 1 for i in range(processes - 1)]
            yield whole.rows(rows.tensor_split(cuts)[process])

    def validation(self, epoch: int) -> Validation:
        """Return results that get worse over the epochs for sight and better for the others."""
        up, down = 1 + 0.2 * epoch, 1 / epoch
        losses = {m: up if m == "sight" else down for m in self.modalities}
        return Validation(1.0, 0.5, losses, {m: 0.5 / loss for m, loss in losses.items()})

    def inputs(self) -> Inputs:
        return next(self.rows("valid")).inputs

    def state(
        self,
        method: Method,
        model: MultimodalModel,
        optimizer: str = "sgd",
        epoch: int = 1,
        **options: Any,
    ) -> TrainState:
        """Return a training state in an epoch that has started."""
        groups = method.parameter_groups(model)
        made = (
            torch.optim.SGD(groups, lr=0.05, momentum=0.9, weight_decay=1e-2)
            if optimizer == "sgd"
            else torch.optim.AdamW(groups, lr=0.01)
        )

        def rows(split: str, fraction: float, epoch: int) -> Iterable[Batch]:
            batches = list(self.rows(split))
            return batches[: max(1, round(fraction * len(batches)))]

        state = TrainState(
            model, made, self.task, epochs=self.epochs, batches_per_epoch=4, rows=rows, **options
        )
        state.epoch = epoch
        state.start_epoch()  # without the method's own preparation, which `run` adds
        return state

    def train(
        self, epochs: Iterable[int] | None = None, optimizer: str = "sgd", **options: Any
    ) -> tuple[MultimodalModel, Method, list[dict[str, float]]]:
        """Train a method, by default for all epochs of the bench.

        Returns:
            Model, method and the records of its steps.
        """
        model = self.model()
        method = self.method(model)
        state = self.state(method, model, optimizer, **options)
        return model, method, run(self, method, state, epochs or range(1, self.epochs + 1))


def run(
    bench: Bench, method: Method, state: TrainState, epochs: Iterable[int], **share: int
) -> list[dict[str, float]]:
    """Train for some epochs as in a user's own loop; return the records of the steps."""
    records = []
    for state.epoch in epochs:
        state.model.train()
        method.train()
        method.epoch_start(state)
        steps = (
            [method.training_step(state, batch) for batch in bench.rows(**share)]
            if method.trains
            else []
        )
        records += [{name: float(value) for name, value in record.items()} for record in steps]
        method.epoch_end(state, bench.validation(state.epoch))
    return records


def poisoned(batch: Batch) -> Batch:
    """Return the batch with NaN in every input of its last three rows."""

    def bad(values: torch.Tensor) -> torch.Tensor:
        return torch.cat([values[:-3], torch.full_like(values[-3:], math.nan)])

    inputs = {
        m: replace(one, values=bad(one.values)) if isinstance(one, Sequence) else bad(one)
        for m, one in batch.inputs.items()
    }
    return replace(batch, inputs=inputs)


def weights(model: nn.Module, method: nn.Module) -> dict[str, torch.Tensor]:
    """Return everything that is saved, by name."""
    return {f"model.{name}": v for name, v in model.state_dict().items()} | {
        f"method.{name}": v for name, v in method.state_dict().items()
    }


def equal(a: nn.Module, b: nn.Module) -> bool:
    """Return whether two modules have the same weights and buffers, bit for bit."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def predicted(method: Method, model: MultimodalModel, batch: Batch) -> Output:
    """Return the prediction in eval mode, without gradients."""
    model.eval()
    method.eval()
    with torch.no_grad():
        return method.predict(model, batch.inputs, batch.present)


def takes(kind: type[Method], argument: str) -> bool:
    """Return whether the constructor of a method has an argument."""
    return argument in inspect.signature(kind).parameters
