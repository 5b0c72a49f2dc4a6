"""Warnings before training and after evaluation, on real digits that were spoiled in known ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.data import Source
from g2d.experiment import guards
from g2d.experiment.console import Console
from g2d.experiment.diagnosing import diagnose_run
from g2d.experiment.run import run
from g2d.experiment.student import Student
from g2d.experiment.teachers import teacher_sets
from g2d.recipe import Recipe
from g2d.runs import PAGE, read_analysis
from g2d.runs.analysis import InteractionShare

EASY = {"data.image": "pca", "data.components": 20, "data.tone_db": 5.0, "epochs": 3}
"""Changes of the small recipe with which both modalities are learned in seconds."""


def silent(_sentence: str) -> None:
    """Print nothing."""


def before(out: Path, spoil: Callable[[Source], None] | None = None, **changes: Any) -> list[str]:
    """Return the warnings of a run before its training, on spoiled data."""
    recipe = Recipe.load("digits/small").changed({**EASY, "controls": False, **changes})
    source = recipe.build_source()
    if spoil is not None:
        spoil(source)
    student = Student.build(recipe, source)
    sets = teacher_sets(student, out, Console(silent, False, ()))
    return guards.before_training(student, sets, out)


def mentions(notices: list[str], *parts: str) -> bool:
    """Return whether one warning has all parts."""
    return any(all(part in notice for part in parts) for notice in notices)


CHANCE = "The teacher of tone is not above chance"


@pytest.mark.parametrize("target", ["digit", "value"])
def test_a_teacher_without_information_is_not_above_chance(target: str, tmp_path: Path) -> None:
    changes = {"data.target": target, "train.lr": 0.05}
    assert not mentions(before(tmp_path / "a" / "run", **changes), "not above chance")
    notices = before(tmp_path / "b" / "run", **changes, **{"data.tone_db": -100.0})
    reason = "chance is 10." if target == "digit" else "its R² on the validation rows is -0."
    assert mentions(notices, CHANCE, reason)
    assert not mentions(notices, "The teacher of image is not above chance")


def test_methods_without_teachers_get_no_warning_about_them(tmp_path: Path) -> None:
    assert before(tmp_path / "run", method="joint", **{"data.tone_db": -100.0}) == []


def keep_few_validation_rows(source: Source) -> None:
    """Keep 30 validation rows."""
    valid = source.rows("valid")[30:]
    source.split[valid] = 2


def test_a_ranking_that_too_few_rows_decide_names_how_many_are_needed(tmp_path: Path) -> None:
    alike = {"data.tone_db": -3.0, "data.components": 8, "train.lr": 0.05}

    def notices(ranking: Any) -> list[str]:
        changes = {**alike, "method.ranking": ranking}
        return before(tmp_path / "few" / "run", keep_few_validation_rows, **changes)

    for ranking, doubt in {"memorization": ": they differ by", "lag": ": the score of its"}.items():
        few = "with 30 independent validation rows"
        assert mentions(notices(ranking), f"is not certain{doubt}", few, "would be enough")
    for other in ("batch", "random", ["image", "tone"]):
        assert not mentions(notices(other), "is not certain")


def test_a_clear_ranking_causes_no_warning(tmp_path: Path) -> None:
    changes = {"data.tone_db": -100.0, "train.lr": 0.05, "epochs": 8}
    for ranking in ("memorization", "lag"):
        notices = before(tmp_path / "run", **changes, **{"method.ranking": ranking})
        assert not mentions(notices, "is not certain")


def mislabel_training_rows(source: Source) -> None:
    """Give half of the training rows a random target."""
    train, rng = source.rows("train"), np.random.default_rng(0)
    wrong = train[rng.random(len(train)) < 0.5]
    source.target[wrong] = rng.integers(0, 10, len(wrong))


def test_a_teacher_that_is_more_confident_on_validation_rows_is_named(tmp_path: Path) -> None:
    changes = {"train.lr": 0.05, "epochs": 4}
    notices = before(tmp_path / "wrong" / "run", mislabel_training_rows, **changes)
    assert mentions(notices, "is more confident in the true target on validation rows")
    assert not mentions(before(tmp_path / "right" / "run", **changes), "is more confident in")


def test_an_interaction_that_an_earlier_joint_run_found_is_named(tmp_path: Path) -> None:
    changes = {**EASY, "fusion": "film", "controls": False, "epochs": 1}
    joint = Recipe.load("digits/small").changed({**changes, "method": "joint"})
    folder = tmp_path / "joint"
    run(joint, folder, progress=False, say=silent)
    diagnose_run(folder)
    analysis = read_analysis(folder)
    assert analysis is not None
    assert analysis.interaction is not None
    assert analysis.interaction.state == "not found"
    out = tmp_path / "g2d"
    assert not mentions(before(out, fusion="film", method="umt"), "is in the interaction")
    measured = InteractionShare(share=(0.34, 0.3, 0.4), state="found")
    analysis.model_copy(update={"interaction": measured}).write(folder)
    named = ("interaction of the modalities: 34.0 % [30.0 %, 40.0 %]", str(folder))
    assert mentions(before(out, fusion="film", method="umt"), *named)
    assert not mentions(before(out, method="umt"), "is in the interaction")
    other = {"fusion": "film", "method": "umt", "data.tone_db": 4.0}
    assert not mentions(before(out, **other), "is in the interaction")


def test_features_that_know_the_validation_rows_are_a_warning_after_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation rows are copies of training rows, as where features were learned on both."""
    build = Recipe.build_source

    def leaked(self: Recipe) -> Source:
        source = build(self)
        valid = source.rows("valid")
        train = source.rows("train")[: len(valid)]
        source.arrays["tone"][valid] = source.arrays["tone"][train]
        source.target[valid] = source.target[train]
        return source

    changes = {"data.modalities": ["tone"], "encoders.image": None, "method": "joint"}
    changes |= {"epochs": 6, "encoders.tone.widths": [64], "train.lr": 0.05, "controls": False}
    recipe = Recipe.load("digits/small").changed(changes)
    honest = run(recipe, tmp_path / "honest", progress=False, say=silent)
    assert not mentions(honest.notices, "far better on validation")
    monkeypatch.setattr(Recipe, "build_source", leaked)
    result = run(recipe, tmp_path / "leaked", progress=False, say=silent)
    assert mentions(result.notices, "The model is far better on validation than on test rows")
    assert mentions(result.notices, "own prediction from tone is far better")
    page = (tmp_path / "leaked" / PAGE).read_text(encoding="utf-8")
    assert "far better on validation than on test rows" in page
