"""Prepared stores: a folder of memory-mapped arrays that says where its values come from."""

from __future__ import annotations

from g2d.data.store.facts import Signal
from g2d.errors import UnreadableError
from g2d.prepare.plan import Decoded, Plan, Sample, Skip, name_hash, places

__all__ = ["Decoded", "Plan", "Sample", "Signal", "Skip", "UnreadableError", "name_hash", "places"]
