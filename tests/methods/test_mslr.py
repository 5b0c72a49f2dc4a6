"""MSLR: a learning rate for each modality, under every optimizer and schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch

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


def rates(method: Method) -> dict[str, float]:
    """Return the learning rate of every modality if the optimizer's is 0.05."""
    return {m: 0.05 * factor for m, factor in method.factors().items()}


def validated(method: Method, state: TrainState, **scores: float) -> dict[str, float]:
    return method.epoch_end(state, Validation(1.0, 0.5, dict.fromkeys(scores, 1.0), scores))


def test_keep_sets_the_rate_of_an_encoder_and_of_its_head() -> None:
    bench, model, method, state = built(strategy="keep", coefficients={"sight": 0.9, "sound": 1.1})
    joint = Bench("joint")
    other = joint.model()
    plain = joint.method(other)
    plain.training_step(joint.state(plain, other), next(joint.rows()))
    method.training_step(state, next(bench.rows()))
    for (name, start), scaled, whole in zip(
        bench.model().named_parameters(), model.parameters(), other.parameters(), strict=True
    ):
        factor = 0.9 if "sight" in name else 1.1
        torch.testing.assert_close(
            scaled - start, factor * (whole - start), rtol=1e-3, atol=1e-7, msg=name
        )


def test_smooth_moves_the_rates_towards_their_mean() -> None:
    _, _, method, _ = built(
        strategy="smooth", coefficients={"sight": 0.5, "sound": 1.5}, blend=0.25
    )
    assert rates(method)["sight"] == pytest.approx(0.05 * (0.75 * 0.5 + 0.25 * 1.0))
    assert rates(method)["sound"] == pytest.approx(0.05 * (0.75 * 1.5 + 0.25 * 1.0))


def test_dynamic_compares_an_accuracy_with_the_mean_of_the_last_five() -> None:
    _, _, method, state = built(strategy="dynamic", coefficients=None)
    for _ in range(5):
        validated(method, state, sight=0.5, sound=0.5)
        assert rates(method)["sight"] == pytest.approx(0.05)  # fewer than five accuracies so far
    validated(method, state, sight=0.6, sound=0.5)
    assert rates(method) == pytest.approx({"sight": 0.06, "sound": 0.05})
    # The mean is now 0.52. The factor applies to the base rate, not to the previous rate.
    validated(method, state, sight=0.52, sound=0.5)
    assert rates(method)["sight"] == pytest.approx(0.05)


def test_a_mean_of_zero_does_not_change_the_rate() -> None:
    _, _, method, state = built(strategy="dynamic", coefficients=None)
    for _ in range(7):
        validated(method, state, sight=0.0, sound=0.5)
    assert rates(method)["sight"] == pytest.approx(0.05)


def test_it_does_not_touch_the_learning_rates_that_a_schedule_sets() -> None:
    bench, _, method, state = built(strategy="keep", coefficients={"sight": 0.5})
    schedule = torch.optim.lr_scheduler.StepLR(state.optimizer, step_size=1, gamma=0.1)
    seen = []
    for batch in list(bench.rows())[:3]:
        seen.append({group["lr"] for group in state.optimizer.param_groups})
        method.training_step(state, batch)
        schedule.step()
    assert [sorted(each) for each in seen] == [
        [pytest.approx(0.05)],
        [pytest.approx(0.005)],
        [pytest.approx(0.0005)],
    ]


def moves(optimizer: str, coefficient: float) -> dict[str, float]:
    """Return how far the first step moves each encoder."""
    bench, model, method, state = built(
        optimizer, strategy="keep", coefficients={"sight": coefficient}
    )
    for group in state.optimizer.param_groups:
        group["weight_decay"] = 0.0
    start = bench.model()
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
        match="must have validation scores from 0 to 1, found a regression task",
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
