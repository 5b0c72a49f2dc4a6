"""Callbacks: what they write, and that they change nothing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from g2d.engine.callbacks import (
    Callback,
    Metrics,
    MLflow,
    ProgressLine,
    TensorBoard,
    WeightsAndBiases,
    flat,
)
from g2d.errors import MissingDependencyError

RECORD = {
    "epoch": 1,
    "seconds": 2.0,
    "lr": {"image": 0.1},
    "train": {"loss/task": 0.5},
    "valid": {
        "fused": {"accuracy": 0.75, "loss": 1.0},
        "unimodal": {"image": {"accuracy": 0.25}, "tone": {}},
    },
}


def test_metrics_are_one_json_object_per_epoch_and_lines_of_unfinished_epochs_are_cut_off(
    tmp_path: Path,
) -> None:
    path = tmp_path / "deep" / "metrics.jsonl"
    for done in (0, 1):
        metrics = Metrics(path)
        metrics.on_start(5, done)
        for epoch in (done + 1, done + 2):
            metrics.on_epoch({**RECORD, "epoch": epoch})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[0] == RECORD


def test_a_kill_while_metrics_are_cut_keeps_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(RECORD) + "\n" + json.dumps({**RECORD, "epoch": 2}) + "\n")
    before = path.read_bytes()

    def killed(self: Path, *rest: Any, **options: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        Metrics(path).on_start(5, 1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_progress_shows_the_epoch_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 112.0, 118.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    progress = ProgressLine("student", "accuracy")
    progress.on_start(8, 4)
    progress.on_epoch({**RECORD, "epoch": 6})
    progress.on_epoch({**RECORD, "epoch": 7})
    progress.on_notice("The ranking is in doubt.")
    progress.on_end()
    first, second, notice = capsys.readouterr().err.splitlines()
    assert (
        first == "student  epoch 6/8  validation accuracy: fused 0.750 image 0.250  12 s left"
    )  # 2 epochs took 12 s, 2 are to come
    assert second.endswith("6 s left")
    assert notice == "student  The ranking is in doubt."


def test_a_long_run_prints_a_line_for_every_tenth_of_its_epochs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = ProgressLine("student", "accuracy")
    progress.on_start(95, 0)
    for epoch in range(1, 96):
        progress.on_epoch({**RECORD, "epoch": epoch})
    printed = [
        int(re.search(r"epoch (\d+)/95", line)[1]) for line in capsys.readouterr().err.splitlines()
    ]  # type: ignore[index]
    assert printed == [*range(9, 95, 9), 95]


def test_callbacks_change_nothing(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, plain, _ = toy(dropout=0.3).fit()
    _, watched, _ = toy(dropout=0.3).fit(callbacks=[ProgressLine("x", "accuracy"), Callback()])
    assert "epoch 4/4" in capsys.readouterr().err
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True)
    )


def test_only_numbers_are_flattened_by_path() -> None:
    numbers = flat({**RECORD, "name": "x"})
    assert numbers["valid/unimodal/image/accuracy"] == 0.25
    assert numbers["train/loss/task"] == 0.5
    assert "name" not in numbers


def test_tensorboard_gets_every_scalar(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watcher = TensorBoard(tmp_path)
    watcher.on_start(2, 0)
    watcher.on_epoch(RECORD)
    watcher.on_epoch({**RECORD, "epoch": 2})
    watcher.on_end()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("valid/fused/accuracy")] == [
        (1, 0.75),
        (2, 0.75),
    ]


@pytest.mark.parametrize(
    ("module", "build", "extra"),
    [
        ("tensorboard", lambda: TensorBoard(Path("nowhere")), "tensorboard"),
        ("wandb", lambda: WeightsAndBiases("x"), "wandb"),
        ("mlflow", lambda: MLflow("x"), "mlflow"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, build: Any, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if the module were not installed
    with pytest.raises(
        MissingDependencyError,
        match=rf"logging to .* is not installed: pip install 'g2d\[{extra}\]'\.",
    ):
        build()
