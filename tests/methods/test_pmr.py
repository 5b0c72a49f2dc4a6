"""PMR: prototypes, their weights and their losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from g2d.errors import ArgumentError
from g2d.functional.prototypes import entropy_per_row, prototype_logits, rebalance_weights
from g2d.method import Method, TrainState
from g2d.model import MultimodalModel
from g2d.types import Batch
from support.workbench import Bench, equal, predicted, run


def started(k: int = 2, **options: Any) -> tuple[Bench, MultimodalModel, Method, TrainState]:
    """Return a bench, and its model, method and state after the start of an epoch."""
    bench = Bench("pmr", k=k, options=options)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    method.epoch_start(state)
    return bench, model, method, state


def test_prototypes_are_class_means_in_eval_mode_and_mix_with_the_old_ones() -> None:
    bench, model, method, state = started(momentum=0.25, window=None)
    whole = Batch(
        {m: torch.cat([b.inputs[m] for b in bench.rows()]) for m in model.modalities},
        torch.cat([b.target for b in bench.rows()]),
    )
    model.eval()

    def means() -> dict[str, torch.Tensor]:
        features = {m: e.pooled for m, e in model.encode(whole.inputs).items()}
        return {
            m: torch.stack([f[whole.target == c].mean(0) for c in range(3)]).detach()
            for m, f in features.items()
        }

    first = means()
    for m in model.modalities:
        torch.testing.assert_close(
            method.get_buffer(f"prototypes_{m}"), first[m], rtol=1e-5, atol=1e-6
        )
    with torch.no_grad():
        for parameter in model.encoders.parameters():
            parameter.mul_(1.5)
    state.epoch = 2
    method.epoch_start(state)
    for m, new in means().items():
        torch.testing.assert_close(
            method.get_buffer(f"prototypes_{m}"), 0.25 * first[m] + 0.75 * new, rtol=1e-5, atol=1e-6
        )


def test_a_class_that_the_drawn_rows_lack_keeps_its_prototype() -> None:
    bench, model, method, state = started()
    before = method.get_buffer("prototypes_sight").clone()
    state._rows = lambda *_: [batch.rows(batch.target != 1) for batch in bench.rows()]
    with torch.no_grad():
        model.encoders["sight"][0].weight.mul_(2)
    method.epoch_start(state)
    after = method.get_buffer("prototypes_sight")
    assert torch.equal(after[1], before[1])
    assert not torch.equal(after[0], before[0])
    assert torch.isfinite(after).all()


@pytest.mark.parametrize("k", [2, 3])
def test_the_loss_equals_the_formula_written_out(k: int) -> None:
    bench, model, method, state = started(k, alpha=2.0, mu=0.1)
    batch = next(bench.rows())
    output = model(batch.inputs)
    sims = {
        m: prototype_logits(f, method.get_buffer(f"prototypes_{m}"))
        for m, f in output.features.items()
    }
    score = {
        m: sim.softmax(1)[torch.arange(len(batch)), batch.target].mean().item()
        for m, sim in sims.items()
    }
    beta = rebalance_weights(score)
    best = max(score, key=lambda m: score[m])
    record = {name: float(value) for name, value in method.training_step(state, batch).items()}
    assert {m: record[f"beta/{m}"] for m in beta} == pytest.approx(beta, rel=1e-4)
    assert beta[best] == 0 < max(beta.values())
    for m, weight in beta.items():
        if weight:
            assert record[f"loss/prototype/{m}"] == pytest.approx(
                2.0 * weight * torch.nn.functional.cross_entropy(sims[m], batch.target).item(),
                rel=1e-4,
            )
    assert {name for name in record if name.startswith("loss/entropy")} == {f"loss/entropy/{best}"}
    assert record[f"loss/entropy/{best}"] == pytest.approx(
        -0.1 * max(beta.values()) * entropy_per_row(sims[best]).mean().item(), rel=1e-4
    )


def test_the_prototype_loss_reaches_only_its_own_encoder() -> None:
    bench, model, method, _ = started()
    batch = next(bench.rows())
    features = {m: e.pooled for m, e in model.encode(batch.inputs).items()}
    loss = torch.nn.functional.cross_entropy(
        prototype_logits(features["sight"], method.get_buffer("prototypes_sight")), batch.target
    )
    loss.backward()
    assert all(p.grad is not None for p in model.encoders["sight"].parameters())
    assert all(
        p.grad is None for p in [*model.encoders["sound"].parameters(), *model.fusion.parameters()]
    )


def test_the_entropy_bonus_ends_before_the_window_does() -> None:
    bench, _, method, state = started(mu=0.1, entropy_epochs=1, window=(1, 2))
    names = {}
    for epoch in (1, 2, 3):
        run(bench, method, state, [epoch])
        names[epoch] = {
            name.split("/")[1]
            for name in method.training_step(state, next(bench.rows()))
            if name.startswith("loss")
        }
    assert names == {1: {"task", "prototype", "entropy"}, 2: {"task", "prototype"}, 3: {"task"}}


def test_the_prototypes_can_give_the_unimodal_predictions() -> None:
    bench = Bench("pmr", options={"readout": "prototypes"})
    model, method, _ = bench.train()
    output = predicted(method, model, next(bench.rows("valid")))
    assert output.unimodal_logits is not None
    for m, z in output.unimodal_logits.items():
        torch.testing.assert_close(
            z, prototype_logits(output.features[m], method.get_buffer(f"prototypes_{m}"))
        )


def test_without_prototypes_a_step_is_refused() -> None:
    bench = Bench("pmr")
    model = bench.model()
    method = bench.method(model)
    with pytest.raises(
        ArgumentError, match="prototypes must exist before the first step, found none"
    ):
        method.training_step(bench.state(method, model), next(bench.rows()))


def test_a_batch_without_a_known_class_trains_the_fused_loss_alone() -> None:
    """With 2,000 classes, the drawn tenth of the rows holds no class of many batches."""
    bench = Bench("pmr", options={"mu": 0.1, "window": None})
    model, joint = bench.model(), Bench("joint").model()
    method = bench.method(model)
    state = bench.state(method, model)
    for m in model.modalities:
        method.get_buffer(f"known_{m}")[0] = True  # of no class in the batch
    batch = next(bench.rows())
    batch = batch.rows((batch.target > 0).nonzero().flatten())
    record = method.training_step(state, batch)
    plain = Bench("joint")
    other = plain.method(joint)
    other.training_step(plain.state(other, joint), batch)
    assert [record[f"beta/{m}"] for m in model.modalities] == [0.0, 0.0]
    assert equal(model, joint)


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_a_wrong_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(ArgumentError, match="fraction must be above 0 and at most 1"):
        started(fraction=fraction)
