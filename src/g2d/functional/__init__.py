"""Formulas as pure functions of tensors and numbers: no module, no state, torch alone.

They are Eqs. 1-8 of the paper, the formulas of the methods, metrics and spectrograms.

Example:
    >>> from g2d.functional import stage
    >>> stage(3, tau=(2, 4))
    2
"""

from __future__ import annotations

from g2d.functional.boosting import consolidation, residual_loss
from g2d.functional.calibration import fit_head_weights
from g2d.functional.certainty import certainty_weights
from g2d.functional.gradients import scale_gradient
from g2d.functional.losses import (
    feature_distillation,
    feature_terms,
    logit_distillation,
    logit_terms,
    weight_of,
)
from g2d.functional.matching import (
    fitted_weight,
    heuristic_weight,
    infonce,
    jensen_shannon,
    js_reverse,
    pairwise_matching,
)
from g2d.functional.metrics import (
    accuracy,
    confusion_matrix,
    macro_f1,
    r2_score,
    unweighted_average_recall,
)
from g2d.functional.noise import gradient_noise
from g2d.functional.pareto import cosine, min_norm_weights, pareto_gradients, pareto_weights
from g2d.functional.projections import forgetting, narrowed
from g2d.functional.prototypes import (
    class_sums,
    entropy_per_row,
    prototype_logits,
    rebalance_weights,
)
from g2d.functional.schedule import (
    checked_tau,
    checked_window,
    coefficients,
    partial_suppression,
    prioritized,
    stage,
    stage_epochs,
    within,
)
from g2d.functional.scoring import (
    error_confidence,
    flip_rate,
    margin,
    ranking,
    true_class_confidence,
)
from g2d.functional.shapley import coalitions, modulation_coefficients, relative_strength, shares
from g2d.functional.spectrogram import as_float, log_mel, log_spectrogram, magnitudes, mel_filters
from g2d.functional.sums import sum_and_count

__all__ = [
    "accuracy",
    "as_float",
    "certainty_weights",
    "checked_tau",
    "checked_window",
    "class_sums",
    "coalitions",
    "coefficients",
    "confusion_matrix",
    "consolidation",
    "cosine",
    "entropy_per_row",
    "error_confidence",
    "feature_distillation",
    "feature_terms",
    "fit_head_weights",
    "fitted_weight",
    "flip_rate",
    "forgetting",
    "gradient_noise",
    "heuristic_weight",
    "infonce",
    "jensen_shannon",
    "js_reverse",
    "log_mel",
    "log_spectrogram",
    "logit_distillation",
    "logit_terms",
    "macro_f1",
    "magnitudes",
    "margin",
    "mel_filters",
    "min_norm_weights",
    "modulation_coefficients",
    "narrowed",
    "pairwise_matching",
    "pareto_gradients",
    "pareto_weights",
    "partial_suppression",
    "prioritized",
    "prototype_logits",
    "r2_score",
    "ranking",
    "rebalance_weights",
    "relative_strength",
    "residual_loss",
    "scale_gradient",
    "shares",
    "stage",
    "stage_epochs",
    "sum_and_count",
    "true_class_confidence",
    "unweighted_average_recall",
    "weight_of",
    "within",
]
