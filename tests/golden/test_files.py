"""Every recorded file is compared by a test and has a source."""

from __future__ import annotations

import ast

import pytest

from support.golden import FOLDER, Golden

FILES = sorted(path.stem for path in FOLDER.glob("*.npz"))


def texts() -> set[str]:
    """Return every text in the code of the tests of this folder."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in FOLDER.glob("test_*.py")]
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_file_is_named_by_a_test() -> None:
    assert set(FILES) - texts() == set()


@pytest.mark.parametrize("name", FILES)
def test_the_page_names_repository_and_commit_of_every_file(name: str) -> None:
    arrays, page = Golden(name).arrays, (FOLDER / "README.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if str(arrays["about/commit"]) in line)
    assert str(arrays["about/repository"]) in row
    assert any(name.startswith(prefix.rstrip("*")) for prefix in row.split("`")[1::2])
