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
from g2d.method.orders import (
    AUTO,
    LAG,
    MEMORIZATION,
    Ranking,
    RankingBy,
    automatic,
    check_rows,
    checked_ranking,
    kind_of,
    order_of,
    rank,
    run_order,
)
from g2d.method.rankings import own_scores, split_confidence, teachers_scores
from g2d.method.rules import check_names, order_of_turns, per_modality, separate_heads
from g2d.method.search import Choice, Log, Space, Whole, spaces
from g2d.method.single_pass import SinglePass
from g2d.method.state import Record, TrainState, record_terms
from g2d.method.student_scores import StudentScores

__all__ = [
    "AUTO",
    "LAG",
    "MEMORIZATION",
    "Choice",
    "Cost",
    "Distillation",
    "Log",
    "Method",
    "Modulate",
    "Modulation",
    "Ranking",
    "RankingBy",
    "Record",
    "Scope",
    "SinglePass",
    "Space",
    "StudentScores",
    "TrainState",
    "Validation",
    "Whole",
    "automatic",
    "check_names",
    "check_rows",
    "checked_ranking",
    "in_scope",
    "kind_of",
    "modulated",
    "order_of",
    "order_of_turns",
    "own_scores",
    "per_modality",
    "pooled_features",
    "processes",
    "rank",
    "record_terms",
    "run_order",
    "scale_gradient_of",
    "scales_update",
    "separate_heads",
    "spaces",
    "split_confidence",
    "teachers_scores",
]
