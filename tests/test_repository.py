"""What the repository promises to a stranger."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from g2d.methods import METHODS
from g2d.modulations import MODULATIONS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def test_importing_g2d_loads_nothing_heavy() -> None:
    code = "import sys, g2d; print([m for m in ('torch', 'transformers', 'matplotlib', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import g2d

    for name in g2d.__all__:
        assert getattr(g2d, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = g2d.nonsense


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_card(name: str) -> None:
    card = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
    for part in ("**Paper.**", "**Algorithm.**", "**Needs.**", "**Cost.**", "**When.**"):
        assert part in card


def test_no_code_compares_with_the_name_of_a_method() -> None:
    names = {*METHODS, *MODULATIONS}
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                constants = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
                found += [f"{path.name}:{node.lineno} {name}" for name in constants & names]
    assert found == []


def test_no_file_names_a_folder_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=False, cwd=ROOT)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    for name in listed.stdout.split():
        text = (ROOT / name).read_bytes().decode("utf-8", errors="ignore") if (ROOT / name).is_file() else ""
        for folder in ("/" + "home/", "/" + "root/", "/" + "work/"):
            assert folder not in text, f"{name} names {folder}"


def test_the_readme_says_how_to_check_everything() -> None:
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
