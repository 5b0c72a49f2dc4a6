"""Every fact has one home: a formula, a file name or a rule is written in one file only."""

from __future__ import annotations

import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "g2d"

HOMES = {
    # formulas
    "principal components": (r"linalg\.eigh\b", "data/pca.py"),
    "spectrogram": (r"\bstft\b|hann_window", "functional/spectrogram.py"),
    "mel scale": (r"\b2595\b", "functional/spectrogram.py"),
    "confusion matrix": (r"minlength=classes\*\*2", "functional/metrics.py"),
    "scaling of a gradient": (r"autograd\.Function\b", "functional/gradients.py"),
    "scaled updates": (r"param_groups\[:\]", "method/updates.py"),
    "heads of a method in the optimizer": (r"optimizer must hold", "method/mistakes.py"),
    "teachers' calibration": (r"optim\.LBFGS\b", "functional/calibration.py"),
    # rules and messages
    "nearest name": (r"get_close_matches", "files.py"),
    "choices in a message": (r"must be one of", "files.py"),
    "compared names must differ": (r"recipes must differ", "experiment/training.py"),
    "splitting KEY=VALUE": (r"assignment\.partition", "recipe/reading.py"),
    "options that do not change a result": (r'"workers",\s+"threads"', "runs/resuming.py"),
    "command that installs an extra": (r"pip install 'g2d\[\{", "experiment/registry.py files.py"),
    "kinds of modulation": (r'"auto", "gradient", "update"', "method/modulation.py"),
    "passes of a budget": (r'"thorough": 10', "experiment/fitting/planning.py"),
    "metrics of errors": (r'"mae", "mape"', "report/fitted.py"),
    "names of the splits": (r'"train", "valid", "test"', "data/splits.py"),
    "numbers of the splits": (r"UNUSED, TRAIN, VALID, TEST\)? = ", "data/splits.py"),
    "a split for rows without one": (r"def draw_splits", "data/splits.py"),
    "packages of an extra": (r'"vl-convert-python"', "files.py"),
    "colors": (r"#[0-9a-fA-F]{6}\b", "report/drawing.py"),
    # files
    "atomic writing": (r"os\.getpid\(\)", "files.py"),
    "lock of the system": (r"FileLock\(|\bflock\b", "locks.py"),
    "digest of a file": (r"file_digest", "files.py prepare/plainpickle/child.py"),
    "YAML loader": (r"SafeLoader|yaml\.(safe_)?load\(", "plainyaml.py"),
    "opening an .npz file": (r"np\.load\([^)]*\) as ", "data/store/arrays.py"),
    "suffix of a mask": (r'"\.mask"', "data/store/facts.py"),
    "run's data": (r'"data\.json"', "runs/names.py"),
    "result of a run": (r'"result\.json"', "runs/names.py"),
    "epochs of a run": (r'"metrics\.jsonl"', "runs/names.py"),
    "checkpoints of a run": (r'"checkpoints"', "runs/names.py"),
    "analysis of a run": (r'"analysis\.json"', "runs/names.py"),
    "description of a store": (r'"dataset\.json"', "data/store/facts.py"),
    "samples of a store": (r'"samples\.jsonl"', "data/store/facts.py"),
    "Hugging Face weights": (r"use_safetensors", "encoders/pretrained/loading.py"),
}
"""Per fact a pattern of code and the files that may contain it.

The pickle reader's child process imports nothing of the package, so it computes its own digest.
"""


@cache
def code_of(path: Path) -> str:
    """Return the code of a file without comments and docstrings."""
    tokens = list(tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline))
    skipped = {tokenize.INDENT, tokenize.NEWLINE, tokenize.NL, tokenize.ENCODING, tokenize.DEDENT}
    lines: dict[int, str] = {}
    previous = tokenize.NEWLINE
    for token in tokens:
        docstring = token.type == tokenize.STRING and previous in skipped
        if token.type != tokenize.COMMENT and not docstring:
            lines[token.start[0]] = token.line
        previous = token.type
    return "".join(lines.values())


@pytest.mark.parametrize("fact", HOMES)
def test_a_fact_is_known_to_its_home_alone(fact: str) -> None:
    pattern, homes = HOMES[fact]
    files = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(pattern, code_of(path))
    }
    assert files == set(homes.split())


PRECISE = ("functional", "fusion", "method", "methods", "modulations.py", "model.py", "task.py")
"""Layers whose numbers keep the precision of the model."""


def test_only_half_precision_is_promoted_to_float32() -> None:
    paths = [
        path
        for layer in PRECISE
        for path in ([SOURCE / layer] if layer.endswith(".py") else (SOURCE / layer).glob("*.py"))
    ]
    files = [
        path.relative_to(SOURCE).as_posix()
        for path in paths
        if re.search(r"\.float\(\)|dtype=torch\.float32", code_of(path))
    ]
    assert files == ["functional/precision.py"]
