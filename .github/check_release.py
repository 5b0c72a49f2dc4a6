"""Check that a tag, the package and the changelog name one version: ``check_release.py v0.1.0``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def faults(tag: str) -> list[str]:
    """Return a sentence for everything that does not agree with the tag."""
    version = tag.removeprefix("v")
    package = re.search(r'__version__ = "(.*)"', (ROOT / "src/g2d/__init__.py").read_text("utf-8"))
    citation = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    released = re.findall(r"^## \[(\d\S*)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    versions = {
        "g2d.__version__": package[1] if package else "none",
        "CITATION.cff": citation[1] if citation else "none",
        "the newest section of CHANGELOG.md": released[0] if released else "none",
    }
    return [
        f"{name} must be {version}, found {found_version}."
        for name, found_version in versions.items()
        if found_version != version
    ]


if __name__ == "__main__":
    sentences = faults(sys.argv[1])
    sys.exit("\n".join(sentences) or None)
