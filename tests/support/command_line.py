"""What tests of the command line share: a command in this process, and tables that it reads."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from g2d.cli import app


def command(*words: object, code: int = 0) -> str:
    """Run a command, require its exit code, and return what it prints."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows with the columns of the first one, and return the path."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
