"""Recipes through the command line, and the files that runs leave."""

from __future__ import annotations

import csv
import functools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import g2d
from g2d.cli import app
from support.earlier import drop_hashes

SMALL = (
    "method.tau=[1,1]",
    "encoders.image={name: cnn, widths: [4, 4], pool: 1}",
    "encoders.tone={name: mlp, widths: [8]}",
    "data.eval_draws=1",
)


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def train(out: Path, *overrides: str, recipe: str = "g2d") -> Result:
    words = ("train", "digits", f"method={recipe}", *SMALL, *overrides, "--quiet", "--out", out)
    return command(*words)


def result_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "result.json").read_text())
    return content


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run and its teachers in a temporary folder."""
    out = tmp_path_factory.mktemp("runs") / "a"
    result = train(out)
    assert result.exit_code == 0, result.output
    return out


def test_a_run_folder_holds_recipe_metrics_result_and_predictions(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} >= {
        "recipe.yaml",
        "metrics.jsonl",
        "result.json",
        "checkpoints",
        "predictions",
    }
    result = result_of(trained)
    assert (
        result["schema"],
        result["complete"],
        result["method"],
        result["epochs"],
        result["teacher_seed"],
    ) == (1, True, "g2d", 2, 0)
    assert set(result["test"]["unimodal"]) == {"image", "tone"}
    assert result["test"]["rows"] == result["test"]["groups"] == 360
    for m, teacher in result["teachers"].items():
        assert set(teacher["confidence"]) == {"train", "valid", "test"}
        assert teacher["confidence_ratio"] == pytest.approx(
            result["test"]["unimodal"][m]["confidence"] / teacher["confidence"]["test"]
        )
    assert set(result["controls"]) == {
        "constant",
        "linear",
        "best_teacher",
        "ensemble",
        "ensemble_calibrated",
    }
    assert [
        json.loads(line)["epoch"] for line in (trained / "metrics.jsonl").read_text().splitlines()
    ] == [1, 2]


def test_the_kept_predictions_give_the_reported_accuracy(trained: Path) -> None:
    with np.load(trained / "predictions" / "test.npz", allow_pickle=False) as kept:
        right = kept["logits"].argmax(1) == kept["target"]
        late, logits = (kept["unimodal/image"] + kept["unimodal/tone"]) / 2, kept["logits"]
        assert len(kept["group"]) == len(kept["index"]) == 360
    assert right.mean() == pytest.approx(result_of(trained)["test"]["fused"]["accuracy"], abs=1e-6)
    np.testing.assert_allclose(late, logits, atol=1e-5)


def test_another_weight_reuses_the_teachers_with_a_message(trained: Path) -> None:
    result = train(trained.with_name("alpha"), "method.alpha=2")
    assert result.exit_code == 0, result.output
    assert result.output.count("reuse") == 2
    assert all(
        teacher["reused"] for teacher in result_of(trained.with_name("alpha"))["teachers"].values()
    )


def test_another_seed_trains_new_teachers_with_a_reason(trained: Path) -> None:
    result = train(trained.with_name("seed"), "seed=1")
    assert result.exit_code == 0, result.output
    assert "the most similar one has seed 0 instead of 1" in result.output
    assert "seed 0" in result.output
    assert not any(
        teacher["reused"] for teacher in result_of(trained.with_name("seed"))["teachers"].values()
    )


def test_another_seed_with_the_teachers_seed_given_reuses_them(trained: Path) -> None:
    result = train(trained.with_name("pinned"), "seed=2", "teachers.seed=0")
    assert result.exit_code == 0, result.output
    pinned = result_of(trained.with_name("pinned"))
    assert all(teacher["reused"] for teacher in pinned["teachers"].values())
    assert (pinned["seed"], pinned["teacher_seed"]) == (2, 0)


def test_another_encoder_width_trains_that_teacher_alone(trained: Path) -> None:
    result = train(trained.with_name("width"), "encoders.tone={name: mlp, widths: [9]}")
    assert result.exit_code == 0, result.output
    assert {
        m: teacher["reused"]
        for m, teacher in result_of(trained.with_name("width"))["teachers"].items()
    } == {"image": True, "tone": False}


def test_other_data_train_other_teachers(trained: Path) -> None:
    result = train(trained.with_name("data"), "data.tone_db=-16.9")
    assert result.exit_code == 0, result.output
    assert not result_of(trained.with_name("data"))["teachers"]["tone"]["reused"]


def test_a_finished_run_is_not_trained_again(trained: Path) -> None:
    before = (trained / "result.json").read_bytes()
    result = train(trained, "train.eval_batch_size=100")
    assert result.exit_code == 0
    assert "is finished" in result.output
    assert (trained / "result.json").read_bytes() == before


def test_another_recipe_in_the_same_folder_exits_2(trained: Path) -> None:
    result = train(trained, "seed=1")
    assert result.exit_code == 2
    assert "seed was 0 and is now 1" in result.output
    assert "Traceback" not in result.output


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    result = train(tmp_path)
    assert result.exit_code == 2
    assert "Choose another --out" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_faults_exit_2_name_everything_and_create_nothing(tmp_path: Path) -> None:
    result = command("train", "digits", "method.aplha=2", "epochs=many", "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert "epochs must be a whole number" in result.output
    assert "Did you mean 'method.alpha'?" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_method_that_is_not_defined_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    result = command("train", "digits", "method=ume", "fusion=concat", "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert "fusion of UME must be late" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("digits/trio", ("method.tau=[1,1,1]", "data.eval_draws=1")),
        ("digits/regression", SMALL),
        ("digits", ("method=ume", *SMALL[1:], "epochs=2")),
        ("digits", ("method=joint-warm", *SMALL[1:], "epochs=1")),
        ("digits", ("method=joint+smp", "method.modulation.tau=[1,1]", *SMALL[1:])),
        ("digits", ("method=g2d_released", *SMALL)),
        ("digits", ("method=umt", *SMALL[1:], "epochs=1", "train.calibrate=true")),
    ],
)
def test_other_recipes_run_by_changing_the_recipe_alone(
    trained: Path, tmp_path: Path, recipe: str, overrides: tuple[str, ...]
) -> None:
    folder = f"teachers.folder={trained.parent / 'teachers'}"
    outcome = command("train", recipe, *overrides, folder, "--quiet", "--out", tmp_path / "x")
    assert outcome.exit_code == 0, outcome.output
    result = result_of(tmp_path / "x")
    assert all(np.isfinite(value) for value in result["test"]["fused"].values())
    assert len(result["modalities"]) == (3 if recipe.endswith("trio") else 2)
    assert result["task"]["kind"] == (
        "regression" if recipe.endswith("regression") else "classification"
    )


def test_evaluating_again_gives_the_same_numbers(trained: Path) -> None:
    result = command("evaluate", trained)
    assert result.exit_code == 0, result.output
    assert f"{100 * result_of(trained)['test']['fused']['accuracy']:.1f}" in result.output


def test_new_rows_are_predicted_with_their_ids(trained: Path, tmp_path: Path) -> None:
    run = g2d.load(trained)
    rows = run.source.rows("test")[:7]
    run.source.write_rows(tmp_path / "rows.npz", rows)
    result = command(
        "predict", trained, "--source", tmp_path / "rows.npz", "--out", tmp_path / "predictions.csv"
    )
    assert result.exit_code == 0, result.output
    with (tmp_path / "predictions.csv").open() as file:
        table = list(csv.DictReader(file))
    with np.load(trained / "predictions" / "test.npz") as file:
        kept = dict(file)
    assert [row["id"] for row in table] == [str(row) for row in rows]
    assert [row["prediction"] for row in table] == [
        run.task.classes[c] for c in kept["logits"][:7].argmax(1)
    ]
    assert [row["tone.prediction"] for row in table] == [
        run.task.classes[c] for c in kept["unimodal/tone"][:7].argmax(1)
    ]
    assert sum(
        float(table[0][f"probability[{name}]"]) for name in run.task.classes
    ) == pytest.approx(1, abs=1e-5)
    assert float(table[0]["image.probability[zero]"]) == pytest.approx(
        torch.tensor(kept["unimodal/image"][0]).softmax(0)[0].item(), abs=1e-5
    )
    in_python = run.predict(tmp_path / "rows.npz")
    assert in_python.values == [row["prediction"] for row in table]
    assert in_python.unimodal["tone"] == [row["tone.prediction"] for row in table]


def test_predicting_without_rows_or_without_a_run_exits_2(trained: Path, tmp_path: Path) -> None:
    assert command("predict", trained, "--source", tmp_path / "nothing.npz").exit_code == 2
    assert command("predict", tmp_path, "--source", tmp_path / "nothing.npz").exit_code == 2


@pytest.mark.slow
def test_an_interrupted_run_exits_130_and_ends_as_an_uninterrupted_one(
    trained: Path, tmp_path: Path
) -> None:
    # Epochs enough for the signal to arrive before the last one on a busy machine.
    teachers = f"teachers.folder={trained.parent / 'teachers'}"
    overrides = (*SMALL[1:], "method.tau=[6,6]", "teachers.epochs=1", teachers, "train.threads=1")
    words = [
        sys.executable,
        "-m",
        "g2d",
        "train",
        "digits",
        *overrides,
        "--quiet",
        "--out",
        str(tmp_path / "x"),
    ]
    # Background processes may ignore this signal, and so do their children: handle it again.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )
    deadline = time.monotonic() + 240
    while (
        not (tmp_path / "x" / "checkpoints" / "last").is_dir()
        and time.monotonic() < deadline
        and process.poll() is None
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert "Interrupted" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "x" / "result.json").exists()
    assert 1 <= len((tmp_path / "x" / "metrics.jsonl").read_text().splitlines()) < 12
    for out in ("x", "whole"):
        result = command("train", "digits", *overrides, "--quiet", "--out", tmp_path / out)
        assert result.exit_code == 0, result.output
    assert result_of(tmp_path / "x")["test"] == result_of(tmp_path / "whole")["test"]


def test_tensorboard_gets_the_numbers_of_every_epoch(tmp_path: Path) -> None:
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    result = command(
        "train",
        "digits/small",
        "method=joint",
        "epochs=2",
        "--out",
        tmp_path / "a",
        "--watch",
        "tensorboard",
        "-q",
    )
    assert result.exit_code == 0, result.output
    events = reading.EventAccumulator(str(tmp_path / "a" / "tensorboard"))
    events.Reload()
    kept = [
        json.loads(line) for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()
    ]
    logged = [event.value for event in events.Scalars("valid/fused/accuracy")]
    assert logged == pytest.approx([record["valid"]["fused"]["accuracy"] for record in kept])


def test_a_watcher_whose_library_is_missing_exits_2_and_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    result = command(
        "train", "digits", "method=joint", "epochs=1", "--out", tmp_path / "a", "--watch", "mlflow"
    )
    assert result.exit_code == 2
    assert "pip install 'g2d[mlflow]'" in result.output
    assert not (tmp_path / "a").exists()


def test_a_finished_run_of_an_earlier_version_is_recognized(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    teachers = f"teachers.folder={trained.parent / 'teachers'}"
    overrides = ("method=g2d-loss", *SMALL[1:], "epochs=1", "teachers.epochs=2", teachers)
    words = ("train", "digits", *overrides, "--quiet", "--out", folder)
    assert command(*words).exit_code == 0
    written = (folder / "recipe.yaml").read_text()
    assert "tau: none" in written
    (folder / "recipe.yaml").write_text(written.replace("tau: none", "tau: null"))
    drop_hashes(folder)
    result = command(*words)
    assert result.exit_code == 0, result.output
    assert "is finished" in result.output
    assert g2d.load(folder).recipe.method.options["tau"] == "none"
