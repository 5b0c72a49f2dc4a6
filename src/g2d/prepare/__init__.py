"""From raw files to a store: decode in parallel, resume when interrupted, report every skip."""

from __future__ import annotations

from g2d.data.splits import name_hash
from g2d.data.store.facts import Signal
from g2d.errors import UnreadableError
from g2d.prepare.checking import Findings, check_store
from g2d.prepare.pipeline import Summary, Watch, default_workers, prepare
from g2d.prepare.plan import UNLABELED, Decode, Decoded, Plan, Sample, Skip, five_folds, places
from g2d.prepare.starter import write_starter

__all__ = [
    "UNLABELED",
    "Decode",
    "Decoded",
    "Findings",
    "Plan",
    "Sample",
    "Signal",
    "Skip",
    "Summary",
    "UnreadableError",
    "Watch",
    "check_store",
    "default_workers",
    "five_folds",
    "name_hash",
    "places",
    "prepare",
    "write_starter",
]
