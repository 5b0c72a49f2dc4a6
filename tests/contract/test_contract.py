"""Properties of every method: finite values, learning, exact resume, any number of modalities."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from g2d.engine import checkpoint
from g2d.errors import UnsupportedError
from g2d.method import Method
from g2d.methods import METHODS
from g2d.model import MultimodalModel
from support.workbench import CLASSES, EPOCHS, Bench, predicted, run, takes, weights

TRAINED = [name for name, kind in METHODS.items() if kind.trains]
DEFINED = {
    name: [kind for kind in ("classification", "regression") if kind in METHODS[name].tasks]
    for name in METHODS
}
PROBLEMS = [(name, kind == "regression") for name, kinds in DEFINED.items() for kind in kinds]

NO_STRENGTH: dict[str, dict[str, Any]] = {
    "joint": {},
    "umt": {"weight": 0.0},
    "g2d": {"alpha": 0.0, "beta": 0.0, "tau": (0, EPOCHS)},
    "g2d_released": {"alpha": 0.0, "beta": 0.0, "tau": (0, EPOCHS), "extra_epoch": False},
    "mses": {"weight": 0.0, "patience": 10**9},
    "mslr": {"coefficients": None},
    "ogm_ge": {"alpha": 0.0, "noise": False},
    "pmr": {"alpha": 0.0, "mu": 0.0},
    "dlmg": {"schedule": "constant", "weights": (0.5, 0.0)},
}
"""Arguments with which a method is joint training, bit for bit."""

NEVER_JOINT = {"mla", "reconboost", "mmpareto", "mis_me", "ume", "agm"}
"""Methods that are never joint training, bit for bit.

