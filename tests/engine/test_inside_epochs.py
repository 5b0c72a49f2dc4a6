"""Checkpoints inside an epoch: their moment never changes the result."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from g2d.engine import checkpoint, stopping
from g2d.engine.callbacks import Callback
from g2d.engine.fit import INSIDE, Fit, fit
from g2d.engine.options import TrainOptions
from g2d.errors import ArgumentError, Terminated
from g2d.method import Method
from g2d.methods import METHODS
from g2d.task import Regression
from support.workbench import arguments

Content = Callable[[Path], dict[str, Any]]
PLAN: dict[str, Any] = {"epochs": 4, "batch_size": 10, "lr": 0.05}
UPDATES = 5
"""Updates per epoch of the toy problem."""
TRAINED = [name for name, kind in METHODS.items() if kind.trains]
RUNS: dict[str, dict[str, Any]] = {
    name: {"method": {"name": name, **arguments(name, 2)}} for name in TRAINED
}
RUNS["mslr"] = {"method": {"name": "mslr", "strategy": "dynamic"}}
RUNS |= {
    f"g2d, ranked by {ranking}": {"method": {"name": "g2d", "tau": (2, 2), "ranking": ranking}}
    for ranking in ("epoch", "dataset", "memorization", "random", ["b", "a"], "epoch-reversed")
}
RUNS["g2d, by lag"] = {"method": {"name": "g2d", "ranking": "lag"}}
RUNS["agm, sampled"] = {"method": {"name": "agm", "permutations": 2}}
RUNS |= {
    "accumulated, clipped, adam, plateau": {
        "method": {"name": "joint"},
        "accumulate": 3,
        "clip": 0.1,
        "optimizer": "adam",
        "schedule": "plateau",
        "patience": 0,
    },
    "float16, calibrated": {"method": {"name": "joint"}, "precision": "float16", "calibrate": True},
    "skipping": {"method": {"name": "joint"}, "on_nonfinite": "skip"},
}


REGRESSION = {
    "task": Regression(3, output="identity"),
    "target": np.random.default_rng(1).standard_normal((89, 3)).astype(np.float32),
}
"""Arguments of the toy problem's source for methods that are not defined for classes."""


def kind_of(name: str) -> type[Method]:
    return METHODS[RUNS[name]["method"]["name"]]


class KilledError(Exception):
    """End of a process without a warning."""


def train(
    problem: Any,
    folder: Path,
    at: dict[int, Callable[[], object]],
    callbacks: Any = (),
    **options: Any,
) -> tuple[Fit, Method]:
    """Train, and act before some updates of this session, counted from 1."""
    plan = {**PLAN, **options}
    model = problem.model()
    method = problem.method(model, **plan.pop("method", {}))
    step, steps = type(method).training_step, 0

    def counted(state: Any, batch: Any) -> Any:
        nonlocal steps
        steps += 1
        at.get(steps, lambda: None)()
        return step(method, state, batch)

    method.training_step = counted
    fitted = fit(
        method, model, problem.source(), TrainOptions(**plan), folder=folder, callbacks=callbacks
    )
    return fitted, method


def kill() -> None:
    raise KilledError


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_stopped_inside_epochs_ends_like_an_uninterrupted_one(
    name: str, toy: Any, content: Content, tmp_path: Path
) -> None:
    changed = {} if "classification" in kind_of(name).tasks else REGRESSION
    problem, options = toy(dropout=0.3, changed=changed), RUNS[name]
    whole, method = train(problem, tmp_path / "whole", {}, **options)
    cut = tmp_path / "cut"
    with pytest.raises(Terminated):  # inside the first epoch
        train(problem, cut, {2: terminate}, **options)
    torch.manual_seed(99)
    with pytest.raises(
        KilledError
    ):  # after a checkpoint behind the fourth update of the second epoch
        train(problem, cut, {8: kill}, checkpoint_updates=4, **options)
    notes = json.loads((cut / "checkpoints" / "last" / "state.json").read_text())
    assert (notes["epoch"], notes[INSIDE]["batches"]) == (2, 4)
    torch.manual_seed(98)
    resumed, again = train(problem, cut, {}, **options)
    assert content(cut) == content(tmp_path / "whole")
    assert (resumed.selected_epoch, resumed.score, resumed.updates, resumed.skipped) == (
        whole.selected_epoch,
        whole.score,
        whole.updates,
        whole.skipped,
    )
    assert (resumed.notices, again.notices) == (whole.notices, method.notices)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_at_any_update_leaves_no_worker_and_changes_nothing(
    workers: int, toy: Any, content: Content, tmp_path: Path
) -> None:
    problem, cut = toy(dropout=0.3), tmp_path / "cut"
    train(problem, tmp_path / "whole", {})
    positions = []
    for update in (1, 4, 5, 7):  # of each session: the ends of an epoch are among them
        with pytest.raises(Terminated):
            train(problem, cut, {update: terminate}, workers=workers)
        assert not multiprocessing.active_children()
        notes = json.loads((cut / "checkpoints" / "last" / "state.json").read_text())
        inside = notes[INSIDE]
        positions.append((notes["epoch"], inside["batches"]))
    assert positions == [(1, 1), (1, 5), (2, 5), (4, 2)]
    train(problem, cut, {}, workers=workers)
    assert content(cut) == content(tmp_path / "whole")


