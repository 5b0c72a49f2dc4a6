"""The loop: what it trains, what it saves, and that resuming changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g2d.engine.callbacks import Callback
from g2d.engine.evaluate import evaluate
from g2d.engine.fit import fit
from g2d.engine.options import TrainOptions
from g2d.engine.setup import check
from g2d.errors import ArgumentError, DataError, RunError, UnsupportedError
from g2d.fusion import CrossAttention
from g2d.model import MultimodalModel

Content = Callable[[Path], dict[str, Any]]


class Interruption(Callback):
    """Callback that acts like Ctrl-C while the record of an epoch is written."""

    def __init__(self, epoch: int) -> None:
        self.epoch, self.ended = epoch, 0

    def on_epoch(self, record: Any) -> None:
        if record["epoch"] == self.epoch:
            raise KeyboardInterrupt

    def on_end(self) -> None:
        self.ended += 1


RUNS: dict[str, dict[str, Any]] = {
    "sgd, step": {"decay_at": (0.5,)},
    "sgd, constant, accumulated and clipped": {
        "schedule": "constant",
        "accumulate": 3,
        "clip": 0.1,
    },
    "adam, cosine after a warm-up": {"optimizer": "adam", "schedule": "cosine", "warmup": 1},
    "adamw, plateau": {
        "optimizer": "adamw",
        "schedule": "plateau",
        "patience": 0,
        "lr": 1e-9,
        "group_lr": {"a": 1e-3},
    },
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16"},
    "selected on the test split": {"select_on": "test"},
    "calibrated": {"calibrate": True},
    "g2d": {"method": {"name": "g2d", "tau": (2, 2)}},
    "g2d, ranked by epoch": {"method": {"name": "g2d", "tau": (2, 2), "ranking": "epoch"}},
    "g2d, ranked by memorization": {
        "method": {"name": "g2d", "tau": (1, 3), "ranking": "memorization"},
        "optimizer": "adamw",
    },
    "g2d, ranked by the lag": {"method": {"name": "g2d", "ranking": "lag"}},
    "g2d, ranked at random": {"method": {"name": "g2d", "tau": (2, 2), "ranking": "random"}},
    "g2d as released": {"method": {"name": "g2d_released", "tau": (2, 2)}},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    name: str, toy: Any, content: Content, tmp_path: Path
) -> None:
    problem = toy(dropout=0.3)
    whole, model, _ = problem.fit(tmp_path / "whole", **RUNS[name])
    interruption = Interruption(3)
    with pytest.raises(KeyboardInterrupt):
        problem.fit(tmp_path / "cut", [interruption], **RUNS[name])
    assert interruption.ended == 1
    assert (
        json.loads((tmp_path / "cut" / "checkpoints" / "last" / "state.json").read_text())["epoch"]
        == 2
    )
    torch.manual_seed(99)  # a resumed run must not depend on the state of the new process
    resumed, again, _ = problem.fit(tmp_path / "cut", **RUNS[name])
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert (resumed.selected_epoch, resumed.score, resumed.epochs_done, resumed.updates) == (
        whole.selected_epoch,
        whole.score,
        4,
        whole.updates,
    )
    assert [record["epoch"] for record in resumed.history] == [3, 4]
    for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_an_interruption_between_two_updates_loses_only_that_epoch(
    toy: Any, content: Content, tmp_path: Path
) -> None:
    problem = toy()
    problem.fit(tmp_path / "whole")
    model = problem.model()
    method = problem.method(model)
    steps = 0

    def interrupted(module: Any, inputs: Any) -> None:
        nonlocal steps
        steps += module.training
        if steps == 2 * 5 + 3:
            raise KeyboardInterrupt

    model.register_forward_pre_hook(interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(
            method,
            model,
            problem.source(),
            TrainOptions(epochs=4, batch_size=10, lr=0.05),
            folder=tmp_path / "cut",
        )
    assert len((tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()) == 2
    problem.fit(tmp_path / "cut")
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_a_finished_run_is_not_trained_again(toy: Any, content: Content, tmp_path: Path) -> None:
    first, model, _ = toy().fit(tmp_path)
    before = content(tmp_path)
    second, again, _ = toy().fit(tmp_path)
    assert content(tmp_path) == before
    assert (second.selected_epoch, second.epochs_done, second.updates, second.history) == (
        first.selected_epoch,
        4,
        first.updates,
        [],
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_a_run_without_a_folder_ends_like_one_with(toy: Any, tmp_path: Path) -> None:
    with_folder, kept, _ = toy().fit(tmp_path)
    without, model, _ = toy().fit()
    assert without.selected_epoch == with_folder.selected_epoch
    assert all(
        torch.equal(a, b)
        for a, b in zip(kept.state_dict().values(), model.state_dict().values(), strict=True)
    )


def test_workers_and_the_evaluations_batch_size_change_nothing(
    toy: Any, content: Content, tmp_path: Path
) -> None:
    toy().fit(tmp_path / "plain")
    toy().fit(tmp_path / "other", workers=1, eval_batch_size=7)
    plain, other = (
        content(tmp_path / name)["checkpoints/last/model.safetensors"]
        for name in ("plain", "other")
    )
    assert plain == other


def test_accumulated_parts_make_the_update_of_the_whole_batch(toy: Any) -> None:
    problem = toy(batchnorm=False)
    for method in ({}, {"name": "g2d", "tau": (1, 1)}):
        _, whole, _ = problem.fit(epochs=2, batch_size=11, method=method)
        _, parts, _ = problem.fit(epochs=2, batch_size=11, accumulate=4, method=method)
        for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_accumulation_leaves_batchnorm_two_rows(toy: Any) -> None:
    outcome, _, _ = toy().fit(epochs=1, batch_size=5, accumulate=5)
    assert outcome.updates == 10


def moved(model: MultimodalModel, start: MultimodalModel) -> dict[str, float]:
    """Return the distance that each parameter group moved."""
    before = {group["name"]: group["params"] for group in start.parameter_groups()}
    return {
        group["name"]: math.sqrt(
            sum(
                (p - q).square().sum().item()
                for p, q in zip(group["params"], before[group["name"]], strict=True)
            )
        )
        for group in model.parameter_groups()
    }


PLAIN = {
    "epochs": 1,
    "batch_size": 48,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
}


def test_the_gradient_is_clipped_as_a_whole(toy: Any) -> None:
    _, model, _ = toy().fit(**PLAIN, lr=1.0, clip=0.01)
    assert math.hypot(*moved(model, toy().model()).values()) == pytest.approx(0.01, rel=1e-3)


def test_every_group_moves_at_its_own_rate(toy: Any) -> None:
    _, base, _ = toy().fit(**PLAIN, lr=0.1)
    fitted, other, _ = toy().fit(**PLAIN, lr=0.1, group_lr={"a": 0.2, "fusion": 0.05})
    assert fitted.history[0]["lr"] == {"a": 0.2, "b": 0.1, "fusion": 0.05}
    plain, rated = moved(base, toy().model()), moved(other, toy().model())
    assert {name: rated[name] / plain[name] for name in plain} == pytest.approx(
        {"a": 2.0, "b": 1.0, "fusion": 0.5}, rel=1e-4
    )


def test_the_rates_of_the_epochs_are_those_of_the_schedule(toy: Any) -> None:
    fitted, _, _ = toy().fit(lr=0.1, warmup=1, schedule="cosine")
    assert [record["lr"]["a"] for record in fitted.history] == pytest.approx(
        [0.05, 0.1, 0.075, 0.025]
    )


@pytest.mark.parametrize(
    ("precision", "kind"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
def test_in_half_precision_the_forward_pass_is_short_and_the_weights_are_not(
    toy: Any, precision: str, kind: torch.dtype
) -> None:
    problem = toy()
    model = problem.model()
    seen = set()
    model.encoders["a"][0].register_forward_hook(
        lambda module, inputs, output: seen.add((module.training, output.dtype))
    )
    outcome = fit(
        problem.method(model),
        model,
        problem.source(),
        TrainOptions(epochs=4, batch_size=10, lr=0.05, precision=precision),
    )
    full, _, _ = problem.fit()
    assert seen == {(True, kind), (False, torch.float32)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    losses = [
        [record["train"]["loss/task"] for record in fitted.history] for fitted in (outcome, full)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


def test_the_best_epoch_is_selected_and_a_later_one_wins_ties(toy: Any) -> None:
    fitted, model, method = toy().fit(epochs=8, lr=0.3)
    scores = [record["valid"]["fused"]["accuracy"] for record in fitted.history]
    assert fitted.score == max(scores)
    assert fitted.selected_epoch == max(
        i + 1 for i, score in enumerate(scores) if score == max(scores)
    )
    assert evaluate(method, model, toy().source(), "valid").score == fitted.score
    unchanged, _, _ = toy(batchnorm=False).fit(lr=1e-30)
    assert unchanged.selected_epoch == 4


def test_selection_on_the_test_split_reads_that_split(toy: Any) -> None:
    source = toy().source()
    wrong = source.target.copy()
    rows = source.rows("test")
    wrong[rows] = (wrong[rows] + 1) % 3  # training makes the predictions of these rows worse
    problem = toy(changed={"target": wrong}, batchnorm=False)
    chosen = {on: problem.fit(select_on=on, lr=0.1, epochs=6)[0] for on in ("validation", "test")}
    assert chosen["test"].selected_epoch < chosen["validation"].selected_epoch
    assert chosen["test"].history[0]["valid"] == chosen["validation"].history[0]["valid"]


def test_an_epochs_record_is_the_mean_over_its_updates(toy: Any) -> None:
    fitted, _, _ = toy().fit(epochs=2, method={"name": "g2d", "tau": (1, 1)})
    first, second = (record["train"] for record in fitted.history)
    assert first["kappa/a"] + first["kappa/b"] == 1
    assert second["kappa/a"] == second["kappa/b"] == 1
    assert {
        "loss/task",
        "loss/feature/a",
        "loss/logit/a",
        "confidence/a",
        "confidence_validation/b",
        "ranking/flip_rate",
        "ranking/margin",
    } <= set(first)
    assert set(fitted.history[0]) == {"epoch", "seconds", "lr", "train", "valid"}


def test_a_loss_that_is_not_finite_ends_the_run_with_a_clear_message(
    toy: Any, tmp_path: Path
) -> None:
    with pytest.raises(
        RunError,
        match=r"the (loss|gradient|weights) must stay finite, found .* epoch \d+.*A smaller lr",
    ):
        toy(batchnorm=False).fit(tmp_path, lr=1e25)


def test_a_callback_may_ask_to_stop(toy: Any) -> None:
    class Enough(Callback):
        def on_epoch(self, record: Any) -> bool:
            return bool(record["epoch"] == 2)

    fitted, _, _ = toy().fit(callbacks=[Enough()])
    assert (fitted.epochs_done, len(fitted.history)) == (2, 2)


def test_a_method_that_has_nothing_left_to_train_stops_and_stays_stopped(
    toy: Any, tmp_path: Path
) -> None:
    problem = toy()

    def run() -> Any:
        model = problem.model()
        method = problem.method(model)
        plain = method.epoch_end

        def stopping(state: Any, validation: Any) -> dict[str, float]:
            state.stop = state.epoch == 2
            return plain(state, validation)

        method.epoch_end = stopping  # type: ignore[method-assign]
        return fit(
            method, model, problem.source(), TrainOptions(epochs=4, batch_size=10), folder=tmp_path
        )

    assert run().epochs_done == 2
    resumed = run()
    assert (resumed.epochs_done, resumed.history) == (2, [])


def test_notices_reach_the_callbacks_once_and_survive_resuming(toy: Any, tmp_path: Path) -> None:
    received: list[str] = []

    class Listener(Callback):
        def on_notice(self, sentence: str) -> None:
            received.append(sentence)

    doubtful = {"name": "g2d", "tau": (2, 2), "ranking": "batch"}
    fitted, _, _ = toy().fit(tmp_path, [Listener()], method=doubtful)
    assert received
    assert received == fitted.notices
    assert len(set(received)) == len(received)
    assert toy().fit(tmp_path, method=doubtful)[0].notices == received


def test_a_method_without_training_has_no_epochs_but_a_checkpoint(toy: Any, tmp_path: Path) -> None:
    problem = toy()
    fitted, _, _ = problem.fit(tmp_path, epochs=3, method={"name": "ume"})
    assert (fitted.epochs_done, fitted.updates, fitted.history) == (0, 0, [])
    assert (tmp_path / "checkpoints" / "best" / "model.safetensors").is_file()


def test_calibration_changes_the_head_weights_and_lowers_the_validation_loss(toy: Any) -> None:
    problem = toy()
    _, model, method = problem.fit(calibrate=True)
    weights = method.head_weights.clone()
    assert not torch.equal(weights, torch.ones(2))
    calibrated = evaluate(method, model, problem.source(), "valid").loss
    method.head_weights.fill_(1)
    assert calibrated < evaluate(method, model, problem.source(), "valid").loss


def test_what_cannot_be_trained_is_refused_before_the_first_step(toy: Any) -> None:
    def refusal(
        problem: Any,
        kind: type[Exception],
        sentence: str,
        model: MultimodalModel | None = None,
        **options: Any,
    ) -> None:
        built = model or problem.model()
        with pytest.raises(kind, match=sentence):
            check(
                problem.method(built),
                built,
                problem.source(),
                TrainOptions(**({"epochs": 1} | options)),
            )

    refusal(
        toy(),
        ArgumentError,
        r"group_lr must name parameter groups \(a, b, fusion\), found 'c'",
        group_lr={"c": 1.0},
    )
    refusal(
        toy(),
        ArgumentError,
        "batch_size must leave every process two rows or more where .* BatchNorm, found 1",
        batch_size=1,
    )
    refusal(
        toy(),
        ArgumentError,
        "device must exist on this machine, found 'cuda:77', which does not",
        device="cuda:77",
    )
    for number, split in enumerate(("train", "valid", "test")):
        without = np.repeat(np.array([0, 1, 2], np.int8), (48, 20, 21))
        without[without == number] = -1
        refusal(
            toy(changed={"split": without}),
            DataError,
            f"the {split} split of toy must have at least 1 rows, found 0",
            select_on="test",
        )
    dims = {"a": 5, "b": 5}
    model = MultimodalModel({m: toy().encoder(m) for m in dims}, CrossAttention(dims, 3))
    refusal(
        toy(),
        UnsupportedError,
        r"calibrate must have an additive fusion .*, found Joint with CrossAttention",
        model,
        calibrate=True,
    )
    plain = toy(batchnorm=False)
    check(
        plain.method(plain.model()),
        plain.model(),
        plain.source(),
        TrainOptions(epochs=1, batch_size=1),
    )


def test_a_single_last_training_row_joins_the_batch_before(toy: Any) -> None:
    fitted, _, _ = toy().fit(
        epochs=1, batch_size=47
    )  # 48 rows: the last batch would hold one, which BatchNorm refuses
    assert fitted.updates == 1
