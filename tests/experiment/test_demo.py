"""The demonstration on a short schedule: the rows of its table, its text and its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from g2d.errors import ArgumentError
from g2d.experiment import demonstrate
from g2d.experiment.demo import SETTINGS, demo_recipes, in_words
from g2d.runs import METRICS, Result
from support.written_runs import result_of


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "memorizer", "digits/small")


@pytest.mark.usefixtures("short")
def test_the_demonstration_gives_a_table_a_text_and_figures(tmp_path: Path) -> None:
    text = demonstrate(seeds=1, out=tmp_path, progress=False, say=lambda sentence: None)
    for row in (
        "teachers alone",
        "joint",
        "g2d",
        "g2d-batch",
        "joint-warm",
        "best teacher",
        "teacher ensemble",
        "teacher ensemble, calibrated",
    ):
        assert f"\n{row} " in text
    assert text.count("G²D, ranked by ") == 2
    kept = (tmp_path / "demo.md").read_text()
    assert "| teachers alone " in kept
    assert kept.rsplit("\n\n", 1)[1].strip() in text
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    assert files == {"unimodal.svg", "confidence.svg", "prioritized.svg"}


def written_result(out: Path, name: str, fused: float, image: float, first: str = "") -> Result:
    kappa = {f"kappa/{m}": float(m == first) for m in ("image", "tone")}
    (out / name / "seed-0").mkdir(parents=True)
    epoch = json.dumps({"epoch": 1, "train": kappa})
    (out / name / "seed-0" / METRICS).write_text(epoch + "\n")
    unimodal = {"image": {"accuracy": image}, "tone": {"accuracy": 0.3}}
    return result_of(
        name,
        0,
        fused,
        test={"fused": {"accuracy": fused}, "unimodal": unimodal},
        teachers={"image": {"test": {"accuracy": 0.8}}, "tone": {"test": {"accuracy": 0.31}}},
        controls={"ensemble_calibrated": {"test": {"accuracy": 0.82}}},
    )


def test_the_text_distinguishes_a_right_ranking_from_a_wrong_one(tmp_path: Path) -> None:
    results = [
        written_result(tmp_path, "joint", 0.5, 0.45),
        written_result(tmp_path, "g2d", 0.84, 0.79, first="image"),
        written_result(tmp_path, "g2d-batch", 0.48, 0.44, first="tone"),
    ]
    text = in_words(results, tmp_path)
    for part in (
        "Joint training suppressed image: a teacher trained on it alone reaches 80.0 %, the joint "
        "model's own prediction from it 45.0 %.",
        "ranked by batch, let tone, not the suppressed one, learn first: image reached 44.0 %",
        "ranked by memorization, let image, the suppressed one, learn first: image reached 79.0 %",
    ):
        assert part in text
    assert "(-2.0 points)" in text
    assert "(+34.0 points)" in text
    assert "reaches 82.0 %" in text


def test_the_text_reports_that_nothing_was_suppressed(tmp_path: Path) -> None:
    results = [
        written_result(tmp_path, "joint", 0.83, 0.79),
        written_result(tmp_path, "g2d", 0.83, 0.79, first="image"),
    ]
    assert in_words(results, tmp_path).startswith("No modality was suppressed")


def test_every_setting_has_valid_recipes_and_a_wrong_one_is_corrected() -> None:
    for setting in SETTINGS:
        assert [recipe.name for recipe in demo_recipes(setting)] == [
            "joint",
            "g2d",
            "g2d-batch",
            "joint-warm",
        ]
    with pytest.raises(ArgumentError, match="Did you mean 'memorizer'"):
        demo_recipes("memoriser")
