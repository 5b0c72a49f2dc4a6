"""Run folders as earlier versions wrote them."""

from __future__ import annotations

import json
from pathlib import Path

from g2d.runs.names import DATA, RESULT


def drop_hashes(folder: Path) -> None:
    """Remove hashes and signatures, which earlier versions did not write."""
    for name in (RESULT, DATA):
        content = json.loads((folder / name).read_text())
        del content["files"], content["signed"], content["signature"]
        (folder / name).write_text(json.dumps(content))
