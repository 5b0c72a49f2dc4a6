"""The command line before any work: help, names, and what it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner, Result

from g2d.cli import app

COMMANDS = [
    command.name or command.callback.__name__.rstrip("_")
    for command in app.registered_commands
    if command.callback
]


def g2d(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_help_loads_neither_torch_nor_transformers_nor_matplotlib() -> None:
    code = (
        "import sys\nfrom g2d.cli import app\n"
        "for words in ([], ['train']):\n"
        "    try:\n        app([*words, '--help'])\n    except SystemExit as end:\n        assert end.code == 0\n"
        "print('loaded:', sorted({'torch', 'transformers', 'matplotlib', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = g2d(command, "--help")
    assert result.exit_code == 0
    assert f"Example: g2d {command} " in " ".join(
        result.stdout.split()
    ) or f"Example: g2d {command}" in " ".join(result.stdout.split())


def test_all_the_commands_are_there() -> None:
    assert {"train", "evaluate", "predict", "compare", "list", "doctor", "demo"} <= set(COMMANDS)


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("methods", ["g2d  ", "ume  "]),
        ("fusions", ["late  "]),
        ("modulations", ["smp  "]),
        ("encoders", ["cnn  ", "hf:NAME  "]),
        ("datasets", ["digits  "]),
        ("settings", ["memorizer  "]),
    ],
)
def test_what_a_recipe_can_name_is_listed(what: str, lines: list[str]) -> None:
    result = g2d("list", what)
    assert result.exit_code == 0
    for line in lines:
        assert any(
            row.startswith(line) and len(row.split(maxsplit=1)) == 2
            for row in result.stdout.splitlines()
        ), result.stdout


def test_a_wrong_name_or_option_exits_2() -> None:
    assert g2d("list", "methos").exit_code == 2
    assert g2d("trian").exit_code == 2
    assert g2d("train").exit_code == 2


def test_the_doctor_names_versions_and_the_data_folder() -> None:
    result = g2d("doctor")
    assert result.exit_code == 0
    for name in ("g2d", "python", "torch", "device", "threads", "data"):
        assert any(row.startswith(name) for row in result.stdout.splitlines())
