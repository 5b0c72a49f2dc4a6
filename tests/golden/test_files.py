"""Every recorded file has a source."""

from __future__ import annotations

import pytest

from support.golden import FOLDER, Golden

FILES = sorted(path.stem for path in FOLDER.glob("*.npz"))


@pytest.mark.parametrize("name", FILES)
def test_the_page_names_repository_and_commit_of_every_file(name: str) -> None:
    arrays, page = Golden(name).arrays, (FOLDER / "README.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if str(arrays["about/commit"]) in line)
    assert str(arrays["about/repository"]) in row
    assert any(name.startswith(prefix.rstrip("*")) for prefix in row.split("`")[1::2])
