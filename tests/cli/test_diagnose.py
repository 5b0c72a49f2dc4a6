"""``g2d diagnose`` on problems with a known answer."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from g2d.cli import app


def command(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def trained(out: Path, recipe: str, *overrides: str) -> Path:
    result = command("train", "digits", f"method={recipe}", *overrides, "--quiet", "--out", out)
    assert result.exit_code == 0, result.output
    return out


def diagnosed(run: Path) -> tuple[str, dict[str, Any]]:
    """Return what ``g2d diagnose`` prints about a run, and its ``analysis.json``."""
    result = command("diagnose", run)
    assert result.exit_code == 0, result.output
    return result.output, json.loads((run / "analysis.json").read_text())


@pytest.mark.slow
def test_a_suppressed_modality_is_named(tmp_path: Path) -> None:
    # In ten epochs and over seeds 0 to 2, the interval of the gap of the image begins at 11.7 to
    # 20.3 points for joint, and at -3 to 1.4 for g2d; it counts above 5. Both share teachers.
    short = "epochs=10", "data.eval_draws=1"
    joint = trained(tmp_path / "joint", "joint", "controls=true", *short)
    repaired = trained(tmp_path / "g2d", "g2d", "teachers.ranking_checkpoint=last", *short)
    result = command("diagnose", joint, repaired)
    assert result.exit_code == 0, result.output
    first, second = result.output.split(f"{repaired} ·")
    assert "image is suppressed" in first
    assert "tone dominates" in first
    assert "worse than one encoder alone: the teacher of image" in first
    assert "reaches more: teacher ensemble, calibrated" in first
    assert "Try: joint training that starts from the teachers" in first
    assert "Nothing is wrong" not in first
    assert "image is suppressed" not in second
    kept = json.loads((joint / "analysis.json").read_text())
    assert kept["modalities"]["image"]["state"] == "suppressed"
    assert kept["faults"] == ["the fusion is worse than a teacher"]
    assert kept["split"] == "test"
    assert set(kept["score_of_every_subset"]) == {"none", "image", "tone", "image + tone"}
    result_of_run = json.loads((joint / "result.json").read_text())
    fused = result_of_run["test"]["fused"]["accuracy"]
    for name, key in (
        ("teacher ensemble", "ensemble"),
        ("teacher ensemble, calibrated", "ensemble_calibrated"),
    ):
        control = result_of_run["controls"][key]["test"]["accuracy"]
        assert kept["controls_minus_fused"][name][0] == pytest.approx(control - fused)
    page = (joint / "report.html").read_text()
    assert "image is suppressed" in page
    assert "joint leaves image" not in page


@pytest.mark.slow
def test_a_dead_modality_is_left_out_only_where_the_fusion_could_have_used_it(
    tmp_path: Path,
) -> None:
    # Both states are the same over seeds 0 to 3: the teacher of the tone reaches 7 to 9 % at a
    # chance of 10 %, and the interaction share of film stays below 0.10.
    dead = "controls=true", "data.setting=dead", "data.eval_draws=1", "epochs=6"
    output, kept = diagnosed(trained(tmp_path / "late", "joint", *dead))
    assert kept["modalities"]["tone"]["state"] == "cannot tell"
    assert "This model cannot tell whether tone is of use" in output
    assert "eave it out" not in output
    output, kept = diagnosed(trained(tmp_path / "film", "joint", *dead, "fusion=film"))
    assert kept["modalities"]["tone"]["state"] == "without information"
    assert "tone holds no information" in output


@pytest.mark.slow
def test_a_balanced_model_is_left_alone(tmp_path: Path) -> None:
    # In four epochs the tone, and with it the prediction, is right in at least 99 % of the rows.
    balanced = "controls=true", "data.setting=balanced", "data.eval_draws=1", "epochs=4"
    output, kept = diagnosed(trained(tmp_path / "balanced", "joint", *balanced))
    assert "Nothing is wrong" in output
    assert "is suppressed" not in output
    assert "Try:" not in output
    assert "faults" not in kept


def shop(folder: Path) -> Path:
    """Write a table of pictures that show the class and notes that name it in 86 % of the rows.

    A note is learned in a few steps, so that its head is much surer than that of the picture.
    """
    rng = np.random.default_rng(0)
    with (folder / "shop.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["photo", "note", "label", "split"])
        for row in range(420):
            label = int(rng.integers(3))
            pixels = rng.integers(0, 120, (12, 12))
            pixels[4 * label : 4 * label + 4] += 80
            Image.fromarray(pixels.astype("uint8")).save(folder / f"{row}.png")
            named = label if rng.random() < 0.8 else int(rng.integers(3))
            color = ("red", "green", "blue")[named]
            split = "train" if row < 200 else "valid" if row < 260 else "test"
            table.writerow(
                [f"{row}.png", f"{color} {color} {color} lot {row}", "abc"[label], split]
            )
    return folder / "shop.csv"


def test_a_fusion_that_loses_what_a_picture_shows_is_named(tmp_path: Path) -> None:
    source, store, run = shop(tmp_path), tmp_path / "store", tmp_path / "runs" / "joint"
    prepared = command(
        "data",
        "prepare",
        "table",
        "size=16",
        "--source",
        source,
        "--out",
        store,
        "--workers",
        "1",
        "--quiet",
    )
    assert prepared.exit_code == 0, prepared.output
    result = command(
        "train",
        store / "recipe.yaml",
        "method=joint",
        "controls=true",
        "epochs=12",
        "encoders.photo={name: cnn, widths: [8, 8]}",
        "encoders.note={name: transformer, width: 16, heads: 2}",
        "--quiet",
        "--out",
        run,
    )
    assert result.exit_code == 0, result.output
    output, kept = diagnosed(run)
    # The interval of photo minus fused begins at 13 points; it counts above 5.
    assert kept["faults"] == [
        "the fusion loses what an encoder has",
        "one head drowns the others",
    ]
    assert "The fusion loses what an encoder has: from photo alone" in output
    assert "The head of note drowns the others" in output
    assert "Nothing is wrong" not in output
    for advice in ("train.calibrate: true", "method: ume", "photo alone"):
        assert advice in output
    page = (run / "report.html").read_text()
    assert "Controls that need no multimodal training reach more" in page
    assert "The fusion loses what an encoder has" in page


def test_teachers_of_another_run_can_be_used(tmp_path: Path) -> None:
    small = [
        "encoders.image={name: cnn, widths: [4, 4], pool: 1}",
        "encoders.tone={name: mlp, widths: [8]}",
        "data.eval_draws=1",
    ]
    alone = trained(tmp_path / "a" / "joint", "joint", *small, "epochs=1")
    assert (
        "there are no teachers to compare with"
        in command("diagnose", alone, "--split", "valid").output
    )
    assert "Verdict on the rows of valid" in (alone / "report.html").read_text()
    lender = trained(tmp_path / "b" / "umt", "umt", *small, "epochs=1", "teachers.epochs=1")
    result = command("diagnose", alone, "--teachers", lender)
    assert result.exit_code == 0
    assert "there are no teachers" not in result.output
    wrong = command("diagnose", alone, "--split", "best")
    assert wrong.exit_code == 2
    assert "'best' is not one of" in wrong.output