MLA has no joint loss, ReconBoost has stages, MMPareto and MIS-ME have their own heads, UME is not
trained, and AGM adds up its logits from shares.
"""

ORDERED = {"mla", "reconboost"}
"""Methods in which modalities take turns, so that their order matters by design."""


def bench_of(name: str, regression: bool = False, **changed: Any) -> Bench:
    """Return a bench on which the method is defined."""
    options = changed.pop("options", {})
    if regression and takes(METHODS[name], "strategy"):
        options = {"strategy": "keep", **options}
    return Bench(name, regression=regression, options=options, **changed)


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float) -> None:
    """Check that two mappings hold the same tensors, up to a tolerance."""
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(
            a[name],
            b[name],
            rtol=tolerance,
            atol=tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def moved(before: nn.Module, after: nn.Module) -> bool:
    return any(
        not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(("name", "regression"), PROBLEMS)
def test_it_trains_any_number_of_modalities_and_stays_finite(
    name: str, regression: bool, k: int, optimizer: str
) -> None:
    bench = bench_of(name, regression, k=k, batchnorm=True)
    model, method, records = bench.train(optimizer=optimizer)
    assert all(
        torch.isfinite(value).all()
        for value in weights(model, method).values()
        if value.is_floating_point()
    )
    assert all(
        value == value and abs(value) < float("inf")
        for record in records
        for value in record.values()
    )
    start = bench.model()
    if METHODS[name].trains:
        assert {
            m: moved(start.encoders[m], model.encoders[m]) for m in bench.modalities
        } == dict.fromkeys(bench.modalities, True)
        assert any(name.startswith("loss/") for name in records[0])
    else:
        assert not records


@pytest.mark.parametrize(("name", "regression"), PROBLEMS)
def test_it_predicts_every_row_fused_and_per_modality(name: str, regression: bool) -> None:
    bench = bench_of(name, regression, k=3, batchnorm=True)
    model, method, _ = bench.train()
    batch = next(bench.rows("valid"))
    output = predicted(method, model, batch)
    shape = (len(batch), 1 if regression else CLASSES)
    assert output.logits.shape == shape
    assert output.unimodal_logits is not None
    assert {m: tuple(z.shape) for m, z in output.unimodal_logits.items()} == dict.fromkeys(
        bench.modalities, shape
    )
    # The prediction of a row does not depend on the other rows.
    alone = predicted(method, model, batch.rows(slice(3, 5)))
    torch.testing.assert_close(alone.logits, output.logits[3:5], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, kinds in DEFINED.items() if len(kinds) < 2])
def test_a_task_it_is_not_defined_for_is_refused(name: str) -> None:
    bench = Bench(name, regression="regression" not in DEFINED[name])
    with pytest.raises(UnsupportedError, match=rf"task of \w+ must be {DEFINED[name][0]}.*, found"):
        bench.method(bench.model())


@pytest.mark.parametrize(("name", "regression"), PROBLEMS)
def test_rows_without_a_modality_are_trained_on_and_predicted(name: str, regression: bool) -> None:
    bench = bench_of(name, regression, k=3, absent=True)
    model, method, records = bench.train()
    assert all(value == value for record in records for value in record.values())
    assert torch.isfinite(predicted(method, model, next(bench.rows("valid"))).logits).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does_bit_for_bit(
    name: str, optimizer: str, tmp_path: Path
) -> None:
    bench = bench_of(name, "classification" not in DEFINED[name], k=2, batchnorm=True)

    def fresh() -> tuple[MultimodalModel, Method, Any]:
        model = bench.model()
        method = bench.method(model)
        return model, method, bench.state(method, model, optimizer)

    model, method, state = fresh()
    torch.manual_seed(5)
    run(bench, method, state, [1])
    checkpoint.save(tmp_path / "last", model, method, state, {})
    run(bench, method, state, [2])
    resumed, again, state = fresh()
    checkpoint.load(tmp_path / "last", resumed, again, state)
    run(bench, again, state, [2])
    close(weights(model, method), weights(resumed, again), 0.0)


@pytest.mark.parametrize("name", TRAINED)
def test_a_loop_of_ones_own_resumes_bit_for_bit_from_state_dicts(name: str) -> None:
    bench = bench_of(name, "classification" not in DEFINED[name], k=2, batchnorm=True)

    def fresh() -> tuple[Any, list[Any]]:
        model = bench.model()
        method = bench.method(model)
        state = bench.state(method, model)
        state.optimizer = torch.optim.AdamW([*model.parameters(), *method.parameters()], lr=0.01)
        return state, [model, method, state, state.optimizer]

    state, parts = fresh()
    run(bench, parts[1], state, [1, 2])
    kept = copy.deepcopy([part.state_dict() for part in parts]), torch.get_rng_state()
    run(bench, parts[1], state, range(state.epoch + 1, 5))
    resumed, others = fresh()
    for part, saved in zip(others, kept[0], strict=True):
        part.load_state_dict(saved)
    torch.set_rng_state(kept[1])
    run(bench, others[1], resumed, range(resumed.epoch + 1, 5))
    close(weights(parts[0], parts[1]), weights(others[0], others[1]), 0.0)
    assert (resumed.epoch, resumed.step, resumed.stop) == (4, state.step, state.stop)
    assert resumed.generator.get_state().equal(state.generator.get_state())


@pytest.mark.parametrize("name", NO_STRENGTH)
def test_without_strength_it_is_joint_training_bit_for_bit(name: str) -> None:
    for batchnorm in (True, False):
        joint = Bench("joint", batchnorm=batchnorm).train()
        other = Bench(name, options=NO_STRENGTH[name], batchnorm=batchnorm).train()
        close(dict(joint[0].state_dict()), dict(other[0].state_dict()), 0.0)


def test_agm_without_strength_is_joint_training_up_to_rounding() -> None:
    joint, other = Bench("joint").train(), Bench("agm", options={"alpha": 0.0}).train()
    close(dict(joint[0].state_dict()), dict(other[0].state_dict()), 1e-5)


def test_every_method_is_compared_with_joint_training_or_listed_as_an_exception() -> None:
    assert NO_STRENGTH.keys() | NEVER_JOINT == METHODS.keys()
    assert not NO_STRENGTH.keys() & NEVER_JOINT


@pytest.mark.parametrize(
    ("name", "regression"),
    [
        (name, regression)
        for name, regression in PROBLEMS
        if name not in ORDERED and METHODS[name].trains
    ],
)
def test_the_order_of_the_modalities_does_not_matter(name: str, regression: bool) -> None:
    changed: dict[str, Any] = {"noise": False} if takes(METHODS[name], "noise") else {}
    if takes(METHODS[name], "approach"):
        # The joint heads of the other approaches depend on the order of the features.
        changed["approach"] = "weighted"
    one, other = (
        bench_of(name, regression, k=3, order=order, options=dict(changed))
        for order in (("sight", "sound", "word"), ("word", "sight", "sound"))
    )
    a, b = one.model(), other.model()
    first, second = one.method(a), other.method(b)
    second.load_state_dict(first.state_dict())
    for bench, method, model in ((one, first, a), (other, second, b)):
        run(bench, method, bench.state(method, model), range(1, EPOCHS + 1))
    close(dict(sorted(a.state_dict().items())), dict(sorted(b.state_dict().items())), 2e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_a_batch_in_parts_is_the_same_update(name: str) -> None:
    """Scores, rankings and directions belong to the whole batch.

    Without BatchNorm, whose statistics belong to the part.
    """
    options: dict[str, Any] = {}
    if takes(METHODS[name], "approach"):
        options["approach"] = "weighted"  # the other two have BatchNorm and dropout
    bench = bench_of(name, "classification" not in DEFINED[name], k=3, absent=True, options=options)
    whole, parts = bench.train(), bench.train(accumulate=5)  # of two and of three rows
    close(weights(*whole[:2]), weights(*parts[:2]), 2e-5)
    for a, b in zip(whole[2], parts[2], strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-5)
