"""Every fact has one home: a constant, a format, a formula or a rule is written in one file.

Each case names a fact, a pattern that reveals it in code (docstrings and comments do not count),
and the file that may contain it.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "g2d"

HOMES = [
    ("the name of a temporary file", r"getpid\(\)", "files.py"),
    ("the nearest valid name", r"difflib|get_close_matches", "files.py"),
    ("the message for one of several values", r"must be one of", "files.py"),
    ("extras and what they install", r"'vl-convert-python'", "files.py"),
    ("how YAML is read", r"yaml\.SafeLoader|yaml\.(safe_)?load\(", "plainyaml.py"),
    ("names of the splits", r"[(\[]'train', 'valid', 'test'[)\]]", "data/splits.py"),
    ("numbers of the splits", r"UNUSED, TRAIN, VALID, TEST\)? = ", "data/splits.py"),
    ("a split for rows without one", r"def draw_split", "data/splits.py"),
    ("opening an .npz file", r"np\.load\([^)]*\) as ", "data/store/arrays.py"),
    ("the name dataset.json", r"'dataset\.json'", "data/store/facts.py"),
    ("the suffix of a mask", r"'\.mask'", "data/store/facts.py"),
    ("PCA", r"linalg\.eigh\b", "data/pca.py"),
    ("the mel scale", r"\b2595\b", "functional/spectrogram.py"),
    ("the short-time Fourier transform", r"\.stft\(", "functional/spectrogram.py"),
    ("names of the files of a run", r"'(metrics\.jsonl|result\.json|data\.json)'", "runs/names.py"),
    ("the folder of checkpoints", r"'checkpoints'", "runs/names.py"),
    ("options that do not change a result", r"'workers', 'threads'", "runs/resuming.py"),
    ("where modulation acts", r"Literal\['auto', 'gradient', 'update'\]", "method/modulation.py"),
    ("colors", r"'#[0-9a-fA-F]{6}|: ?#[0-9a-fA-F]{6}", "report/drawing.py"),
    ("compared names must differ", r"recipes must differ", "recipe/recipe.py"),
    ("splitting KEY=VALUE", r"assignment\.partition", "recipe/reading.py"),
]


@cache
def code(path: Path) -> str:
    """Return the code of a file without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                part
                for part in body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ] or [ast.Pass()]
    return ast.unparse(tree)


@pytest.mark.parametrize(("fact", "pattern", "home"), HOMES, ids=[fact for fact, _, _ in HOMES])
def test_a_fact_is_written_in_one_file(fact: str, pattern: str, home: str) -> None:
    assert [
        path.relative_to(SOURCE).as_posix()
        for path in sorted(SOURCE.rglob("*.py"))
        if re.search(pattern, code(path))
    ] == [home]
