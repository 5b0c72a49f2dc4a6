"""MSES: branches that stop one by one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from torch import nn

from g2d.errors import ArgumentError
from g2d.method import Method, TrainState, Validation
from g2d.model import MultimodalModel
from support.workbench import Bench, equal

LOSSES = (1.0, 0.9, 0.95, 0.96, 0.97)


def scripted(
    optimizer: str = "sgd", epochs: int = 5, **options: Any
) -> tuple[MultimodalModel, Method, TrainState, list[MultimodalModel]]:
    """Train with sight's validation losses from LOSSES and always falling ones for sound.

    Returns:
        Model, method, state, and a copy of the model after each epoch.
    """
    bench = Bench("mses", batchnorm=True, options={"patience": 2, **options})
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model, optimizer)
    after = []
    for state.epoch in range(1, epochs + 1):
        model.train()
        method.epoch_start(state)
        for batch in bench.rows():
            method.training_step(state, batch)
        after.append(copy.deepcopy(model))
        sight = LOSSES[state.epoch - 1] if state.epoch <= len(LOSSES) else 2.0
        method.epoch_end(
            state,
            Validation(
                1.0, 0.5, {"sight": sight, "sound": 1 / state.epoch}, {"sight": 0.5, "sound": 0.5}
            ),
        )
    return model, method, state, after


def test_a_branch_stops_after_patience_epochs_without_a_minimum() -> None:
    for epochs, stopped in ((4, False), (5, True)):  # 5 - 2 exceeds 2
        _, method, _, _ = scripted(epochs=epochs)
        assert method.get_buffer("frozen").tolist() == [stopped, False]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_returns_to_its_best_epoch_and_never_changes_again_while_the_other_learns(
    optimizer: str,
) -> None:
    model, _, _, after = scripted(optimizer, epochs=7)
    best, last = after[1], after[4]
    assert equal(model.encoders["sight"], best.encoders["sight"])
    assert equal(model.fusion.heads["sight"], best.fusion.heads["sight"])
    assert not equal(after[4].encoders["sight"], best.encoders["sight"])
    assert not equal(model.encoders["sound"], last.encoders["sound"])
    assert not equal(last.encoders["sound"], best.encoders["sound"])


def test_restoring_the_model_resets_the_other_branch_too() -> None:
    _, _, _, branch = scripted(epochs=6)
    bench_model, method, state, after = scripted(epochs=5, restore="model")
    state.epoch = 6
    method.epoch_start(state)
    assert equal(bench_model, after[1])
    assert not equal(branch[5].encoders["sound"], after[1].encoders["sound"])


def test_the_run_ends_when_all_branches_have_stopped() -> None:
    bench = Bench("mses", options={"patience": 0})
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    for state.epoch in range(1, 5):
        method.epoch_start(state)
        for batch in bench.rows():
            method.training_step(state, batch)
        method.epoch_end(
            state,
            Validation(
                1.0,
                0.5,
                dict.fromkeys(bench.modalities, float(state.epoch)),
                dict.fromkeys(bench.modalities, 0.5),
            ),
        )
    assert state.stop
    assert method.training_step(state, next(bench.rows())) == {}


def test_the_unimodal_losses_are_added_with_their_weight() -> None:
    bench = Bench("mses", options={"weight": 0.5})
    model = bench.model()
    method = bench.method(model)
    batch = next(bench.rows())
    z = model(batch.inputs, unimodal=True).unimodal_logits
    record = {
        name: float(value)
        for name, value in method.training_step(bench.state(method, model), batch).items()
    }
    for m in model.modalities:
        assert record[f"loss/unimodal/{m}"] == pytest.approx(
            0.5 * nn.functional.cross_entropy(z[m], batch.target).item(), rel=1e-5
        )


def test_smoothing_averages_two_epochs() -> None:
    _, method, _, _ = scripted(epochs=2, smoothing=0.6)
    assert method.get_buffer("best").tolist() == pytest.approx(
        [0.6 * 1.0 + 0.4 * 0.9, 0.6 * 1.0 + 0.4 * 0.5]
    )


def test_an_epoch_without_validation_is_refused() -> None:
    bench = Bench("mses")
    model = bench.model()
    method = bench.method(model)
    with pytest.raises(
        ArgumentError,
        match="validation must be given at the end of every epoch for MSES, found None",
    ):
        method.epoch_end(bench.state(method, model), None)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"patience": -1}, "patience must be zero or more epochs, found -1"),
        ({"smoothing": 1.0}, "smoothing must be at least 0 and below 1"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        scripted(**options)
