"""Coefficients reach the update of each parameter under every optimizer and grouping."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from g2d.method import Method, TrainState
from g2d.methods import METHODS, OGMGE
from g2d.model import MultimodalModel
from g2d.modulations import PartialSuppression
from g2d.task import Classification
from support.workbench import Bench

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name, kind in METHODS.items() if kind.trains),
    ("joint", {"partial": True}),
    ("ogm_ge", {"noise": False, "scope": "conv_only"}),
]

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9, weight_decay=1e-2),
    "adam": lambda groups: torch.optim.Adam(groups, lr=0.01, weight_decay=1e-2),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.01, weight_decay=1e-2),
}

Groups = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    """Build all models and batches in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def prepared(name: str, options: dict[str, Any], k: int = 2) -> tuple[Bench, Any, Method]:
    """Return a bench, and its model and method."""
    if "partial" in options:
        modulation = PartialSuppression(gate_heads=True)
        options = {"modulation": modulation, "teachers": Bench("joint", k=k).teachers()}
    regression = "classification" not in METHODS[name].tasks
    bench = Bench(name, k=k, regression=regression, options=options)
    model = bench.model()
    return bench, model, bench.method(model)


def everything(model: nn.Module, method: nn.Module) -> dict[str, nn.Parameter]:
    """Return all parameters by name."""
    return {f"model.{n}": p for n, p in model.named_parameters()} | {
        f"method.{n}": p for n, p in method.named_parameters()
    }


def subset(name: str, parameter: nn.Parameter) -> bool:
    """Return whether a small set of trained parameters has this one: biases, and all heads."""
    return not name.startswith("model.encoders") or parameter.ndim == 1


def named(model: MultimodalModel, method: Method) -> Groups:
    return method.parameter_groups(model)


def one(model: MultimodalModel, method: Method) -> Groups:
    return [{"params": list(everything(model, method).values())}]


def decay(model: MultimodalModel, method: Method) -> Groups:
    parameters = everything(model, method).values()
    return [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def single(model: MultimodalModel, method: Method) -> Groups:
    return [
        {"params": [p], **({} if p.ndim > 1 else {"weight_decay": 0.0})}
        for p in reversed(everything(model, method).values())
    ]


def few(model: MultimodalModel, method: Method) -> Groups:
    return [{"params": [p for n, p in everything(model, method).items() if subset(n, p)]}]


def moved(
    case: tuple[str, dict[str, Any]], optimizer: str, groups: Callable[..., Groups], steps: int
) -> dict[str, torch.Tensor]:
    """Return all parameters after some steps with the optimizer in these groups."""
    bench, model, method = prepared(*case)
    state = bench.state(method, model)
    state.optimizer = OPTIMIZERS[optimizer](groups(model, method))
    method.epoch_start(state)
    for batch in list(bench.rows())[:steps]:
        method.training_step(state, batch)
    return {n: p.detach().clone() for n, p in everything(model, method).items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join([case[0], *case[1]]))
def test_groups_of_equal_hyperparameters_move_every_parameter_equally(
    case: tuple[str, dict[str, Any]], optimizer: str
) -> None:
    for a, b in ((named, one), (decay, single)):
        first, second = moved(case, optimizer, a, 2), moved(case, optimizer, b, 2)
        assert all(torch.equal(first[name], second[name]) for name in first)
    whole, some = moved(case, optimizer, named, 1), moved(case, optimizer, few, 1)
    _, model, method = prepared(*case)
    for name, start in everything(model, method).items():
        assert torch.equal(some[name], whole[name] if subset(name, start) else start), name


SCALED: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "ogm_ge": ({"alpha": 1.5, "noise": False}, "joint", {}),
    "ogm_ge of convolutions": (
        {"alpha": 1.5, "noise": False, "scope": "conv_only", "against": "min"},
        "joint",
        {},
    ),
    "agm": ({"alpha": 50.0, "cap": None}, "joint", {}),
    "joint": ({"partial": True}, "joint", {}),
    "mslr": ({"strategy": "keep", "coefficients": {"sound": 0.4}}, "joint", {}),
    "mmpareto": ({"gamma": 1.7}, "mmpareto", {"gamma": 1.0}),
}
"""Per method that scales updates its arguments, and the same gradients without coefficients."""

