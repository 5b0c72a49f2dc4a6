"""Factors on updates under optimizers of every kind, and those that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from g2d.errors import UnsupportedError
from g2d.method.updates import PROPORTIONAL, Updates, check_optimizer
from support.workbench import Bench

Parameters = list[nn.Parameter]


class Sign(torch.optim.Optimizer):
    """An optimizer that torch does not have: the sign of a momentum, with decoupled decay."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.01})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 0.1)
                p.mul_(1 - 0.02 * group["lr"]).sub_(group["lr"] * momentum.sign())


class Averaged(torch.optim.SGD):
    """An optimizer that steps from copies of the weights of its own."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                copy = self.state[p].setdefault("copy", p.detach().clone())
                copy.sub_(group["lr"] * p.grad)
                p.copy_(copy)


EXACT: dict[str, Callable[[Parameters], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=torch.tensor(0.01).double(), foreach=False),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01, weight_decay=0.1),
    "radam": lambda p: torch.optim.RAdam(p, lr=0.01),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=1.0),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "subclass": lambda p: type("Own", (torch.optim.AdamW,), {})(p, lr=0.01),
    "unknown": Sign,
}


def weights() -> Parameters:
    """Return the same two matrices and a vector in every call."""
    g = torch.Generator().manual_seed(0)
    shapes = ((4, 5), (3, 6), (7,))
    return [nn.Parameter(torch.randn(s, generator=g, dtype=torch.float64)) for s in shapes]


def differentiate(parameters: Parameters, number: int) -> None:
    """Give parameters gradients that depend on the number of the step only."""
    g = torch.Generator().manual_seed(number)
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=g, dtype=p.dtype)


@pytest.mark.parametrize("name", EXACT)
def test_a_factor_multiplies_the_whole_move_and_leaves_the_state_of_the_optimizer(
    name: str,
) -> None:
    plain, scaled = weights(), weights()
    optimizers = [EXACT[name](plain), EXACT[name](scaled)]
    for optimizer, parameters in zip(optimizers, (plain, scaled), strict=True):
        for number in (1, 2):
            differentiate(parameters, number)
            optimizer.step()
        differentiate(parameters, 3)
    start = [p.detach().clone() for p in plain]
    groups = [dict(group) for group in optimizers[1].param_groups]
    updates = Updates()
    updates.scale(scaled[:1], 0.3)
    updates.scale(scaled[1:2], 1.7)
    optimizers[0].step()
    with updates.scaled(optimizers[1]):
        optimizers[1].step()
    for factor, p, q, s in zip((0.3, 1.7, 1.0), plain, scaled, start, strict=True):
        assert not torch.equal(p, s)
        torch.testing.assert_close(q - s, factor * (p - s), rtol=1e-9, atol=1e-15)
        a, b = optimizers[0].state[p], optimizers[1].state[q]
        assert a.keys() == b.keys()
        assert all(torch.equal(torch.as_tensor(a[n]), torch.as_tensor(b[n])) for n in a)
    assert [dict(group) for group in optimizers[1].param_groups] == groups
    assert not updates.factors


def test_only_optimizers_whose_move_is_proportional_to_the_rate_have_their_rate_multiplied() -> (
    None
):
    for kind in PROPORTIONAL:
        moves = []
        for lr in (0.01, 0.02):
            (parameter, *_), start = weights(), weights()[0]
            differentiate([parameter], 1)
            kind([parameter], lr=lr, weight_decay=0.1).step()
            moves.append(parameter - start)
        torch.testing.assert_close(moves[1], 2 * moves[0], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", [Averaged, torch.optim.ASGD])
def test_an_optimizer_that_would_undo_a_factor_is_refused_in_the_first_step(kind: Any) -> None:
    parameters = weights()
    optimizer, updates = kind(parameters, lr=0.01), Updates()
    updates.scale(parameters, 0.5)
    differentiate(parameters, 1)
    with (
        pytest.raises(
            UnsupportedError, match=rf"must keep no copies of the weights.*found {kind.__name__}"
        ),
        updates.scaled(optimizer),
    ):
        optimizer.step()


def test_an_optimizer_that_needs_a_closure_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"without a closure.*found LBFGS"):
        check_optimizer(torch.optim.LBFGS(weights()))


def test_an_update_that_loss_scaling_skips_changes_nothing_and_forgets_its_factors() -> None:
    bench = Bench("joint")
    model = bench.model()
    method, scaler = bench.method(model), torch.amp.GradScaler("cpu")
    state = bench.state(method, model, scaler=scaler)
    state.optimizer = torch.optim.RMSprop(model.parameters())
    batch = next(bench.rows())
    scaler.scale(method.task.loss(model(batch.inputs).logits, batch.target)).backward()
    model.encoders["sound"][0].weight.grad[0, 0] = float("inf")
    state.scale_update({"sight": 0.5})
    state.update()
    assert all(map(torch.equal, model.parameters(), bench.model().parameters()))
    method.training_step(state, batch)
    other = bench.model()
    plain = bench.state(bench.method(other), other)
    plain.optimizer = torch.optim.RMSprop(other.parameters())
    method.training_step(plain, batch)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
