"""What is loaded when: names come lazily, and asking for help costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import g2d

HEAVY = ("torch", "transformers", "matplotlib", "numpy", "sklearn", "kornia", "av")


def loaded_by(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded after some code."""
    report = f"import sys\ntry:\n    {code}\nexcept SystemExit as end:\n    assert not end.code, end.code\nprint('loaded:', *({HEAVY!r} & sys.modules.keys()))"
    report = report.replace(repr(HEAVY), repr(set(HEAVY)))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", report], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("loaded:", 1)[1].split())


def test_the_probe_sees_a_heavy_library() -> None:
    assert "numpy" in loaded_by("import numpy")


def test_importing_g2d_loads_nothing_heavy() -> None:
    assert loaded_by("import g2d") == set()


@pytest.mark.parametrize("name", g2d.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(g2d, name) is not None
    assert name in dir(g2d)


def test_an_unknown_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'g2d' has no attribute 'nonsense'"):
        _ = g2d.nonsense


def test_type_checkers_see_the_names_that_are_loaded_lazily() -> None:
    tree = ast.parse(Path(g2d.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(checked)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {f"g2d.{home}.{name}" for home, names in g2d._HOMES.items() for name in names}
