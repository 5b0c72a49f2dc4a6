"""Losses and gradients that are not finite never change a weight, under every method."""

from __future__ import annotations

import math

import pytest
import torch

from g2d.engine.nonfinite import SKIPPED, Steps
from g2d.errors import NonFiniteError
from g2d.methods import METHODS
from support.workbench import Bench, poisoned, weights

TRAINED = [name for name, kind in METHODS.items() if kind.trains]
PARTS = [1, 3]


def bench_of(name: str) -> Bench:
    return Bench(name, regression="classification" not in METHODS[name].tasks, batchnorm=True)


@pytest.mark.parametrize("accumulate", PARTS)
@pytest.mark.parametrize("name", TRAINED)
def test_an_update_that_is_not_finite_is_refused_before_it_is_made(
    name: str, accumulate: int
) -> None:
    bench = bench_of(name)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model, accumulate=accumulate)
    method.epoch_start(state)
    first, second, *_ = bench.rows()
    steps = Steps(method, state, "stop")
    steps.take(first)
    parameters = [*model.parameters(), *method.parameters()]
    before = [p.detach().clone() for p in parameters]
    with pytest.raises(
        NonFiniteError, match=r"must stay finite, found nan in epoch 1, after .* up"
    ):
        steps.take(poisoned(second))
    assert all(torch.equal(p, value) for p, value in zip(parameters, before, strict=True))
    assert all(p.grad is None for p in parameters)


@pytest.mark.parametrize("name", TRAINED)
def test_a_gradient_that_is_not_finite_is_refused_although_the_loss_is(name: str) -> None:
    bench = bench_of(name)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    method.epoch_start(state)
    parameters = [*model.parameters(), *method.parameters()]
    before = [p.detach().clone() for p in parameters]
    hooks = [p.register_hook(lambda gradient: gradient * math.inf) for p in parameters]
    with pytest.raises(NonFiniteError, match="the gradient must stay finite"):
        method.training_step(state, next(bench.rows()))
    assert all(torch.equal(p, value) for p, value in zip(parameters, before, strict=True))
    for hook in hooks:
        hook.remove()
    method.training_step(state, next(bench.rows()))
    assert any(not torch.equal(p, value) for p, value in zip(parameters, before, strict=True))


@pytest.mark.parametrize("accumulate", PARTS)
@pytest.mark.parametrize("name", TRAINED)
def test_a_skipped_batch_changes_nothing_as_if_it_did_not_exist(name: str, accumulate: int) -> None:
    bench = bench_of(name)
    ends = []
    for bad in ((), (1,), (0, 3)):
        model = bench.model()
        method = bench.method(model)
        state = bench.state(method, model, accumulate=accumulate)
        method.epoch_start(state)
        steps, batches = Steps(method, state, "skip"), list(bench.rows())[:3]
        for place in bad:
            batches.insert(place, poisoned(batches[2]))
        skipped = [place for place, batch in enumerate(batches) if steps.take(batch) is None]
        assert skipped == list(bad)
        assert (SKIPPED in method.notices) == bool(bad)
        ends.append((weights(model, method), state.step))
    for end, step in ends[1:]:
        assert step == ends[0][1]
        for key, value in end.items():
            torch.testing.assert_close(value, ends[0][0][key], rtol=0, atol=0, equal_nan=True)
