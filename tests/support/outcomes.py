"""What a run leaves, without what differs between equal runs: times and hashes of them."""

from __future__ import annotations

from typing import Any

MEASURED = frozenset(
    {"signature", "metrics", "metrics.jsonl", "recipe.yaml", "data.json", "reused"}
)
"""Keys whose values depend on measured times, on options of the machine such as the number of
workers, or on which of two runs was the first. data.json records the hash of the recipe."""


def timeless(content: Any) -> Any:
    """Return plain values without measured times and without hashes of files that hold some."""
    if isinstance(content, dict):
        return {
            key: timeless(value)
            for key, value in content.items()
            if key not in MEASURED and "seconds" not in key
        }
    return [timeless(value) for value in content] if isinstance(content, list) else content
