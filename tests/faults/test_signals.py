"""Signals end a command with a checkpoint, an exit code and a sentence, and leave no process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from g2d.cli import app
from g2d.methods import METHODS
from support.outcomes import timeless

SMALL = [
    "digits",
    "data.modalities=[image, tone]",
    "data.eval_draws=1",
    "encoders.image={name: cnn, widths: [4], pool: 1}",
    "encoders.tone={name: mlp}",
    "method={name: umt}",
    "epochs=1",
    "controls=false",
    "--quiet",
]


def words(folder: Path) -> list[str]:
    return ["train", *SMALL, "--out", str(folder / "run")]


def outcome(folder: Path) -> dict[str, Any]:
    """Return everything that a run and its teachers leave, without measured times."""

    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".safetensors":
            files[name] = path.read_bytes()
        elif path.name in ("result.json", "teacher.json"):
            files[name] = timeless(json.loads(path.read_text()))
        elif path.name == "metrics.jsonl":
            files[name] = [timeless(json.loads(line)) for line in path.read_text().splitlines()]
    return files


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    result = CliRunner().invoke(app, words(folder))
    assert result.exit_code == 0, result.output
    return outcome(folder)


SENTENCES = {
    "SIGINT": (130, "Interrupted. Run the same command again to continue."),
    "SIGTERM": (143, "Terminated. Run the same command again to continue."),
    "SIGHUP": (143, "Terminated. Run the same command again to continue."),
}


def test_signals_in_teachers_and_student_end_with_a_sentence_and_lose_nothing(
    whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    moments = {10: "SIGTERM", 34: "SIGINT", 50: "SIGHUP", 80: "SIGTERM"}
    for name in ("joint", "umt"):
        step = METHODS[name].training_step

        def counted(self: Any, state: Any, batch: Any, step: Any = step) -> Any:
            nonlocal steps
            steps += 1
            if steps in moments:
                signal.raise_signal(getattr(signal, moments[steps]))
            return step(self, state, batch)

        monkeypatch.setattr(METHODS[name], "training_step", counted)
    for name in moments.values():
        stopped = CliRunner().invoke(app, words(tmp_path))
        code, sentence = SENTENCES[name]
        assert stopped.exit_code == code, stopped.output
        assert sentence in stopped.output
    done = CliRunner().invoke(app, words(tmp_path))
    assert done.exit_code == 0, done.output
    # Two teachers, the student, and a step whose cost is counted: no update was made twice.
    assert steps == 3 * 34 + 1
    assert outcome(tmp_path) == whole


def test_a_signal_to_all_processes_of_a_run_leaves_none_of_them(
    whole: dict[str, Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "g2d", *words(tmp_path), "train.workers=2"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    metrics = "metrics.jsonl"
    while not list(tmp_path.rglob(metrics)) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors.strip() == "Terminated. Run the same command again to continue."
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    done = CliRunner().invoke(app, words(tmp_path))
    assert done.exit_code == 0, done.output
    assert outcome(tmp_path) == whole
