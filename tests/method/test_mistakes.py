"""Likely first mistakes in a loop of one's own: one sentence each, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from g2d.errors import ArgumentError, G2DError, UnsupportedError
from g2d.method import TrainState
from g2d.methods import MLA, UME, UMT, Joint
from g2d.model import MultimodalModel, Teachers
from g2d.task import Regression
from g2d.types import Batch
from support.workbench import Bench

BENCH = Bench("joint")


class Wrapper(nn.Module):
    """A wrapper such as DistributedDataParallel, which keeps the model as ``module``."""

    def __init__(self) -> None:
        super().__init__()
        self.module = BENCH.model()


def ready(**changed: Any) -> tuple[Joint, TrainState, Batch]:
    """Return a method, its state before the first epoch, and a batch."""
    model = BENCH.model()
    method = Joint().build(model, changed.pop("task", BENCH.task))
    optimizer = changed.pop("optimizer", torch.optim.SGD(model.parameters(), lr=0.1))
    return method, TrainState(model, optimizer, method.task), next(BENCH.rows())


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def step(change: Callable[[Batch], Any], **changed: Any) -> None:
    method, state, batch = ready(**changed)
    method.epoch_start(state)
    method.training_step(state, change(batch))


def without_start() -> None:
    method, state, batch = ready()
    method.training_step(state, batch)


def next_epoch_without_start() -> None:
    method, state, batch = ready()
    method.epoch_start(state)
    state.epoch = 2
    method.training_step(state, batch)


def forgotten_epoch() -> None:
    method, state, batch = ready()
    for _ in range(1, 5):
        method.epoch_start(state)
        method.training_step(state, batch)


def without_build() -> None:
    _, state, batch = ready()
    Joint().training_step(state, batch)


def without_heads_in_the_optimizer() -> None:
    model = BENCH.model()
    method = MLA().build(model, BENCH.task)
    method.epoch_start(TrainState(model, sgd(model), method.task))


def with_the_optimizer_of_another_model() -> None:
    method, state, _ = ready(optimizer=sgd(nn.Linear(1, 1)))
    method.epoch_start(state)


def with_a_plain_module() -> None:
    layer: Any = nn.Linear(1, 1)
    TrainState(layer, sgd(layer), BENCH.task)


def with_a_shared_parameter() -> None:
    model = BENCH.model()
    model.fusion.register_parameter("tied", model.encoders["sound"][0].weight)
    MultimodalModel(dict(model.encoders.items()), model.fusion)


def teachers(module: Any) -> Teachers:
    return Teachers({"sight": module, "sound": module})


def distilled(module: nn.Module) -> None:
    model = BENCH.model()
    method = UMT(teachers=teachers(module)).build(model, BENCH.task)
    state = TrainState(model, sgd(model), method.task)
    method.epoch_start(state)
    method.training_step(state, next(BENCH.rows()))


class Mean(nn.Module):
    """A module of one's own that returns the mean of its input as three logits, in any form."""

    def __init__(self, output: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: torch.Tensor) -> Any:
        return self.output(x.flatten(1).mean(1, keepdim=True).expand(-1, 3))


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a step whose epoch was not started": (
        without_start,
        "epoch 1 must start before its first step, found no epoch started. Call method.epoch_start",
    ),
    "a second epoch that was not started": (
        next_epoch_without_start,
        "epoch 2 must start before its first step, found epoch 1 started. Call method.epoch_start",
    ),
    "a loop that forgets state.epoch": (
        forgotten_epoch,
        "epoch of the state must change.*found epoch 1 again.*Write `for state.epoch in range",
    ),
    "a step before build": (
        without_build,
        "Joint must be built for a model before it is used.*Call method.build",
    ),
    "a prediction before build": (
        lambda: Joint().predict(BENCH.model(), BENCH.inputs()),
        "Joint must be built for a model before it is used.*Call method.build",
    ),
    "a plain module as model": (
        lambda: Joint().build(nn.Linear(1, 1), BENCH.task),  # type: ignore[arg-type]
        "model must be a g2d.MultimodalModel, found Linear. Build one from your encoders",
    ),
    "a plain module in the state": (
        with_a_plain_module,
        "model must be a g2d.MultimodalModel, found Linear. Build one from your encoders",
    ),
    "a wrapped model": (
        lambda: TrainState(Wrapper(), sgd(Wrapper()), BENCH.task),  # type: ignore[arg-type]
        "model must not be wrapped, found Wrapper.*Pass the model itself.*start the script",
    ),
    "a plain module and no task": (
        lambda: Joint().build(nn.Linear(1, 1)),  # type: ignore[arg-type, call-arg]
        "model must be a g2d.MultimodalModel, found Linear. Build one from your encoders",
    ),
    "a model without a task": (
        lambda: Joint().build(BENCH.model()),  # type: ignore[call-arg]
        r"task must be a g2d.Classification.*found NoneType. Call method.build\(model, task\)",
    ),
    "a number as task": (
        lambda: Joint().build(BENCH.model(), 3),  # type: ignore[arg-type]
        "task must be a g2d.Classification, a g2d.Regression or a g2d.MultiLabel, found int",
    ),
    "a tuple as batch": (
        lambda: step(lambda batch: (batch.inputs, batch.target)),
        r"batch must be a g2d.Batch, found tuple. Write g2d.Batch\(",
    ),
    "a tuple as inputs": (
        lambda: Batch(tuple(BENCH.inputs().values()), torch.zeros(12)),  # type: ignore[arg-type]
        "inputs must be a mapping from modality to tensor.*found tuple",
    ),
    "float class numbers": (
        lambda: step(lambda batch: Batch(batch.inputs, batch.target.float())),
        r"target must hold class numbers.*found shape \(12,\) and type torch.float32. Pass",
    ),
    "one-hot classes": (
        lambda: step(lambda batch: Batch(batch.inputs, torch.eye(3)[batch.target])),
        r"target must hold class numbers.*found shape \(12, 3\).*Pass target.argmax\(1\)",
    ),
    "values without a column": (
        lambda: step(lambda batch: Batch(batch.inputs, batch.target.float()), task=Regression()),
        r"target must hold values of shape \(rows, 1\).*"
        r"Pass target.to\(torch.float\).reshape\(-1, 1\)",
    ),
    "an optimizer without the method's heads": (
        without_heads_in_the_optimizer,
        "optimizer must hold the parameters of MLA.*Create it from method.parameter_groups",
    ),
    "an optimizer of another model": (
        with_the_optimizer_of_another_model,
        "optimizer must hold parameters of the model, found none",
    ),
    "a function as teacher": (
        lambda: teachers(torch.relu),
        "teacher of 'sight' must be a torch module, found builtin_function_or_method",
    ),
    "a teacher with two modalities": (
        lambda: teachers(BENCH.model()),
        "teacher of 'sight' must be a model of that modality alone, found one of sight, sound",
    ),
    "a teacher that returns a mapping": (
        lambda: teachers(Mean(lambda z: {"logits": z}))(next(BENCH.rows())),
        r"teacher of 'sight' must return logits \(rows, outputs\).*found dict",
    ),
    "a teacher without features where they are distilled": (
        lambda: distilled(Mean(lambda z: z)),
        r"teacher of 'sight' must return features.*Let it return \(features, logits\)",
    ),
    "a teacher without a known encoder in UME": (
        lambda: UME(teachers=teachers(Mean(lambda z: z))).build(BENCH.model(), BENCH.task),
        "a teacher must be one encoder and one linear layer",
    ),
    "a fusion with a parameter of an encoder": (
        with_a_shared_parameter,
        "encoders must not share parameters, found one in both 'sound' and 'fusion'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_sentence_with_the_way_out(mistake: str) -> None:
    make, sentence = MISTAKES[mistake]
    with pytest.raises(G2DError, match=sentence) as caught:
        make()
    assert isinstance(caught.value, ArgumentError | UnsupportedError)
