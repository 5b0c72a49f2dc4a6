"""Readers of raw files, one file per data set: from a folder as it was downloaded to a plan of what will be stored."""

from __future__ import annotations

from g2d.data.readers.base import Reader

READERS: dict[str, Reader] = {}

__all__ = ["READERS", "Reader"]
