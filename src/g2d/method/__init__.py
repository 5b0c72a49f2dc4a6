"""The contract of a method: it owns one training step, and nothing else.

A method sees a :class:`TrainState` and a batch, and does whatever its paper says happens in one step. Epochs, devices,
checkpoints and logs belong to whoever calls it: the engine, or a loop of your own (a TrainState is built by hand in one line).
"""

from __future__ import annotations

from g2d.method.contract import Cost, Method, Validation
from g2d.method.modulation import Modulation, modulated
from g2d.method.processes import processes
from g2d.method.rankings import RankingLog, split_confidence
from g2d.method.search import Choice, Log, Space, Whole, spaces
from g2d.method.single_pass import SinglePass
from g2d.method.state import Part, Rows, TrainState

__all__ = [
    "Choice",
    "Cost",
    "Log",
    "Method",
    "Modulation",
    "Part",
    "RankingLog",
    "Rows",
    "SinglePass",
    "Space",
    "TrainState",
    "Validation",
    "Whole",
    "modulated",
    "processes",
    "spaces",
    "split_confidence",
]
