"""The contract of a method: a method owns one training step and nothing else.

A method receives a :class:`TrainState` and a batch and does what its paper prescribes for one step.
Epochs, devices, checkpoints and logs belong to the caller: the engine, or a loop of your own.
"""

from __future__ import annotations

from g2d.method.contract import Cost, Method, Validation, pooled_features
from g2d.method.distillation import Distillation
from g2d.method.distributed import processes
from g2d.method.modulation import (
    Modulate,
    Modulation,
    Scope,
    in_scope,
    modulated,
    scale_gradient_of,
    scales_update,
)
from g2d.method.rankings import split_confidence
from g2d.method.rules import check_names, order_of_turns, per_modality, separate_heads
from g2d.method.search import Choice, Log, Space, Whole, spaces
from g2d.method.single_pass import SinglePass
from g2d.method.state import Record, TrainState, record_terms
from g2d.method.student_scores import StudentScores

__all__ = [
    "Choice",
    "Cost",
    "Distillation",
    "Log",
    "Method",
    "Modulate",
    "Modulation",
    "Record",
    "Scope",
    "SinglePass",
    "Space",
    "StudentScores",
    "TrainState",
    "Validation",
    "Whole",
    "check_names",
    "in_scope",
    "modulated",
    "order_of_turns",
    "per_modality",
    "pooled_features",
    "processes",
    "record_terms",
    "scale_gradient_of",
    "scales_update",
    "separate_heads",
    "spaces",
    "split_confidence",
]
