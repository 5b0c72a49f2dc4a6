"""ReconBoost: stages, phases and new optimizers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from g2d.errors import ArgumentError
from g2d.functional.boosting import consolidation, residual_loss
from support.workbench import Bench, equal, predicted, run


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_one_encoder_and_the_head_change_in_the_first_phase_and_everything_in_the_second(
    optimizer: str,
) -> None:
    bench = Bench("reconboost", k=3, batchnorm=True, options={"phases": (1, 1), "hidden": 7})
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model, optimizer)
    for epoch in range(1, 7):
        before, head, boost = copy.deepcopy(model), copy.deepcopy(method.head), method.boost.item()
        run(bench, method, state, [epoch])
        learning = [  # BatchNorm statistics included
            m for m in model.modalities if not equal(before.encoders[m], model.encoders[m])
        ]
        members = model.modalities[: (epoch + 1) // 2]
        if epoch % 2:
            assert learning == [members[-1]]
            assert method.boost.item() == boost
        else:
            assert learning == list(members)
            assert method.boost.item() != boost
        assert not equal(head, method.head)


def test_every_phase_starts_with_a_new_optimizer() -> None:
    bench = Bench("reconboost", options={"phases": (2, 1), "hidden": 7})
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    is_new = []
    for state.epoch in range(1, 8):
        method.epoch_start(state)
        is_new.append(not state.optimizer.state)
        for batch in bench.rows():
            method.training_step(state, batch)
    assert is_new == [True, False, True, True, False, True, True]


def terms(stage: int, **options: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Return the recorded losses of a step in the first phase, and the formulas written out."""
    bench = Bench("reconboost", k=3, options={"phases": (1, 1), "hidden": 7, **options})
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model, epoch=2 * stage + 1)
    batch = next(bench.rows())
    z = {m: method.head(method.align(m, e.pooled)) for m, e in model.encode(batch.inputs).items()}
    m, previous = model.modalities[stage % 3], model.modalities[(stage - 1) % 3]
    growing = not options.get("pretrained") and options.get("members") != "all"
    members = model.modalities[: stage + 1] if growing else model.modalities
    others = (
        None
        if stage == 0 and not options.get("pretrained")
        else sum(z[o] for o in members if o != m)
    )
    expected = {
        f"loss/residual/{m}": residual_loss(z[m], batch.target, others, weights=(5.0, 1.0))
        .mean()
        .item()
    }
    if stage:
        expected[f"loss/consolidation/{m}"] = 0.5 * consolidation(z[m], z[previous]).mean().item()
    record = method.training_step(state, batch)
    return {
        name: float(value) for name, value in record.items() if name.startswith("loss")
    }, expected


@pytest.mark.parametrize(
    ("stage", "options"),
    [(0, {}), (0, {"pretrained": True}), (1, {}), (1, {"members": "all"}), (4, {})],
)
def test_a_modality_learns_what_the_others_have_not_solved(
    stage: int, options: dict[str, Any]
) -> None:
    recorded, expected = terms(stage, **options)
    assert recorded == pytest.approx(expected, rel=1e-5)


def test_a_growing_ensemble_predicts_with_its_members_and_says_whom_it_lacks() -> None:
    bench = Bench("reconboost", k=3)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    batch = next(bench.rows("valid"))
    for epoch, count in ((1, 1), (2, 1), (3, 2), (5, 3), (7, 3)):
        state.epoch = epoch
        method.epoch_start(state)
        z = predicted(method, model, batch).unimodal_logits
        assert z is not None
        assert [m for m in bench.modalities if z[m].any()] == list(bench.modalities[:count])
    assert not method.notices
    state.epochs = 2
    method.epoch_start(state)
    assert "has no stage for sound, word" in method.notices["stages"]
    assert "5 epochs or more" in method.notices["stages"]


def test_the_prediction_is_the_boosted_sum() -> None:
    bench = Bench("reconboost", k=2)
    model, method, _ = bench.train()
    output = predicted(method, model, next(bench.rows("valid")))
    assert output.unimodal_logits is not None
    torch.testing.assert_close(output.logits, method.boost * sum(output.unimodal_logits.values()))
    method.head_weights.copy_(torch.tensor([2.0, 0.5]))  # as calibration would
    weighted = predicted(method, model, next(bench.rows("valid")))
    torch.testing.assert_close(
        weighted.logits,
        method.boost
        * (2 * output.unimodal_logits["sight"] + 0.5 * output.unimodal_logits["sound"]),
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"phases": (0, 1)}, "phases must be two numbers of epochs, the first of them 1 or more"),
        ({"weights": (1.0, 2.0)}, "weights must be w_1 and w_2 with w_1 >= w_2 >= 0"),
        ({"order": ("sight", "sight")}, "order must name every modality once"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        Bench("reconboost", options=options).train()
