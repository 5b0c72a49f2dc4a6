"""Whole experiments: a run, a comparison of runs, a demonstration; and a finished run, opened again."""

from __future__ import annotations

from g2d.experiment.compare import compare
from g2d.experiment.demo import demonstrate
from g2d.experiment.loading import Prediction, Run, load, write_predictions
from g2d.experiment.registry import examine, registered
from g2d.experiment.run import run
from g2d.experiment.tables import evaluation_table, run_summary
from g2d.experiment.tune import tune

__all__ = [
    "Prediction",
    "Run",
    "compare",
    "demonstrate",
    "evaluation_table",
    "examine",
    "load",
    "registered",
    "run",
    "run_summary",
    "tune",
    "write_predictions",
]
