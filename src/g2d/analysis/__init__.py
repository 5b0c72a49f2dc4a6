"""Figures about a trained model with modalities, computed from some rows."""

from __future__ import annotations

from g2d.analysis.alignment import feature_alignment, modality_gap, projected
from g2d.analysis.bootstrap import Interval, bootstrap_difference, bootstrap_mean, bootstrap_ratio
from g2d.analysis.coalitions import coalition_values, feature_means, shapley_values
from g2d.analysis.confidence import confidence_ratio, unimodal_accuracy
from g2d.analysis.diagnosis import Diagnosis, diagnose
from g2d.analysis.error_table import ErrorTable, Pattern, error_table
from g2d.analysis.exchange import Follow, follow_rates, perceptual_scores
from g2d.analysis.figures import Figures, Finding
from g2d.analysis.gradients import Pull, gradient_pull
from g2d.analysis.heads import Reliability, Reweighed, per_class, reliability, reweighed
from g2d.analysis.information import co_information, co_informations, mutual_information
from g2d.analysis.interaction import Interaction, interaction_share
from g2d.analysis.measures import Measures, Use, measure
from g2d.analysis.pool import Pool, feature_pool
from g2d.analysis.probe import linear_probe
from g2d.analysis.readout import ReadoutError, readout_error
from g2d.analysis.robustness import under_corruption
from g2d.analysis.rows import Rows, collect
from g2d.analysis.utilization import row_contributions, subset_rewards, utilization

__all__ = [
    "Diagnosis",
    "ErrorTable",
    "Figures",
    "Finding",
    "Follow",
    "Interaction",
    "Interval",
    "Measures",
    "Pattern",
    "Pool",
    "Pull",
    "ReadoutError",
    "Reliability",
    "Reweighed",
    "Rows",
    "Use",
    "bootstrap_difference",
    "bootstrap_mean",
    "bootstrap_ratio",
    "co_information",
    "co_informations",
    "coalition_values",
    "collect",
    "confidence_ratio",
    "diagnose",
    "error_table",
    "feature_alignment",
    "feature_means",
    "feature_pool",
    "follow_rates",
    "gradient_pull",
    "interaction_share",
    "linear_probe",
    "measure",
    "modality_gap",
    "mutual_information",
    "per_class",
    "perceptual_scores",
    "projected",
    "readout_error",
    "reliability",
    "reweighed",
    "row_contributions",
    "shapley_values",
    "subset_rewards",
    "under_corruption",
    "unimodal_accuracy",
    "utilization",
]
