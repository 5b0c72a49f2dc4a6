"""OGM-GE: the stronger modality's gradient is damped, and noise is added."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from g2d.errors import ArgumentError, UnsupportedError
from g2d.functional.schedule import partial_suppression
from support.workbench import Bench


def gradients(
    name: str = "ogm_ge", epoch: int = 1, optimizer: str = "sgd", **options: Any
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Return the gradients that the optimizer receives in the first step, and the record."""
    bench = Bench(name, k=3, options=options)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model, optimizer, epoch)
    received: dict[str, torch.Tensor] = {}
    hook = state.optimizer.register_step_pre_hook(
        lambda *_: received.update(
            {n: p.grad.clone() for n, p in model.encoders.named_parameters() if p.grad is not None}
        )
    )
    record = method.training_step(state, next(bench.rows()))
    hook.remove()
    return received, {name: float(value) for name, value in record.items()}


def test_the_coefficient_by_hand() -> None:
    assert partial_suppression({"a": 1.2, "v": 0.8}, strength=0.8) == pytest.approx(
        {"a": 0.166345, "v": 1.0}, abs=1e-6
    )


def test_encoders_above_the_others_are_scaled_by_their_scores_and_the_fusion_is_not() -> None:
    plain, _ = gradients("joint")
    scaled, record = gradients(noise=False)
    bench = Bench("ogm_ge", k=3)
    model, batch = bench.model(), next(bench.rows())
    z = model(batch.inputs, unimodal=True).unimodal_logits
    score = {
        m: z[m].softmax(1)[torch.arange(len(batch)), batch.target].mean().item()
        for m in model.modalities
    }
    kappa = partial_suppression(score, strength=0.8)
    assert min(kappa.values()) < 1 == max(kappa.values())
    assert {m: record[f"kappa/{m}"] for m in kappa} == pytest.approx(kappa, rel=1e-5)
    for name, gradient in scaled.items():
        torch.testing.assert_close(
            gradient, kappa[name.split(".")[0]] * plain[name], rtol=1e-4, atol=1e-7
        )


def test_every_encoder_receives_noise_scaled_or_not() -> None:
    plain, record = gradients(noise=False)
    noisy, _ = gradients()
    assert all(
        not torch.equal(noisy[name], plain[name]) for name in plain if plain[name].numel() > 1
    )
    assert 1.0 in record.values()


def test_outside_its_window_it_is_joint_training() -> None:
    plain, _ = gradients("joint", epoch=4)
    late, record = gradients(epoch=4, window=(1, 3))
    assert {
        name: value for name, value in record.items() if name.startswith("kappa")
    } == dict.fromkeys(("kappa/sight", "kappa/sound", "kappa/word"), 1.0)
    assert all(torch.equal(late[name], plain[name]) for name in plain)


def test_the_released_scope_changes_convolutions_alone() -> None:
    plain, _ = gradients("joint")
    some, record = gradients(noise=False, scope="conv_only", alpha=1.0, against="min")
    changed = {name for name in plain if not torch.equal(some[name], plain[name])}
    assert changed == ({"sight.0.weight"} if record["kappa/sight"] < 1 else set())


def test_under_adam_the_update_is_scaled_instead_of_the_gradient() -> None:
    plain, _ = gradients("joint", optimizer="adamw")
    same, record = gradients(noise=False, optimizer="adamw")
    assert all(torch.equal(same[name], plain[name]) for name in plain)
    starts, moves = Bench("joint", k=3).model(), {}
    for name in ("joint", "ogm_ge"):
        bench = Bench(name, k=3, options={"noise": False} if name == "ogm_ge" else {})
        model = bench.model()
        method = bench.method(model)
        state = bench.state(method, model, "adamw")
        for group in state.optimizer.param_groups:
            group["weight_decay"] = 0.0
        method.training_step(state, next(bench.rows()))
        pairs = {
            m: zip(model.encoders[m].parameters(), starts.encoders[m].parameters(), strict=True)
            for m in model.modalities
        }
        moves[name] = {m: sum((a - b).abs().sum() for a, b in each) for m, each in pairs.items()}
    for m in ("sight", "sound", "word"):
        assert (moves["ogm_ge"][m] / moves["joint"][m]).item() == pytest.approx(
            record[f"kappa/{m}"], rel=0.02
        )
    with pytest.raises(
        UnsupportedError,
        match="modulate='gradient' must have an optimizer that a scaled gradient changes",
    ):
        gradients(optimizer="adamw", modulate="gradient")


def test_under_adam_a_coefficient_of_zero_leaves_an_encoder_without_noise_too() -> None:
    bench = Bench("ogm_ge", k=3, options={"alpha": 1e3})
    model = bench.model()
    method = bench.method(model)
    record = method.training_step(bench.state(method, model, "adamw"), next(bench.rows()))
    start = bench.model()
    kappa = {m: float(record[f"kappa/{m}"]) for m in model.modalities}
    assert set(kappa.values()) == {0.0, 1.0}
    for m, value in kappa.items():
        pairs = zip(start.encoders[m].parameters(), model.encoders[m].parameters(), strict=True)
        assert all(torch.equal(a, b) == (value == 0) for a, b in pairs), m


def test_gradients_have_no_graph() -> None:
    received, _ = gradients()
    assert all(gradient.grad_fn is None for gradient in received.values())


def test_a_single_modality_receives_noise_only() -> None:
    bench = Bench("ogm_ge", k=1, options={"noise": False})
    joint, other = Bench("joint", k=1).train(), bench.train()
    assert all(
        torch.equal(a, b) for a, b in zip(joint[0].parameters(), other[0].parameters(), strict=True)
    )


def test_everything_stays_finite_if_a_score_is_zero() -> None:
    bench = Bench("ogm_ge")
    model = bench.model()
    with torch.no_grad():
        model.fusion.heads["sight"].bias.copy_(torch.tensor([-1e4, -1e4, 1e4]))
        model.fusion.heads["sound"].bias.copy_(torch.tensor([1e4, -1e4, -1e4]))
    method = bench.method(model)
    batch = next(bench.rows())
    batch.target.fill_(0)
    method.training_step(bench.state(method, model), batch)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_a_wrong_window_is_refused() -> None:
    with pytest.raises(ArgumentError, match="window must hold a first and a last epoch"):
        gradients(window=(3, 2))