PLAIN: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda p, decay: torch.optim.Adam(p, lr=0.01, weight_decay=decay),
    "adamw": lambda p, decay: torch.optim.AdamW(p, lr=0.01, weight_decay=decay),
    "rmsprop": lambda p, decay: torch.optim.RMSprop(p, lr=0.01, weight_decay=decay, momentum=0.5),
}


def first_step(
    name: str, options: dict[str, Any], optimizer: str, decay: float, k: int
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, float], list[Any]]:
    """Return the weights before and after the first step, record and moments."""
    bench, model, method = prepared(name, options, k)
    state = bench.state(method, model)
    state.optimizer = PLAIN[optimizer]([*model.parameters(), *method.parameters()], decay)
    method.epoch_start(state)
    parameters = everything(model, method)
    before = {n: p.detach().clone() for n, p in parameters.items()}
    record = method.training_step(state, next(bench.rows()))
    after = {n: p.detach().clone() for n, p in parameters.items()}
    moments = [state.optimizer.state.get(p, {}) for p in parameters.values()]
    return before, after, {key: float(value) for key, value in record.items()}, moments


def recorded(method: str, record: dict[str, float], m: str) -> float:
    """Return the coefficient of a modality by the record or by the method's argument."""
    options = SCALED[method][0]
    if method == "mslr":
        return float(options["coefficients"].get(m, 1.0))
    return float(options["gamma"]) if method == "mmpareto" else record[f"kappa/{m}"]


@pytest.mark.parametrize(
    ("optimizer", "decay", "k"),
    [("adam", 0.01, 2), ("adamw", 0.0, 2), ("adamw", 0.01, 3), ("rmsprop", 0.01, 3)],
)
@pytest.mark.parametrize("name", SCALED)
def test_the_recorded_coefficient_multiplies_the_whole_move_and_no_moment(
    name: str, optimizer: str, decay: float, k: int
) -> None:
    options, reference, plain = SCALED[name]
    start, scaled, record, moments = first_step(name.split()[0], options, optimizer, decay, k)
    _, whole, _, other = first_step(reference, plain, optimizer, decay, k)
    kappa = {m: recorded(name, record, m) for m in Bench(name, k=k).modalities}
    assert min(abs(value - 1) for value in kappa.values()) < 1e-12 or name in ("agm", "mmpareto")
    assert max(abs(value - 1) for value in kappa.values()) > 0.1
    for parameter in scaled:
        owner = re.match(r"model\.(encoders|fusion\.heads)\.(\w+)\.", parameter)
        counts = owner and (owner[1] == "encoders" or name in ("mslr", "joint"))
        counts = counts and (start[parameter].ndim == 4 or "scope" not in options)
        factor = kappa[owner[2]] if owner and counts else 1.0
        torch.testing.assert_close(
            scaled[parameter] - start[parameter],
            factor * (whole[parameter] - start[parameter]),
            rtol=1e-6,
            atol=1e-14,
            msg=lambda text, parameter=parameter: f"{parameter}: {text}",
        )
    for a, b in zip(moments, other, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.allclose(torch.as_tensor(a[n]), torch.as_tensor(b[n])) for n in a)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_ogm_ge_damps_the_first_update_of_plain_adamw_by_kappa(decay: float, k: int) -> None:
    starts, ends = [], []
    for method in (OGMGE(noise=False), None):
        bench = Bench("joint", k=k)
        model, batch = bench.model(), next(bench.rows())
        starts.append({n: p.detach().clone() for n, p in model.encoders.named_parameters()})
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=decay)
        if method is not None:
            method.build(model, Classification(3))
            state = TrainState(model, optimizer, method.task, epochs=10)
            method.epoch_start(state)
            record = method.training_step(state, batch)
        else:
            nn.functional.cross_entropy(model(batch.inputs).logits, batch.target).backward()
            optimizer.step()
        ends.append(dict(model.encoders.named_parameters()))
    kappa = {m: float(record[f"kappa/{m}"]) for m in bench.modalities}
    assert min(kappa.values()) < 0.9
    for name, start in starts[0].items():
        damped, plain = ends[0][name] - start, ends[1][name] - starts[1][name]
        torch.testing.assert_close(damped, kappa[name.split(".")[0]] * plain, rtol=1e-6, atol=1e-15)