def test_checkpoints_after_every_update_or_every_moment_change_nothing(
    toy: Any, content: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    save = checkpoint.FolderKeeper.save_last

    def counted(keeper: Any, model: Any, method: Any, state: Any, facts: Any) -> None:
        written.append(0 if facts[INSIDE] is None else facts[INSIDE]["batches"])
        save(keeper, model, method, state, facts)

    monkeypatch.setattr(checkpoint.FolderKeeper, "save_last", counted)
    plans = {
        "never": ({"checkpoint_minutes": None}, [0] * 4),
        "seldom": ({"checkpoint_updates": 7}, [0] * 4),
        "by updates": ({"checkpoint_updates": 2}, [2, 4, 0] * 4),
        "by time": ({"checkpoint_minutes": 1e-9}, [1, 2, 3, 4, 5, 0] * 4),
    }
    for name, (options, expected) in plans.items():
        written.clear()
        train(toy(), tmp_path / name, {}, **options)
        assert written == expected
        assert content(tmp_path / name) == content(tmp_path / "never")


def test_ctrl_c_stops_after_the_update_and_a_second_one_at_once(
    toy: Any, content: Content, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    train(toy(), tmp_path / "whole", {})
    with pytest.raises(KeyboardInterrupt):
        train(toy(), tmp_path / "cut", {3: lambda: signal.raise_signal(signal.SIGINT)})
    assert "Press Ctrl-C again to stop at once." in capfd.readouterr().err
    state = tmp_path / "cut" / "checkpoints" / "last" / "state.json"
    first = state.read_text()
    assert json.loads(first)["step"] == 3

    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(toy(), tmp_path / "cut", {2: twice})
    assert state.read_text() == first  # the second Ctrl-C did not wait for a checkpoint
    assert signal.getsignal(signal.SIGINT) is before
    train(toy(), tmp_path / "cut", {})
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


class Signal(Callback):
    """Callback that receives a signal while an epoch ends."""

    def on_epoch(self, record: Any) -> None:
        if record["epoch"] == 2:
            terminate()


def test_a_signal_between_epochs_stops_before_the_next_one(
    toy: Any, content: Content, tmp_path: Path
) -> None:
    train(toy(), tmp_path / "whole", {})
    with pytest.raises(Terminated):
        train(toy(), tmp_path / "cut", {}, [Signal()])
    notes = json.loads((tmp_path / "cut" / "checkpoints" / "last" / "state.json").read_text())
    assert (notes["epoch"], notes[INSIDE]) == (2, None)
    train(toy(), tmp_path / "cut", {})
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_ignored_signals_are_ignored_and_without_a_folder_nothing_is_deferred(
    toy: Any, tmp_path: Path
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        hang_up = {2: lambda: signal.raise_signal(signal.SIGHUP)}
        fitted, _ = train(toy(), tmp_path, hang_up, epochs=1)
        assert fitted.updates == UPDATES
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    with pytest.raises(KeyboardInterrupt):
        toy().fit(callbacks=[Interrupted()])
    assert stopping.Stopping().signal is None


class Interrupted(Callback):
    """Callback that receives Ctrl-C."""

    def on_epoch(self, record: Any) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_as_many_checkpoints_are_kept_as_asked_for_and_a_damaged_one_is_passed_over(
    keep: int, toy: Any, content: Content, tmp_path: Path
) -> None:
    train(toy(), tmp_path / "whole", {})
    places = tmp_path / "cut" / "checkpoints"
    with pytest.raises(KilledError):
        train(toy(), tmp_path / "cut", {9: kill}, checkpoint_updates=1, keep_checkpoints=keep)
    kept = [place for place in places.iterdir() if place.name.startswith("last")]
    assert len(kept) == keep
    steps = {json.loads((place / "state.json").read_text())["step"] for place in kept}
    assert steps == set(range(9 - keep, 9))
    if keep > 1:
        (places / "last" / "model.safetensors").write_bytes(b"damage")
    train(toy(), tmp_path / "cut", {}, keep_checkpoints=keep)
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_the_options_are_checked() -> None:
    wrong = {"checkpoint_minutes": 0.0, "checkpoint_updates": 0, "keep_checkpoints": 0}
    for name, value in wrong.items():
        with pytest.raises(ArgumentError, match=f"{name} must be .*, found {value}"):
            TrainOptions(epochs=1, **{name: value})
