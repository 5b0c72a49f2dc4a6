"""The demonstration on a short schedule: the rows of its table, its text and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from g2d.errors import ArgumentError
from g2d.experiment import demonstrate
from g2d.experiment.demo import SETTINGS, demo_recipes
from g2d.experiment.demo_words import DemoFacts, Ranked, in_words
from g2d.runs import FitFacts


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "memorizer", "digits/small")


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_the_demonstration_gives_a_table_a_text_and_figures(tmp_path: Path) -> None:
    text = demonstrate(
        seeds=1, budget="fast", out=tmp_path, progress=False, say=lambda sentence: None
    )
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
    assert "\n\n".join(kept.rsplit("\n\n", 2)[1:]).strip() in text
    assert "\n\ng2d fit, seed 0: " in text
    assert (tmp_path / "fit" / "report.html").is_file()
    assert not (tmp_path / "fit" / "members" / "teachers").exists()  # those of the runs are used
    files = {path.name for path in (tmp_path / "figures").iterdir()}
    assert files == {"unimodal.svg", "confidence.svg", "prioritized.svg"}


def fit_facts(interaction: str, metric: str = "accuracy") -> FitFacts:
    member = {"name": "joint", "about": "the joint model (film fusion)"}
    option = {"members": ["joint"], "passes": 1, "parameters": 9, "score": 0.9, "loss": 0.3}
    return FitFacts.model_validate(
        {
            "paragraph": "The joint model was chosen.",
            "budget": "normal",
            "passes": 4,
            "metric": metric,
            "modalities": ["left", "right"],
            "rows": 100,
            "members": [member],
            "options": [option | {"test": {metric: 0.951}}],
            "chosen": 0,
            "reference": 0,
            "ensemble": 0,
            "teachers": {},
            "interaction": {"state": interaction, "share": [0.4, 0.3, 0.5]},
        }
    )


def facts(**changed: Any) -> DemoFacts:
    """Return results in which G²D by the default ranking repairs the left modality."""
    usual: dict[str, Any] = {
        "joint": 50.0,
        "inside": {"left": 45.0, "right": 30.0},
        "teachers": {"left": 80.0, "right": 31.0},
        "controls": {"constant": 10.0, "linear": 20.0, "best_teacher": 80.0,
                     "ensemble_calibrated": 82.0},
        "students": (
            Ranked("lag", 84.0, {"left": 79.0, "right": 30.0}, "left"),
            Ranked("batch", 48.0, {"left": 44.0, "right": 30.0}, "right"),
        ),
    }  # fmt: skip
    return DemoFacts(**{**usual, **changed})


def mirrored(one: DemoFacts) -> DemoFacts:
    """Return the same results with the names of the modalities exchanged."""
    other = {"left": "right", "right": "left"}

    def renamed(values: Mapping[str, float]) -> dict[str, float]:
        return {other[m]: value for m, value in values.items()}

    students = tuple(
        Ranked(s.ranking, s.fused, renamed(s.unimodal), s.first and other[s.first])
        for s in one.students
    )
    return replace(
        one, inside=renamed(one.inside), teachers=renamed(one.teachers), students=students
    )


CASES = {
    "helps": facts(),
    "no suppression": facts(
        joint=82.0,
        inside={"left": 79.0, "right": 30.0},
        students=(Ranked("lag", 83.0, {"left": 80.0, "right": 30.0}, "left"),),
        controls={"constant": 10.0, "linear": 20.0, "best_teacher": 80.0,
                  "ensemble_calibrated": 87.0},
    ),
    "wrong ranking": facts(
        students=(Ranked("lag", 48.0, {"left": 44.0, "right": 30.0}, "right"),)
    ),
    "no turn": facts(students=(Ranked("lag", 48.0, {"left": 44.0, "right": 30.0}, None),)),
    "interaction": facts(fit=fit_facts("found")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_renamed_results_give_the_same_sentences(case: str) -> None:
    text, renamed = in_words(CASES[case]), in_words(mirrored(CASES[case]))
    assert text != renamed
    swapped = renamed.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
    assert swapped == text


def test_the_text_says_whether_it_helps_and_why_not() -> None:
    texts = {case: in_words(one) for case, one in CASES.items()}
    for part in (
        "Joint training suppressed left: a teacher trained on it alone reaches 80.0 %, the joint "
        "model's own prediction from it 45.0 %.",
        "ranked by lag, let left, the suppressed one, learn alone first: left reached 79.0 %",
        "(+34.0 points)",
        "ranked by batch, let right, not the suppressed one, learn alone first: left reached 44.0",
        "(-2.0 points)",
        "G²D helps against joint training (+34.0 points): left is no longer suppressed.",
        "linear model on pooled inputs 20.0 %, best teacher 80.0 %",
    ):
        assert part in texts["helps"]
    assert texts["no suppression"].startswith("No modality was suppressed")
    assert (
        "not help here (+1.0 points against joint training): no modality is suppressed"
        in texts["no suppression"]
    )
    assert "without further training" in texts["no suppression"]
    assert (
        "ensemble of the teachers, which needs no further training, is 4.0 points better"
        in (texts["no suppression"])
    )
    wrong = texts["wrong ranking"]
    assert "it let right learn alone first, although left is the suppressed one" in wrong
    assert "it let no modality learn alone first, although left" in texts["no turn"]
    assert "ranked by lag, let no modality learn alone: left reached 44.0 %" in texts["no turn"]
    assert "the answer is in the interaction of the modalities" in texts["interaction"]
    assert "while together they reach 95.1 %" in texts["interaction"]
    assert texts["interaction"].endswith("g2d fit, seed 0: The joint model was chosen.")


def test_swapped_numbers_give_the_opposite_sentences() -> None:
    one, two = CASES["helps"].students
    swapped = facts(students=(replace(two, ranking=one.ranking), replace(one, ranking=two.ranking)))
    text = in_words(swapped)
    assert "ranked by batch, let left, the suppressed one, learn alone first" in text
    assert "G²D does not help here (-2.0 points against joint training)" in text
    repaired, (ensemble, alone) = facts(), (facts().controls["ensemble_calibrated"], 79.0)
    for points, left, sentence in (
        (ensemble - 84.0, alone, "(+34.0 points): left is no longer suppressed. Controls"),
        (
            4.2,
            alone,
            "left is no longer suppressed. But the calibrated ensemble of the teachers, "
            "which needs no further training, is 4.2 points better.",
        ),
        (4.2, 74.0, "(+34.0 points): left is less suppressed. But"),
    ):
        controls = {**repaired.controls, "ensemble_calibrated": 84.0 + points}
        own = replace(one, unimodal={"left": left, "right": 30.0})
        assert sentence in in_words(facts(students=(own, two), controls=controls))
    silent = in_words(facts(fit=fit_facts("not found")))
    assert "G²D helps against joint training" in silent
    assert "the interaction of the modalities" not in silent


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
