"""AGM: shares of the prediction, and the gradients that enter them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from g2d.errors import ArgumentError, UnsupportedError
from g2d.functional.gradients import scale_gradient
from g2d.functional.shapley import coalitions, modulation_coefficients, shares
from g2d.fusion import CrossAttention, FiLM, Late
from g2d.method import Method, TrainState
from g2d.methods import AGM
from g2d.model import MultimodalModel
from g2d.task import Classification
from g2d.types import Batch, Sequence
from support.workbench import Bench, predicted


def built(
    k: int = 2, batchnorm: bool = False, optimizer: str = "sgd", **options: Any
) -> tuple[Bench, MultimodalModel, Method, TrainState]:
    """Return a bench, and its model, method and training state."""
    bench = Bench("agm", k=k, batchnorm=batchnorm, options=options)
    model = bench.model()
    method = bench.method(model)
    return bench, model, method, bench.state(method, model, optimizer)


def without(inputs: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    """Return the inputs with zeros for every modality outside a coalition."""
    zero = {
        m: Sequence(torch.zeros_like(v.values), v.mask)
        if isinstance(v, Sequence)
        else torch.zeros_like(v)
        for m, v in inputs.items()
    }
    return {m: v if m in kept else zero[m] for m, v in inputs.items()}


@pytest.mark.parametrize("k", [2, 3])
def test_the_step_is_that_of_the_authors_with_2_to_the_k_passes(k: int) -> None:
    """Compare without BatchNorm and dropout, over several steps, so that running means count."""
    bench, model, method, state = built(k)
    other = bench.model()
    optimizer = torch.optim.SGD(other.parameter_groups(), lr=0.05, momentum=0.9, weight_decay=1e-2)
    running = dict.fromkeys(model.modalities, 0.0)
    for step, batch in enumerate(list(bench.rows())[:3], 1):
        record = method.training_step(state, batch)
        values = {
            some: other(without(dict(batch.inputs), some)).logits
            for some in coalitions(other.modalities)
        }
        u = shares(values, other.modalities)
        q = {
            m: nn.functional.cross_entropy(v, batch.target, reduction="none")
            .clamp_max(-math.log(1e-8))
            .mean()
            .item()
            for m, v in u.items()
        }
        c = modulation_coefficients(q, running, alpha=2.5, cap=10.0)
        running = {m: running[m] * (step - 1) / step + q[m] / step for m in q}
        optimizer.zero_grad()
        logits: Tensor = torch.stack([scale_gradient(v, c[m]) for m, v in u.items()]).sum(0)
        nn.functional.cross_entropy(logits, batch.target).backward()
        optimizer.step()
        assert {m: float(record[f"kappa/{m}"]) for m in c} == pytest.approx(c, rel=1e-4)
    torch.testing.assert_close(
        dict(model.state_dict()), dict(other.state_dict()), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("fusion", [FiLM, CrossAttention])
def test_it_works_with_any_fusion(fusion: Any) -> None:
    bench = Bench("agm")
    model = MultimodalModel(
        {m: bench.encoder(m, 0) for m in bench.modalities}, fusion({"sight": 6, "sound": 5}, 3)
    )
    method = bench.method(model)
    state = bench.state(method, model)
    for batch in bench.rows():
        assert math.isfinite(float(method.training_step(state, batch)["loss/task"]))
    batch = next(bench.rows("valid"))
    output = predicted(method, model, batch)
    assert output.unimodal_logits is not None
    torch.testing.assert_close(
        sum(output.unimodal_logits.values()), output.logits, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(output.logits, model(batch.inputs).logits)


def test_a_modality_ahead_of_its_own_average_is_damped() -> None:
    bench, model, method, state = built()
    method.running.copy_(torch.tensor([1.0, 1.0]))
    method.updates.fill_(10)
    with torch.no_grad():
        model.fusion.heads["sight"].bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    batch = next(bench.rows())
    batch.target.fill_(0)
    record = method.training_step(state, batch)
    assert float(record["kappa/sight"]) < 1 < float(record["kappa/sound"])


def test_the_model_is_back_in_train_mode_after_a_step_and_after_an_error() -> None:
    bench, model, method, state = built(batchnorm=True)
    method.training_step(state, next(bench.rows()))
    assert all(module.training for module in model.modules())

    def broken(*_: object) -> None:
        raise RuntimeError("an encoder fails on zeros")

    calls = 0

    def second_time(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            broken()

    model.encoders["sight"].register_forward_hook(second_time)
    with pytest.raises(RuntimeError, match="an encoder fails on zeros"):
        method.training_step(state, next(bench.rows()))
    assert all(module.training for module in model.modules())


def test_batchnorm_statistics_include_every_row_once_and_no_zeros() -> None:
    bench, model, method, state = built(batchnorm=True)
    other = bench.model()
    batch = next(bench.rows())
    method.training_step(state, batch)
    other(batch.inputs)
    for m in ("sight", "sound"):
        torch.testing.assert_close(
            dict(model.encoders[m].named_buffers()), dict(other.encoders[m].named_buffers())
        )


def test_an_absent_modality_can_have_the_running_mean_of_its_features() -> None:
    bench, model, method, state = built(absent="feature_mean")
    features = []
    for batch in list(bench.rows())[:2]:
        features.append(
            {m: e.pooled.detach().mean(0) for m, e in model.encode(batch.inputs).items()}
        )
        method.training_step(state, batch)
    for m in model.modalities:
        torch.testing.assert_close(
            method.get_buffer(f"mean_{m}"),
            (features[0][m] + features[1][m]) / 2,
            rtol=1e-4,
            atol=1e-6,
        )


def test_outside_its_window_no_modality_is_modulated() -> None:
    bench, _, method, state = built(window=(1, 1))
    state.epoch = 2
    method.epoch_start(state)
    record = method.training_step(state, next(bench.rows()))
    assert {name: float(value) for name, value in record.items() if name.startswith("kappa")} == {
        "kappa/sight": 1.0,
        "kappa/sound": 1.0,
    }


def test_after_its_window_the_last_coefficients_can_remain_in_force_also_in_a_resumed_run() -> None:
    bench, _, method, state = built(window=(2, 2), after_window="keep")
    kappa = []
    for state.epoch in (1, 2, 3):
        method.epoch_start(state)
        for batch in list(bench.rows())[:2]:
            record = method.training_step(state, batch)
            kappa.append([float(record[f"kappa/{m}"]) for m in bench.modalities])
    assert kappa[:2] == [[1.0, 1.0]] * 2
    assert kappa[2] != kappa[3] != [1.0, 1.0]
    assert kappa[4:] == [kappa[3]] * 2
    _, _, other, _ = built(window=(2, 2), after_window="keep")
    other.load_state_dict(method.state_dict())
    assert other.kept.tolist() == kappa[3]


def test_coalitions_can_be_encoded_again_in_eval_mode_with_gradients() -> None:
    _, model, method, _ = built(batchnorm=True, coalitions="eval")
    batch = next(built()[0].rows())
    other = built(batchnorm=True)[1].train()
    full = other(batch.inputs).logits
    other.eval()
    f = {m: other(without(dict(batch.inputs), frozenset((m,)))).logits for m in model.modalities}
    expected = {m: (full - f[n] + f[m]) / 2 for m, n in (("sight", "sound"), ("sound", "sight"))}
    encoded = model.train().encode(batch.inputs)
    u = method._shares(model, batch.inputs, encoded, model.fusion(encoded)[0], None)
    for values, net in ((u, model), (expected, other)):
        values["sight"].square().sum().backward()
        assert net.encoders["sound"][0].weight.grad is not None
    for m in model.modalities:
        torch.testing.assert_close(u[m], expected[m])
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_a_large_gradient_of_the_fusion_clips_all_gradients() -> None:
    norms = {}
    for clip in (None, 1.0):
        bench, model, method, state = built(clip=clip)
        with torch.no_grad():
            model.encoders["sound"][0].weight.mul_(50)
        # Unbounded features, so that the fusion's gradient is large.
        model.encoders["sound"][2] = nn.Identity()
        totals: list[float] = []
        state.optimizer.register_step_pre_hook(
            lambda optimizer, *_, totals=totals: totals.append(
                nn.utils.get_total_norm(
                    [p.grad for g in optimizer.param_groups for p in g["params"]]
                ).item()
            )
        )
        method.training_step(state, next(bench.rows()))
        norms[clip] = totals[0]
    assert norms[None] > 1.0
    assert norms[1.0] == pytest.approx(1.0, rel=1e-3)


def test_under_adam_the_update_is_scaled_and_modulating_the_gradient_is_refused() -> None:
    bench, _, method, state = built(optimizer="adamw")
    for batch in bench.rows():
        record = method.training_step(state, batch)
    assert any(float(record[f"kappa/{m}"]) != 1 for m in bench.modalities)
    bench, _, method, state = built(optimizer="adamw", modulate="gradient")
    with pytest.raises(
        UnsupportedError,
        match="modulate='gradient' must have an optimizer that a scaled gradient changes",
    ):
        method.training_step(state, next(bench.rows()))


def test_many_modalities_are_a_notice_that_sampling_avoids() -> None:
    names = [f"m{i}" for i in range(7)]
    inputs = {m: torch.randn(4, 2) for m in names}
    batch = Batch(inputs, torch.arange(4) % 3)
    passes: dict[int | None, int] = {}
    for permutations in (None, 3):
        torch.manual_seed(0)
        encoders = {m: nn.Linear(2, 2) for m in names}
        model = MultimodalModel(encoders, Late(dict.fromkeys(names, 2), 3))
        method = AGM(permutations=permutations).build(model, Classification(3))
        optimizer = torch.optim.SGD(method.parameter_groups(model), lr=0.1)
        state = TrainState(model, optimizer, method.task, epochs=1)
        method.epoch_start(state)
        calls = []
        model.fusion.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        method.training_step(state, batch)
        passes[permutations] = len(calls)
        notice = method.notices.get("coalitions", "")
        assert ("127 times per update" in notice) == (permutations is None)
        a, b = (predicted(method, model, batch).unimodal_logits for _ in range(2))
        assert a is not None
        assert b is not None
        assert all(torch.equal(a[m], b[m]) for m in names)
    assert passes[None] == 2**7 - 1
    assert 7 < passes[3] <= 3 * 6 + 1
    with pytest.raises(
        ArgumentError, match="permutations must be one or more, at most 10,000, found 0"
    ):
        AGM(permutations=0)
