"""MLA: modalities take turns at one shared head."""

from __future__ import annotations

import copy

import pytest
import torch

from g2d.errors import ArgumentError
from g2d.functional.projections import forgetting, narrowed
from g2d.methods import MLA
from g2d.model import MultimodalModel
from support.workbench import Bench, equal, predicted, run


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_in_a_turn_only_its_own_encoder_and_the_head_change(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench("mla", k=3, batchnorm=True)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model, optimizer)
    run(bench, method, state, [1])  # so that momenta are not zero
    turns: list[tuple[dict[str, bool], bool]] = []
    update = state.update

    def recorded_update() -> None:
        before, head = copy.deepcopy(model), copy.deepcopy(method.head)
        update()
        turns.append(
            (
                {m: not equal(before.encoders[m], model.encoders[m]) for m in model.modalities},
                not equal(head, method.head),
            )
        )

    monkeypatch.setattr(state, "update", recorded_update)
    method.training_step(state, next(bench.rows()))
    assert turns == [
        ({other: other == m for other in model.modalities}, True) for m in model.modalities
    ]


def test_two_steps_equal_plain_sgd_written_out() -> None:
    bench = Bench("mla", k=2)
    model = bench.model()
    method = bench.method(model)
    by_hand, head, align = (
        copy.deepcopy(model),
        copy.deepcopy(method.head),
        copy.deepcopy(method.align),
    )
    state = bench.state(method, model)
    state.optimizer = torch.optim.SGD(method.parameter_groups(model), lr=0.1)
    batches = list(bench.rows())[:2]
    for batch in batches:
        method.training_step(state, batch)
    projector = torch.eye(6, dtype=torch.float64)
    for number, batch in enumerate(batches):
        for m in by_hand.modalities:
            features = align(m, by_hand.encode(batch.inputs, only=(m,))[m].pooled)
            parameters = [
                *by_hand.encoders[m].parameters(),
                *head.parameters(),
                *(align.projectors[m].parameters() if m in align.projectors else []),
            ]
            gradients = torch.autograd.grad(
                torch.nn.functional.cross_entropy(head(features), batch.target), parameters
            )
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter -= (
                        0.1 * (gradient.double() @ projector.T).float()
                        if parameter is head.weight
                        else 0.1 * gradient
                    )
            projector = narrowed(
                projector, features.detach().double().mean(0), forgetting(number, 4)
            )
    torch.testing.assert_close(
        dict(model.state_dict()), dict(by_hand.state_dict()), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        dict(method.head.state_dict()), dict(head.state_dict()), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(method.projector.double(), projector, rtol=1e-4, atol=1e-6)


def test_only_projection_changes_the_projector_and_the_head_s_gradient() -> None:
    trained = {
        projection: Bench("mla", k=2, options={"projection": projection})
        for projection in (True, False)
    }
    heads = {}
    for projection, bench in trained.items():
        model = bench.model()
        method = bench.method(model)
        state = bench.state(method, model)
        before = method.head.weight.detach().clone()
        method.training_step(state, next(bench.rows()))
        heads[projection] = method.head.weight.detach() - before
    assert not torch.equal(heads[True], heads[False])
    model = trained[True].model()
    method = trained[True].method(model)
    method.training_step(trained[True].state(method, model), next(trained[True].rows()))
    assert not torch.equal(method.projector, torch.eye(6))
    unprojected = trained[False].method(model)
    unprojected.training_step(trained[False].state(unprojected, model), next(trained[False].rows()))
    assert torch.equal(unprojected.projector, torch.eye(6))


@pytest.mark.parametrize("option", ["update_first", "normalize"])
def test_the_other_variants_differ_from_the_default(option: str) -> None:
    plain, other = Bench("mla").train(), Bench("mla", options={option: True}).train()
    assert not equal(plain[1].head, other[1].head)
    if option == "normalize":
        assert isinstance(other[1], MLA)
        assert other[1].projector.norm().item() == pytest.approx(1.0, abs=1e-5)


def test_the_order_of_turns_matters_and_can_be_chosen() -> None:
    forward, backward = (
        Bench("mla").train(),
        Bench("mla", options={"order": ("sound", "sight")}).train(),
    )
    assert not equal(forward[0], backward[0])
    with pytest.raises(
        ArgumentError, match=r"order must name every modality once \(sight, sound\), found sound"
    ):
        Bench("mla", options={"order": ("sound",)}).train()


def test_the_more_certain_modality_weighs_more_in_each_row_whatever_the_other_rows() -> None:
    bench = Bench("mla", k=2)
    model, method, _ = bench.train()
    batch = next(bench.rows("valid"))
    output = predicted(method, model, batch)
    order = torch.randperm(len(batch))
    shuffled = predicted(method, model, batch.rows(order))
    torch.testing.assert_close(shuffled.logits, output.logits[order], rtol=1e-5, atol=1e-6)
    assert output.unimodal_logits is not None
    z = torch.stack(tuple(output.unimodal_logits.values()))
    share = ((output.logits - z[1]) / (z[0] - z[1])).median(1).values  # l = w z^1 + (1 - w) z^2
    entropy = torch.distributions.Categorical(logits=z).entropy()
    torch.testing.assert_close(share, torch.softmax(-entropy, 0)[0], rtol=1e-3, atol=1e-3)


def test_fixed_weights_replace_certainty() -> None:
    bench = Bench("mla", options={"weights": {"sight": 0.25, "sound": 0.75}})
    model, method, _ = bench.train()
    output = predicted(method, model, next(bench.rows("valid")))
    assert output.unimodal_logits is not None
    torch.testing.assert_close(
        output.logits,
        0.25 * output.unimodal_logits["sight"] + 0.75 * output.unimodal_logits["sound"],
    )
    with pytest.raises(
        ArgumentError,
        match=r"weights must name every modality once \(sight, sound\), found sight",
    ):
        Bench("mla", options={"weights": {"sight": 1.0}}).train()


def test_the_fusion_is_not_used() -> None:
    bench = Bench("mla")
    model, _, _ = bench.train()
    assert isinstance(model, MultimodalModel)
    assert equal(model.fusion, bench.model().fusion)
