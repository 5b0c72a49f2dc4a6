"""Every notebook of the gallery runs from its first cell to its last."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

GALLERY = sorted((Path(__file__).parents[1] / "docs" / "gallery").glob("*.ipynb"))
SHORTER = {
    "ablation": {'"digits"': '"digits/small"', "epochs=8": "epochs=2"},
    "own_files": {"epochs=20": "epochs=4"},
    "own_loop": {"epochs=24": "epochs=2", "tau=(12, 12)": "tau=(1, 1)"},
}
"""What is shorter here than on the page: the test compares none of the printed numbers."""


def test_the_gallery_has_notebooks() -> None:
    assert len(GALLERY) >= 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    notebook = nbformat.read(path, as_version=4)
    for long, short in SHORTER.get(path.stem, {}).items():
        assert any(long in cell.source for cell in notebook.cells)
        for cell in notebook.cells:
            cell.source = cell.source.replace(long, short)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = [
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    ]
    assert not [text for text in printed if "Error" in text or "Traceback" in text]
