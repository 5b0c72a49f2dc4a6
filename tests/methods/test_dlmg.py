"""DLMG: the weight moves from matching to classification."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from g2d.errors import ArgumentError, UnsupportedError
from g2d.functional.matching import fitted_weight, jensen_shannon, js_reverse, pairwise_matching
from g2d.fusion import FiLM
from g2d.methods import DLMG
from g2d.model import MultimodalModel
from support.workbench import Bench


def recorded(
    epoch: int = 1, k: int = 3, **options: Any
) -> tuple[dict[str, float], float, dict[str, torch.Tensor]]:
    """Run a step; return its record, and the label loss and unimodal logits before it."""
    bench = Bench("dlmg", k=k, options=options)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    state.epoch = epoch
    batch = next(bench.rows())
    output = model(batch.inputs, unimodal=True)
    method.epoch_start(state)
    record = {name: float(value) for name, value in method.training_step(state, batch).items()}
    assert output.unimodal_logits is not None
    return record, bench.task.loss(output.logits, batch.target).item(), dict(output.unimodal_logits)


@pytest.mark.parametrize(("epoch", "schedule"), [(1, "fitted"), (2, "fitted"), (3, "heuristic")])
def test_the_loss_is_twice_the_weighted_sum(epoch: int, schedule: str) -> None:
    record, label, z = recorded(epoch, schedule=schedule)
    a = fitted_weight(epoch, 2) if schedule == "fitted" else 2.718281828459045 ** (-1 / epoch)
    assert record["weight/task"] == pytest.approx(a)
    assert record["weight/task"] + record["weight/matching"] == pytest.approx(1.0)
    assert record["loss/task"] == pytest.approx(2 * a * label, rel=1e-5)
    matching = pairwise_matching(z, js_reverse)
    assert matching is not None
    assert record["loss/matching"] == pytest.approx(2 * (1 - a) * matching.item(), rel=1e-5)


def test_half_and_half_is_the_plain_sum() -> None:
    record, label, z = recorded(schedule="constant", weights=(0.5, 0.5), matching="js")
    matching = pairwise_matching(z, jensen_shannon)
    assert matching is not None
    assert record["loss/task"] == pytest.approx(label, rel=1e-6)
    assert record["loss/matching"] == pytest.approx(matching.item(), rel=1e-5)


def test_a_single_modality_is_trained_on_the_labels_alone() -> None:
    record, label, _ = recorded(k=1)
    assert record["loss/task"] == pytest.approx(label, rel=1e-6)
    assert "loss/matching" not in record


def test_the_learned_weight_follows_the_derivative_of_the_validation_loss() -> None:
    """Compare with finite differences: the validation loss after one step with a larger a_mm."""
    rate = 1e-3
    bench = Bench("dlmg", options={"schedule": "learned", "rate": 1.0})
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    assert method.a_mm.item() == 0.95
    before = method.a_mm.fill_(0.5).item()
    method.epoch_start(state)
    change = method.a_mm.item() - before
    train, valid = (
        next(iter(rows)).rows(slice(0, 16))
        for rows in (state.train_rows(), state.validation_rows())
    )

    def held_out(a_mm: float) -> float:
        fresh = bench.model().double()
        fresh.eval()
        inputs = {m: v.double() for m, v in train.inputs.items()}
        output = fresh(inputs, unimodal=True)
        matching = pairwise_matching(output.unimodal_logits, js_reverse)
        loss = (1 - a_mm) * bench.task.loss(output.logits, train.target) + a_mm * matching
        gradients = torch.autograd.grad(loss, list(fresh.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(fresh.parameters(), gradients, strict=True):
                parameter -= rate * gradient
            return (
                bench.task.loss_per_row(
                    fresh({m: v.double() for m, v in valid.inputs.items()}).logits, valid.target
                )
                .double()
                .mean()
                .item()
            )

    slope = (held_out(0.53) - held_out(0.47)) / 0.06 / rate  # per unit of learning rate
    assert abs(slope) > 1e-4
    assert change == pytest.approx(-0.05 * slope, rel=0.05)


def test_the_learned_weight_stays_in_its_bounds() -> None:
    _, method, _ = Bench("dlmg", options={"schedule": "learned", "rate": 1e6}).train()
    assert isinstance(method, DLMG)
    assert 0.05 <= method.a_mm.item() <= 0.95


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -0.5)])
def test_wrong_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ArgumentError, match="weights must be a_cls and a_mm, neither negative"):
        recorded(weights=weights)


def test_the_fitted_schedule_needs_the_length_of_the_run() -> None:
    bench = Bench("dlmg")
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    state.epochs = None
    with pytest.raises(ArgumentError, match="epochs must be known for schedule='fitted' of DLMG"):
        method.training_step(state, next(bench.rows()))


@pytest.mark.parametrize(("name", "title"), [("dlmg", "DLMG"), ("mses", "MSES")])
def test_a_fusion_without_separate_heads_is_refused(name: str, title: str) -> None:
    bench = Bench(name)
    encoders = {m: bench.encoder(m, 0) for m in bench.modalities}
    model = MultimodalModel(encoders, FiLM({"sight": 6, "sound": 5}, 3))
    rule = rf"fusion of {title} must have one head per modality \(late, sum or concat\), found film"
    with pytest.raises(UnsupportedError, match=rule):
        bench.method(model)
