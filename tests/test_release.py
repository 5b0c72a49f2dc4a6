"""A tag becomes a release only if the package, the citation and the changelog name its version."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checker(tmp_path: Path) -> ModuleType:
    """Return the checker of a project whose three files name version 1.2.0."""
    spec = importlib.util.spec_from_file_location("check", ROOT / ".github" / "check_release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.ROOT = tmp_path
    (tmp_path / "src/g2d").mkdir(parents=True)
    (tmp_path / "src/g2d/__init__.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("title: x\nversion: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.2.0] - 2026-01-01\n")
    return module


def test_a_tag_that_agrees_with_all_files_has_no_faults(checker: ModuleType) -> None:
    assert checker.faults("v1.2.0") == []


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("src/g2d/__init__.py", '__version__ = "1.1.0"\n', "g2d.__version__ must be 1.2.0, found"),
        ("CITATION.cff", "version: 1.1.0\n", "CITATION.cff must be 1.2.0, found 1.1.0"),
        ("CHANGELOG.md", "## [Unreleased]\n", "CHANGELOG.md must be 1.2.0, found none"),
    ],
)
def test_a_file_that_names_another_version_stops_the_release(
    checker: ModuleType, name: str, text: str, sentence: str
) -> None:
    (checker.ROOT / name).write_text(text)
    assert len(checker.faults("v1.2.0")) == 1
    assert sentence in checker.faults("v1.2.0")[0]
