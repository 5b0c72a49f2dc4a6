"""Data as training sees them: a Source of rows and a Loader of batches."""

from __future__ import annotations

from g2d.data.loader import Loader
from g2d.data.source import Source
from g2d.data.splits import SPLITS, Split

__all__ = ["SPLITS", "Loader", "Source", "Split"]
