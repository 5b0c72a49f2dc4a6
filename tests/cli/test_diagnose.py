"""``g2d diagnose`` on problems with a known answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from g2d.cli import app


def command(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def trained(out: Path, recipe: str, *overrides: str) -> Path:
    result = command("train", "digits", f"method={recipe}", *overrides, "--quiet", "--out", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.slow
def test_a_suppressed_modality_is_named(tmp_path: Path) -> None:
    joint = trained(tmp_path / "joint", "joint", "controls=true")
    repaired = trained(tmp_path / "g2d", "g2d", "teachers.ranking_checkpoint=last")
    result = command("diagnose", joint, repaired)
    assert result.exit_code == 0, result.output
    first, second = result.output.split(f"{repaired} ·")
    assert "image is suppressed" in first
    assert "tone dominates" in first
    assert "Try: joint training that starts from the teachers" in first
    assert "image is suppressed" not in second
    kept = json.loads((joint / "analysis.json").read_text())
    assert kept["modalities"]["image"]["state"] == "suppressed"
    assert set(kept["score_of_every_subset"]) == {"none", "image", "tone", "image + tone"}
    assert "image is suppressed" in (joint / "report.html").read_text()


@pytest.mark.slow
def test_a_dead_modality_is_called_dead(tmp_path: Path) -> None:
    result = command(
        "diagnose", trained(tmp_path / "dead", "joint", "controls=true", "data.setting=dead")
    )
    assert "tone holds no information that its teacher could use" in result.output


@pytest.mark.slow
def test_a_balanced_model_is_left_alone(tmp_path: Path) -> None:
    result = command(
        "diagnose",
        trained(tmp_path / "balanced", "joint", "controls=true", "data.setting=balanced"),
    )
    assert "Nothing is wrong" in result.output
    assert "is suppressed" not in result.output


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
    lender = trained(tmp_path / "b" / "umt", "umt", *small, "epochs=1", "teachers.epochs=1")
    result = command("diagnose", alone, "--teachers", lender)
    assert result.exit_code == 0
    assert "there are no teachers" not in result.output
    wrong = command("diagnose", alone, "--split", "best")
    assert wrong.exit_code == 2
    assert "'best' is not one of" in wrong.output
