"""The command line before any work: help, names, completion, and what it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import g2d
from g2d.cli import app
from g2d.cli.options import load_recipes
from g2d.files import EXTRAS
from g2d.recipe import Recipe
from g2d.recipe.packaged import recipe_names

COMMANDS = [
    command.name or command.callback.__name__.rstrip("_")
    for command in app.registered_commands
    if command.callback
]
LARGE = {"torch", "transformers", "matplotlib", "sklearn", "numpy", "scipy", "yaml"}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def run_main(*arguments: str, **environment: str) -> list[str]:
    """Run the command line in a new process; return its output and the large libraries it loads."""
    code = (
        "import sys\nfrom g2d.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('loaded:', sorted(sys.modules.keys() & {sorted(LARGE)!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    ).stdout.splitlines()


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_and_version_load_no_large_library(arguments: list[str]) -> None:
    assert run_main(*arguments)[-1] == "loaded: []"


@pytest.mark.parametrize(
    ("words", "suggestions"),
    [
        ("g2d tr", {"train"}),
        ("g2d train crema", {"crema_d", "crema_d/small"}),
        ("g2d compare digits digits/mi", {"digits/mild", "digits/mix"}),
        ("g2d list fu", {"fusions"}),
    ],
)
def test_completing_a_word_loads_no_large_library(words: str, suggestions: set[str]) -> None:
    count = str(len(words.split()) - 1)
    lines = run_main(_G2D_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count)
    assert set(lines[:-1]) == suggestions
    assert lines[-1] == "loaded: []"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"Example: g2d {command}" in " ".join(result.stdout.split())


def test_the_commands_are_these() -> None:
    assert set(COMMANDS) == {
        "train",
        "evaluate",
        "predict",
        "export",
        "fit",
        "compare",
        "teachers",
        "diagnose",
        "report",
        "reproduce",
        "tune",
        "list",
        "schema",
        "doctor",
        "demo",
    }


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("methods", ["g2d", "ume", "joint+smp"]),
        ("fusions", ["late"]),
        ("modulations", ["smp"]),
        ("encoders", ["cnn", "hf:NAME"]),
        ("datasets", ["digits"]),
        ("settings", ["memorizer"]),
        ("recipes", recipe_names()),
    ],
)
def test_names_are_listed_with_a_description_in_80_columns(kind: str, names: list[str]) -> None:
    result = call("list", kind)
    assert result.exit_code == 0
    rows = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert set(names) <= {row[0] for row in rows if len(row) == 2}
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["list", "methos"], ["trian"], ["train"]])
def test_a_wrong_name_or_option_exits_2(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Value error" not in result.output


def test_a_method_that_does_not_exist_exits_2_and_the_nearest_is_suggested() -> None:
    result = call("train", "digits", "method=gd2")
    assert result.exit_code == 2
    assert "found 'gd2'. Did you mean 'g2d'?" in result.output
    result = call("compare", "digits", "--methods", "joint,joint+spm")
    assert result.exit_code == 2
    assert "Did you mean 'joint+smp'?" in result.output
    result = call("compare", "seed=1")
    assert result.exit_code == 2
    assert "at least one RECIPE must be given, found only overrides." in result.output


def test_the_doctor_shows_versions_the_data_folder_and_every_extra() -> None:
    result = call("doctor")
    assert result.exit_code == 0
    for name in ("g2d", "python", "torch", "device", "threads", "data"):
        assert any(row.startswith(f"{name} ") for row in result.stdout.splitlines())
    for extra in EXTRAS:
        assert f"extra {extra} " in result.stdout


def test_the_version_and_the_schema_are_printed() -> None:
    assert call("--version").stdout.strip() == g2d.__version__
    assert json.loads(call("schema").stdout)["properties"]["seed"]["type"] == "integer"


def test_methods_run_on_every_recipe_under_names_that_differ(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(Recipe.load("digits", ["name=mine", "method=joint"]).to_yaml())
    words = ["digits", "seed=3", "digits/small", str(file)]
    recipes = load_recipes(words, "joint, g2d,joint+smp")
    assert [recipe.name for recipe in recipes] == [
        "digits-joint",
        "digits-g2d",
        "digits-joint+smp",
        "digits-small-joint",
        "digits-small-g2d",
        "digits-small-joint+smp",
        "mine",
        "mine-g2d",
        "mine-joint+smp",
    ]
    assert {recipe.train.seed for recipe in recipes} == {3}
    assert [recipe.name for recipe in load_recipes(["digits", "soil"])] == [
        "digits-g2d",
        "soil-mis_me",
    ]
