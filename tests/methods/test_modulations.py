"""Modulations with other methods: whose scores they read, what they scale, and every argument."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import pytest
import torch

from g2d.errors import ArgumentError, UnsupportedError
from g2d.fusion import FiLM
from g2d.method import Method, Modulation
from g2d.methods import Joint
from g2d.methods.ogm_ge import OGMGE
from g2d.model import MultimodalModel
from g2d.modulations import MODULATIONS, SMP, PartialSuppression
from support.workbench import CLASSES, WIDTHS, Bench, equal, run

Scope = Literal["all", "conv_only"]
STRENGTH = 0.7


def trained(
    bench: Bench, kind: type[Method], options: dict[str, Any], optimizer: str = "sgd"
) -> tuple[MultimodalModel, list[dict[str, float]]]:
    """Train a method of the bench's problem for four epochs."""
    model = bench.model()
    method = kind(**options).build(model, bench.task)
    state = bench.state(method, model, optimizer)
    return model, run(bench, method, state, range(1, 5))


def joint_with(
    modulation: Modulation, k: int = 2, optimizer: str = "sgd", **problem: Any
) -> tuple[MultimodalModel, list[dict[str, float]]]:
    bench = Bench("joint", k=k, **problem)
    options = {"modulation": modulation, "teachers": bench.teachers()}
    return trained(bench, Joint, options, optimizer)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("scope", ["all", "conv_only"])
@pytest.mark.parametrize("k", [2, 3])
def test_suppression_by_the_student_is_ogm_bit_for_bit(
    k: int, scope: Scope, optimizer: str
) -> None:
    suppression = PartialSuppression(epochs=3, scores="student", alpha=STRENGTH, scope=scope)
    model, records = joint_with(suppression, k, optimizer, absent=True)
    bench = Bench("ogm_ge", k=k, absent=True)
    ogm = {"alpha": STRENGTH, "noise": False, "window": (1, 3), "scope": scope}
    expected, written = trained(bench, OGMGE, ogm, optimizer)
    assert equal(model, expected)
    for m in bench.modalities:
        kappa = [record[f"kappa/{m}"] for record in records]
        assert kappa == [record[f"kappa/{m}"] for record in written]
    damped = [min(record[f"kappa/{m}"] for m in bench.modalities) for record in records]
    assert min(damped) < 0.9
    assert damped[-1] == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_suppression_by_the_teachers_can_be_limited_to_convolutions(optimizer: str) -> None:
    bench = Bench("joint", absent=True)
    moved: dict[str, dict[str, torch.Tensor]] = {}
    kappa: dict[str, float] = {}
    for name, alpha, scope in (("plain", 0.0, "all"), ("damped", STRENGTH, "conv_only")):
        model = bench.model()
        start = {key: p.detach().clone() for key, p in model.named_parameters()}
        suppression = PartialSuppression(alpha=alpha, scope=scope)  # type: ignore[arg-type]
        method = Joint(modulation=suppression, teachers=bench.teachers()).build(model, bench.task)
        state = bench.state(method, model, optimizer)
        for group in state.optimizer.param_groups:
            group["weight_decay"] = 0.0
        method.epoch_start(state)
        record = method.training_step(state, list(bench.rows())[1])
        kappa = {m: float(record[f"kappa/{m}"]) for m in bench.modalities}
        moved[name] = {key: p.detach() - start[key] for key, p in model.named_parameters()}
    assert kappa["sight"] < 0.9, "the modality with the convolution is the damped one"
    for key, plain in moved["plain"].items():
        factor = kappa["sight"] if plain.ndim == 4 else 1.0
        torch.testing.assert_close(moved["damped"][key], factor * plain)


def test_suppression_by_the_student_can_include_heads() -> None:
    with_heads = PartialSuppression(scores="student", gate_heads=True)
    model, records = joint_with(with_heads)
    plain, _ = joint_with(PartialSuppression(scores="student"))
    assert min(record[f"kappa/{m}"] for record in records for m in model.modalities) < 0.9
    assert not equal(model.fusion, plain.fusion)


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": -0.1},
        {"scope": "conv_only", "gate_heads": True},
        {"scores": "student", "freeze_batchnorm": True},
        {"scope": "conv_only", "freeze_batchnorm": True},
    ],
)
def test_arguments_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=r" must .*, found "):
        PartialSuppression(**options)


def test_heads_that_are_not_separate_cannot_be_suppressed_after_the_backward_pass() -> None:
    bench = Bench("joint")
    dims = {m: WIDTHS[m] for m in bench.modalities}
    encoders = {m: bench.encoder(m, 0) for m in dims}
    model = MultimodalModel(encoders, FiLM(dims, CLASSES))
    suppression = PartialSuppression(scores="student", gate_heads=True)
    method = Joint(modulation=suppression, teachers=bench.teachers())
    with pytest.raises(UnsupportedError, match="gate_heads must have one head per modality"):
        method.build(model, bench.task)


CHANGED: dict[type[Modulation], dict[str, Any]] = {
    SMP: {
        "tau": (1, 0, 3),
        "ranking": "validation",
        "gate_heads": True,
        "freeze_batchnorm": True,
    },
    PartialSuppression: {
        "epochs": 1,
        "scores": "student",
        "alpha": 0.3,
        "scope": "conv_only",
        "modulate": "update",
        "gate_heads": True,
        "freeze_batchnorm": True,
    },
}
"""Per modulation and argument, a value that differs from the default."""

AROUND: dict[tuple[type[Modulation], str], dict[str, Any]] = {
    (PartialSuppression, "freeze_batchnorm"): {"alpha": 100.0},  # for coefficients of 0
    **{(SMP, argument): {"tau": (1, 1, 2)} for argument in CHANGED[SMP]},
}
"""Other options without which an argument has no effect."""

NO_EFFECT = {(SMP, "modulate")}
"""Arguments that all modulations have: the coefficients of SMP are 0 or 1, never fractional."""


def test_every_argument_of_every_modulation_is_listed() -> None:
    given = {(kind, a) for kind in MODULATIONS.values() for a in inspect.signature(kind).parameters}
    assert given == {(kind, a) for kind in CHANGED for a in CHANGED[kind]} | NO_EFFECT


EVERY = [(kind, argument) for kind, changed in CHANGED.items() for argument in changed]


@pytest.mark.parametrize(("kind", "argument"), EVERY)
def test_every_argument_of_a_modulation_changes_the_result(
    kind: type[Modulation], argument: str
) -> None:
    around = AROUND.get((kind, argument), {})
    changed = around | {argument: CHANGED[kind][argument]}
    before, after = (
        joint_with(kind(**options), 3, batchnorm=True)[0] for options in (around, changed)
    )
    assert not equal(before, after), f"{argument} has no effect"
