"""Fixtures of the report tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.written_runs import write_run

Make = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """Return a function: ``make_run("joint", 0, 0.8)`` writes a run and returns its folder."""

    def make(name: str, seed: int, fused: float, **changed: Any) -> Path:
        return write_run(tmp_path / "runs" / name / f"seed-{seed}", name, seed, fused, **changed)

    return make
