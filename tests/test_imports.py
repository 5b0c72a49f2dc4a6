"""Imports: public names are loaded when first used, and nothing is loaded that is not needed."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import g2d
from g2d import functional

SGD = "torch.optim.SGD([torch.zeros(1)], lr=0.1)"
STANDARD = {*sys.stdlib_module_names, "g2d", "_distutils_hack"}


def third_party(code: str) -> set[str]:
    """Return the third-party packages that a new interpreter has loaded after some code."""
    report = (
        f"{code}\nimport sys\nprint('loaded:', *{{name.partition('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", report],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = set(done.stdout.rsplit("loaded:", 1)[1].split())
    return {name for name in names - STANDARD if not name.startswith(("__", "_sysconfigdata"))}


def test_the_probe_sees_a_third_party_package() -> None:
    assert "numpy" in third_party("import numpy")


def test_importing_g2d_loads_no_third_party_package() -> None:
    assert third_party("import g2d") == set()


def test_methods_and_parts_for_your_own_loop_load_nothing_that_torch_does_not() -> None:
    needed = third_party(f"import torch; {SGD}")
    assert "torch" in needed
    parts = "g2d.methods, g2d.functional, g2d.task, g2d.fusion, g2d.model, g2d.encoders"
    assert third_party(f"import torch, {parts}; {SGD}") <= needed


def test_every_function_of_a_formula_can_be_imported_from_functional() -> None:
    folder = Path(functional.__file__).parent
    functions = {
        node.name
        for path in folder.glob("[!_]*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert functions == set(functional.__all__)
    assert all(callable(getattr(functional, name)) for name in functions)


@pytest.mark.parametrize("name", g2d.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
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


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(path.name for path in BENCHMARKS.glob("*.py")))
def test_a_benchmark_imports_names_that_exist(script: str) -> None:
    tree = ast.parse((BENCHMARKS / script).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for node in (node for node in imports if (node.module or "").startswith(("g2d", "support"))):
        module = importlib.import_module(node.module or "")
        for name in (alias.name for alias in node.names):
            if not hasattr(module, name):
                importlib.import_module(f"{node.module}.{name}")
