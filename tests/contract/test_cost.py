"""Cost of a step, counted: what the card of a method and ``g2d list methods`` print."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from g2d.engine.cost import StepCost, counting, step_cost
from g2d.fusion import Late
from g2d.method import TrainState
from g2d.methods import METHODS
from g2d.model import MultimodalModel, Teachers
from g2d.task import Classification, Regression
from g2d.types import Batch
from support.workbench import Bench, takes

TRAINED = [name for name, kind in METHODS.items() if kind.trains]
CARDS = Path(__file__).parents[2] / "docs" / "methods"


def measured(name: str, epoch: int | None = None, k: int = 2) -> StepCost:
    """Return the counted cost of a step in an epoch, by default in the middle of a run."""
    bench = Bench(name, k=k, regression="classification" not in METHODS[name].tasks)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    state.epochs = 2 * bench.epochs
    for state.epoch in (1, epoch or bench.epochs):
        method.epoch_start(state)
    return step_cost(method, state, next(bench.rows()))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", TRAINED)
def test_every_encoder_runs_as_often_as_the_method_declares(name: str, k: int) -> None:
    cost, step = METHODS[name].cost, measured(name, k=k)
    modalities = Bench(name, k=k).modalities
    assert step.passes.forward == dict.fromkeys(modalities, cost.forward)
    assert step.passes.backward == dict.fromkeys(modalities, cost.backward)
    assert step.updates == (k if cost.updates == "k" else int(cost.updates))


@pytest.mark.parametrize("name", TRAINED)
def test_every_teacher_runs_as_often_as_the_method_declares(name: str) -> None:
    bench = Bench(name, regression="classification" not in METHODS[name].tasks)
    model = bench.model()
    method = bench.method(model)
    teachers = getattr(method, "teachers", None)
    expected = (
        {}
        if METHODS[name].cost.teacher == 0
        else dict.fromkeys(bench.modalities, METHODS[name].cost.teacher)
    )
    encoders = (
        {}
        if teachers is None
        else {m: teacher.encoders[m] for m, teacher in teachers.models.items()}
    )
    state = bench.state(method, model)
    method.epoch_start(state)
    with counting(encoders) as passes:
        method.training_step(state, next(bench.rows()))
    assert dict(passes.forward) == expected
    assert not passes.backward


def test_a_suppressed_encoder_has_no_backward_pass() -> None:
    passes = measured("g2d", epoch=1).passes
    assert passes.forward == {"sight": 1, "sound": 1}
    assert passes.backward.total() == 1


def test_a_stage_of_reconboost_has_gradients_for_one_encoder_and_then_for_all_members() -> None:
    learning = [measured("reconboost", epoch=epoch).passes.backward for epoch in (1, 2, 3, 4)]
    assert learning == [{"sight": 1}, {"sight": 1}, {"sound": 1}, {"sight": 1, "sound": 1}]


def flops(name: str) -> int:
    """Count the operations of a step in which two equal convolutional encoders learn."""

    def model(*modalities: str) -> MultimodalModel:
        encoders = {
            m: nn.Sequential(
                nn.Conv2d(1, 16, 3),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
            )
            for m in modalities
        }
        return MultimodalModel(encoders, Late(dict.fromkeys(modalities, 32), 10))

    kind = METHODS[name]
    classes = "classification" in kind.tasks
    task = Classification(10) if classes else Regression(10, output="identity")
    student, teachers = model("left", "right"), Teachers({m: model(m) for m in ("left", "right")})
    options = {"tau": (1, 1)} if takes(kind, "tau") else {}
    method = kind(**options, **({"teachers": teachers} if kind.needs_teachers else {})).build(
        student, task
    )
    batch = Batch(
        {m: torch.randn(32, 1, 16, 16) for m in ("left", "right")},
        torch.randint(10, (32,)) if classes else torch.rand(32, 10),
    )
    state = TrainState(
        student,
        torch.optim.SGD(method.parameter_groups(student), lr=0.01),
        task,
        epochs=32,
        rows=lambda *_: [batch],
    )
    for state.epoch in (1, 16):
        method.epoch_start(state)
    return step_cost(method, state, batch).flops


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_takes_as_many_operations_as_the_method_declares(name: str) -> None:
    assert round(flops(name) / flops("joint"), 2) == METHODS[name].cost.flops


@pytest.mark.parametrize("name", METHODS)
def test_the_card_states_the_cost(name: str) -> None:
    text = " ".join((CARDS / f"{name}.md").read_text().split())
    assert f"**Cost.** {METHODS[name].cost}." in text
