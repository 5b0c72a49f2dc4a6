"""Comparisons: each shows its controls and has a baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from g2d.cli import app
from g2d.errors import ArgumentError, RecipeError
from g2d.experiment.comparing import compare, controlled, trained_controls
from g2d.recipe import Recipe

from .conftest import SMALL


def recipe(name: str, *overrides: str) -> Recipe:
    return Recipe.load("digits", [f"method={name}", *overrides])


def test_one_recipe_per_problem_gets_the_controls() -> None:
    given = [
        recipe("joint"),
        recipe("umt"),
        recipe("mslr", "data.setting=mild"),
        Recipe.load("digits/trio", ["method=joint"]),
    ]
    assert [one.controls for one in controlled(given)] == [False, True, True, True]
    assert [one.controls for one in controlled([recipe("joint"), recipe("g2d")])] == [False, True]
    cheap = trained_controls(controlled(given))
    assert [one.name for one in cheap] == ["joint-warm", "joint-warm-2", "joint-warm-3"]


def test_full_controls_are_joint_training_of_equal_passes_and_with_another_fusion() -> None:
    given = [recipe("g2d", "controls=true", "epochs=6"), recipe("joint", "epochs=6")]
    full = {one.name: one for one in trained_controls(given, full=True)}
    assert {
        name: (one.train.epochs, one.fusion.name, one.warm_start, one.students)
        for name, one in full.items()
    } == {
        "joint-warm": (6, "late", True, 1),
        "joint-2x": (12, "late", False, 1),
        "joint-pair": (6, "late", False, 2),
        "joint-film": (6, "film", False, 1),
    }
    assert {(one.method.name, one.controls) for one in full.values()} == {("joint", False)}
    together = recipe("g2d", "controls=true", "fusion=mlp")
    assert [one.name for one in trained_controls([together], full=True)] == [
        "joint-warm",
        "joint-2x",
        "joint-pair",
    ]
    with pytest.raises(ArgumentError, match="controls must be one of none, cheap, full, found"):
        compare([recipe("joint")], controls="ful")  # type: ignore[arg-type]


def test_every_comparison_has_controls_unless_they_are_switched_off(tmp_path: Path) -> None:
    short = [*SMALL, "epochs=1", "teachers.epochs=1", "--quiet"]
    words = ["compare", "digits", "--methods", "joint,ogm_ge", "--seeds", "1", "--out"]
    complete = CliRunner().invoke(app, [*words, str(tmp_path / "a"), *short])
    assert complete.exit_code == 0, complete.output
    for row in (
        "majority or mean",
        "linear model on pooled inputs",
        "teachers alone",
        "best teacher",
        "teacher ensemble, calibrated",
        "joint-warm",
    ):
        assert row in complete.output
    bare = CliRunner().invoke(app, [*words, str(tmp_path / "b"), "--no-controls", *short])
    assert bare.exit_code == 0, bare.output
    assert "teacher ensemble" not in bare.output
    assert {path.name for path in (tmp_path / "b").iterdir()} >= {
        "compare.md",
        "compare.csv",
        "compare.tex",
        "compare.json",
        "report.html",
    }
    plain = json.loads((tmp_path / "b" / "compare.json").read_text())
    assert [row["name"] for row in plain["tables"][0]["rows"]] == ["joint", "ogm_ge"]


def test_a_baseline_that_is_not_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="baseline must be one of digits-joint"):
        compare([recipe("joint", *SMALL, "epochs=1")], out=tmp_path / "x", baseline="umt")
    assert not (tmp_path / "x").exists()
    with pytest.raises(
        RecipeError, match="the names of recipes must differ, found 'digits-joint' twice"
    ):
        compare([recipe("joint"), recipe("joint", "seed=1")], out=tmp_path / "x")
