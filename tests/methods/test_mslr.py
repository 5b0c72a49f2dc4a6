"""MSLR: a learning rate for each modality, under every optimizer and schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from g2d.engine.optimization import set_rates
from g2d.errors import ArgumentError, UnsupportedError
from g2d.method import Method, TrainState, Validation
from g2d.model import MultimodalModel
from support.workbench import Bench


def built(
    optimizer: str = "sgd", k: int = 2, **options: Any
) -> tuple[Bench, MultimodalModel, Method, TrainState]:
    """Return a bench, and its model, method and training state."""
    bench = Bench("mslr", k=k, options=options)
    model = bench.model()
    method = bench.method(model)
    return bench, model, method, bench.state(method, model, optimizer)


def rates(state: TrainState) -> dict[str, float]:
    return {group["name"]: group["lr"] for group in state.optimizer.param_groups}


def validated(method: Method, state: TrainState, **scores: float) -> dict[str, float]:
    return method.epoch_end(state, Validation(1.0, 0.5, dict.fromkeys(scores, 1.0), scores))


def test_keep_sets_the_rate_of_an_encoder_and_of_its_head() -> None:
    _, _, method, state = built(strategy="keep", coefficients={"sight": 0.9, "sound": 1.1})
    for _ in range(3):
        method.epoch_start(state)
    assert rates(state) == pytest.approx(
        {"sight": 0.045, "sound": 0.055, "head/sight": 0.045, "head/sound": 0.055}
    )


def test_smooth_moves_the_rates_towards_their_mean() -> None:
    _, _, method, state = built(
        strategy="smooth", coefficients={"sight": 0.5, "sound": 1.5}, blend=0.25
    )
    method.epoch_start(state)
    assert rates(state)["sight"] == pytest.approx(0.05 * (0.75 * 0.5 + 0.25 * 1.0))
    assert rates(state)["sound"] == pytest.approx(0.05 * (0.75 * 1.5 + 0.25 * 1.0))


def test_dynamic_compares_an_accuracy_with_the_mean_of_the_last_five() -> None:
    _, _, method, state = built(strategy="dynamic", coefficients=None)
    for _ in range(5):
        validated(method, state, sight=0.5, sound=0.5)
        method.epoch_start(state)
        assert rates(state)["sight"] == pytest.approx(0.05)  # fewer than five accuracies so far
    validated(method, state, sight=0.6, sound=0.5)
    method.epoch_start(state)
    assert rates(state) == pytest.approx(
        {"sight": 0.06, "sound": 0.05, "head/sight": 0.06, "head/sound": 0.05}
    )
    # The mean is now 0.52. The factor applies to the base rate, not to the previous rate.
    validated(method, state, sight=0.52, sound=0.5)
    method.epoch_start(state)
    assert rates(state)["sight"] == pytest.approx(0.05)


def test_a_mean_of_zero_does_not_change_the_rate() -> None:
    _, _, method, state = built(strategy="dynamic", coefficients=None)
    for _ in range(7):
        validated(method, state, sight=0.0, sound=0.5)
        method.epoch_start(state)
    assert rates(state)["sight"] == pytest.approx(0.05)


def test_it_can_be_combined_with_a_schedule() -> None:
    _, _, method, state = built(strategy="keep", coefficients={"sight": 0.5})
    for group in state.optimizer.param_groups:
        group["base_lr"] = group["lr"]
    pairs = []
    for factor in (1.0, 0.1, 0.1):
        set_rates(state.optimizer, factor)
        method.epoch_start(state)
        pairs.append((rates(state)["sight"], rates(state)["sound"]))
    assert pairs == [
        pytest.approx((0.025, 0.05)),
        pytest.approx((0.0025, 0.005)),
        pytest.approx((0.0025, 0.005)),
    ]


def moves(optimizer: str, coefficient: float) -> dict[str, float]:
    """Return how far the first step moves each encoder."""
    bench, model, method, state = built(
        optimizer, strategy="keep", coefficients={"sight": coefficient}
    )
    for group in state.optimizer.param_groups:
        group["weight_decay"] = 0.0
    start = bench.model()
    method.epoch_start(state)
    method.training_step(state, next(bench.rows()))
    pairs = {
        m: zip(start.encoders[m].parameters(), model.encoders[m].parameters(), strict=True)
        for m in model.modalities
    }
    return {m: sum((a - b).abs().sum().item() for a, b in each) for m, each in pairs.items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_rate_scales_the_step_under_every_optimizer(optimizer: str) -> None:
    whole, tenth = moves(optimizer, 1.0), moves(optimizer, 0.1)
    assert tenth["sight"] == pytest.approx(0.1 * whole["sight"], rel=0.02)
    assert tenth["sound"] == pytest.approx(whole["sound"])


def test_scaling_gradients_instead_would_do_almost_nothing_under_adam() -> None:
    distances = []
    for factor in (1.0, 0.1):
        weight = torch.nn.Parameter(torch.ones(50))
        optimizer = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.0)
        g = torch.Generator().manual_seed(0)
        for _ in range(5):
            weight.grad = factor * torch.randn(50, generator=g)
            optimizer.step()
        distances.append((weight - 1).abs().sum().item())
    assert distances[1] == pytest.approx(distances[0], rel=1e-3)


def test_without_validation_dynamic_is_refused_and_so_is_a_regression() -> None:
    _, _, method, state = built(strategy="dynamic", coefficients=None)
    with pytest.raises(
        ArgumentError,
        match="validation must be given at the end of every epoch for MSLR, found None",
    ):
        method.epoch_end(state, None)
    bench = Bench("mslr", regression=True, options={"strategy": "dynamic", "coefficients": None})
    with pytest.raises(
        UnsupportedError,
        match="strategy='dynamic' of MSLR must have validation accuracies, found a regression task",
    ):
        bench.method(bench.model())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"coefficients": {"sight": -1.0}}, "coefficients must not be negative"),
        ({"blend": 2.0}, "blend must be between 0 and 1"),
        ({"queue": 0}, "queue must hold one accuracy or more"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        built(**options)
