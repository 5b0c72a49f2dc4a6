"""Optimizers, schedules, options: golden values and refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from g2d.engine.optimization import Schedule, make_optimizer, set_rates
from g2d.engine.options import TrainOptions
from g2d.errors import ArgumentError


def factors(epochs: int, **options: Any) -> list[float]:
    schedule = Schedule(TrainOptions(epochs=epochs, **options))
    return [schedule.factor(epoch) for epoch in range(1, epochs + 1)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"schedule": "constant"}, [1] * 8),
        ({"schedule": "step"}, [1] * 6 + [0.1] * 2),
        (
            {"schedule": "step", "decay_at": (0.25, 0.5), "decay": 0.5},
            [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25],
        ),
        ({"schedule": "step", "decay_at": ()}, [1] * 8),
        ({"schedule": "cosine"}, [(1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)]),
        ({"schedule": "constant", "warmup": 3}, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        (
            {"schedule": "cosine", "warmup": 4},
            [0.2, 0.4, 0.6, 0.8, 1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2],
        ),
        ({"schedule": "constant", "warmup": 20}, [(i + 1) / 21 for i in range(8)]),
    ],
)
def test_a_schedule_has_its_golden_factors(options: dict[str, Any], expected: list[float]) -> None:
    assert factors(8, **options) == pytest.approx(expected)


def test_the_step_of_the_digits_recipes_falls_at_three_quarters() -> None:
    assert factors(30) == pytest.approx([1.0] * 22 + [0.1] * 8)  # round(22.5) is 22


def test_a_plateau_waits_for_its_patience_after_every_decay() -> None:
    schedule = Schedule(TrainOptions(epochs=20, schedule="plateau", patience=1, decay=0.5))
    seen = []
    for score in (0.1, 0.2, 0.2, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3):
        schedule.observe(score)
        seen.append(schedule.factor(1))
    assert seen == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_a_plateau_continues_from_its_saved_state() -> None:
    first, second = (
        Schedule(TrainOptions(epochs=20, schedule="plateau", patience=1)) for _ in range(2)
    )
    for score in (0.5, 0.4):
        first.observe(score)
    second.load(first.state())
    for schedule in (first, second):
        schedule.observe(0.5)
    assert first.factor(5) == second.factor(5) == pytest.approx(0.1)


def groups() -> list[dict[str, Any]]:
    return [
        {"name": name, "params": list(nn.Linear(2, 2).parameters())} for name in ("image", "fusion")
    ]


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("sgd", torch.optim.SGD, {"momentum": 0.8, "weight_decay": 0.01, "nesterov": False}),
        ("adam", torch.optim.Adam, {"weight_decay": 0.01, "betas": (0.9, 0.999)}),
        ("adamw", torch.optim.AdamW, {"weight_decay": 0.01, "betas": (0.9, 0.999)}),
    ],
)
def test_an_optimizer_has_a_named_group_per_part_with_its_own_rate(
    name: Any, kind: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    options = TrainOptions(
        epochs=1, optimizer=name, lr=0.1, momentum=0.8, weight_decay=0.01, group_lr={"fusion": 0.3}
    )
    optimizer = make_optimizer(groups(), options)
    assert type(optimizer) is kind
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {
        "image": 0.1,
        "fusion": 0.3,
    }
    assert all(settings.items() <= group.items() for group in optimizer.param_groups)
    assert set_rates(optimizer, 0.5) == {"image": 0.05, "fusion": 0.15}


def test_a_rate_for_a_group_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"group_lr must name parameter groups \(image, fusion\), found 'tone'"
    ):
        make_optimizer(groups(), TrainOptions(epochs=1, group_lr={"tone": 1.0}))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 0}, "batch_size must be one or more, found 0."),
        ({"accumulate": 0}, "accumulate must be one or more, found 0."),
        ({"eval_batch_size": -1}, "eval_batch_size must be one or more, found -1."),
        ({"threads": 0}, "threads must be one or more, found 0."),
        ({"epochs": -1}, "epochs must not be negative, found -1."),
        ({"seed": -1}, "seed must not be negative, found -1."),
        ({"warmup": -1}, "warmup must not be negative, found -1."),
        ({"workers": -2}, "workers must not be negative, found -2."),
        ({"patience": -1}, "patience must not be negative, found -1."),
        ({"momentum": -0.1}, "momentum must not be negative, found -0.1."),
        ({"weight_decay": math.nan}, "weight_decay must not be negative, found nan."),
        ({"lr": 0.0}, "lr must be positive, found 0.0."),
        ({"lr": math.inf}, "lr must be positive, found inf."),
        ({"clip": 0.0}, "clip must be positive, found 0.0."),
        ({"decay": -0.5}, "decay must be positive, found -0.5."),
        ({"group_lr": {"image": -1.0}}, "group_lr.image must be positive, found -1.0."),
        (
            {"decay_at": (0.5, 75.0)},
            "decay_at must hold shares between 0 and 1, found [0.5, 75.0].",
        ),
        (
            {"optimizer": "sdg"},
            "optimizer must be one of sgd, adam, adamw, found 'sdg'. Did you mean 'sgd'?",
        ),
        (
            {"schedule": "linear"},
            "schedule must be one of constant, step, cosine, plateau, found 'linear'.",
        ),
        (
            {"precision": "int8"},
            "precision must be one of float32, bfloat16, float16, found 'int8'.",
        ),
        ({"select_on": "train"}, "select_on must be one of validation, test, found 'train'."),
        ({"device": "gpu"}, "device must be auto, cpu, cuda or cuda:N, found 'gpu'."),
    ],
)
def test_an_option_that_breaks_its_rule_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        TrainOptions(**({"epochs": 1} | options))
    assert str(caught.value) == sentence


def test_all_options_that_break_a_rule_are_named_together() -> None:
    with pytest.raises(
        ArgumentError,
        match=r"batch_size must be one or more, found 0\. lr must be positive, found -1\.",
    ):
        TrainOptions(epochs=1, batch_size=0, lr=-1)


def test_options_of_the_machine_do_not_determine_the_weights() -> None:
    base = TrainOptions(epochs=1)
    assert (
        TrainOptions(
            epochs=1, device="cpu", workers=3, threads=1, compile=True, eval_batch_size=7
        ).training()
        == base.training()
    )
    for changed in (
        {"seed": 1},
        {"lr": 0.1},
        {"select_on": "test"},
        {"accumulate": 2},
        {"decay_at": (0.5,)},
        {"precision": "bfloat16"},
    ):
        assert TrainOptions(**({"epochs": 1} | changed)).training() != base.training()
