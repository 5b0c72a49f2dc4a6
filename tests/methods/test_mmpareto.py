"""MMPareto: gradients of the joint loss and of the modality's own, combined in every encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from g2d.errors import ArgumentError
from g2d.functional.pareto import pareto_gradients
from support.workbench import Bench, predicted


def step(
    **options: Any,
) -> tuple[
    dict[str, torch.Tensor],
    dict[str, list[torch.Tensor]],
    dict[str, list[torch.Tensor]],
    dict[str, float],
]:
    """Run a step.

    Returns:
        The gradients that the optimizer receives, for heads minus those of autograd; per encoder
        the gradients of the joint loss and of its own loss by autograd; and the record.
    """
    bench = Bench("mmpareto", k=3, options=options)
    model = bench.model()
    method = bench.method(model)
    batch = next(bench.rows())
    output = model(batch.inputs)
    joint = bench.task.loss(output.logits, batch.target)
    g0 = {
        m: list(torch.autograd.grad(joint, tuple(e.parameters()), retain_graph=True))
        for m, e in model.encoders.items()
    }
    own = {
        m: bench.task.loss(method.heads[m](output.features[m]), batch.target)
        for m in model.modalities
    }
    gm = {
        m: list(torch.autograd.grad(own[m], tuple(e.parameters()), retain_graph=True))
        for m, e in model.encoders.items()
    }
    sums = {"fusion": (joint, model.fusion), "heads": (sum(own.values()), method.heads)}
    heads = {
        name: torch.autograd.grad(loss, tuple(part.parameters()))
        for name, (loss, part) in sums.items()
    }
    state = bench.state(method, model)
    received: dict[str, torch.Tensor] = {}

    class RecordingSGD(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            received.update(
                {
                    f"encoders.{n}": p.grad.clone()
                    for n, p in model.encoders.named_parameters()
                    if p.grad is not None
                }
            )
            received.update(
                {
                    f"fusion.{i}": p.grad - g
                    for i, (p, g) in enumerate(
                        zip(model.fusion.parameters(), heads["fusion"], strict=True)
                    )
                }
            )
            received.update(
                {
                    f"heads.{i}": p.grad - g
                    for i, (p, g) in enumerate(
                        zip(method.heads.parameters(), heads["heads"], strict=True)
                    )
                }
            )

    state.optimizer = RecordingSGD(method.parameter_groups(model), lr=0.1)
    record = method.training_step(state, batch)
    return received, g0, gm, {name: float(value) for name, value in record.items()}


@pytest.mark.parametrize("scope", ["tensor", "encoder"])
def test_every_encoder_follows_its_combined_gradient_and_the_heads_their_plain_gradient(
    scope: str,
) -> None:
    received, g0, gm, record = step(norm_scope=scope)
    for m in g0:
        expected = pareto_gradients(g0[m], gm[m], gamma=1.5, by_tensor=scope == "tensor")
        for gradient, combined in zip(
            (v for n, v in received.items() if n.startswith(f"encoders.{m}.")),
            expected,
            strict=True,
        ):
            torch.testing.assert_close(gradient, combined, rtol=1e-5, atol=1e-7)
    assert all(
        value.abs().max() < 1e-7
        for name, value in received.items()
        if not name.startswith("encoders")
    )
    assert set(record) == {
        "loss/task",
        *(f"{kind}/{m}" for m in g0 for kind in ("loss/unimodal", "cosine")),
    }


def test_under_sgd_gamma_scales_the_gradient_and_under_adam_the_step() -> None:
    one, other = (
        Bench("mmpareto", options={"gamma": gamma}).train(range(1, 2), optimizer="adamw")
        for gamma in (1.0, 3.0)
    )
    start = Bench("mmpareto").model()
    moves = [
        sum(
            (a - b).abs().sum().item()
            for a, b in zip(run[0].encoders.parameters(), start.encoders.parameters(), strict=True)
        )
        for run in (one, other)
    ]
    assert moves[1] > 1.5 * moves[0]


def test_unimodal_predictions_come_from_the_method_s_heads() -> None:
    bench = Bench("mmpareto", k=2, fusion="concat")
    model, method, _ = bench.train()
    batch = next(bench.rows("valid"))
    output = predicted(method, model, batch)
    assert output.unimodal_logits is not None
    for m, z in output.unimodal_logits.items():
        torch.testing.assert_close(z, method.heads[m](output.features[m]))
    torch.testing.assert_close(output.logits, model(batch.inputs).logits)


def test_a_parameter_that_no_loss_reaches_does_not_change() -> None:
    bench = Bench("mmpareto")
    model = bench.model()
    model.encoders["sound"].unused = torch.nn.Parameter(torch.ones(3))
    method = bench.method(model)
    state = bench.state(method, model)
    for batch in bench.rows():
        method.training_step(state, batch)
    assert torch.equal(model.encoders["sound"].unused, torch.ones(3))


def test_a_gamma_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"gamma must be positive, found 0\.0\."):
        Bench("mmpareto", options={"gamma": 0.0}).train()
