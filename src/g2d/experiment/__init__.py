"""Whole experiments: training, comparisons, searches, a demonstration, and opening trained runs."""

from __future__ import annotations

from g2d.experiment.comparing import Comparison, compare
from g2d.experiment.demo import demonstrate
from g2d.experiment.exporting import export
from g2d.experiment.fitting import fit
from g2d.experiment.loading import Run, load, write_predictions
from g2d.experiment.predictions import Prediction
from g2d.experiment.registry import examine, registered
from g2d.experiment.reproducing import Reproduction, reproduce
from g2d.experiment.run import run
from g2d.experiment.tables import evaluation_table, run_summary
from g2d.experiment.training import train
from g2d.experiment.tune import tune

__all__ = [
    "Comparison",
    "Prediction",
    "Reproduction",
    "Run",
    "compare",
    "demonstrate",
    "evaluation_table",
    "examine",
    "export",
    "fit",
    "load",
    "registered",
    "reproduce",
    "run",
    "run_summary",
    "train",
    "tune",
    "write_predictions",
]
