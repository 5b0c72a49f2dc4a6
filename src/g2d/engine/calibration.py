"""Weights for the heads of an additive fusion, fitted on the validation rows."""

from __future__ import annotations

import torch

from g2d.data import Source
from g2d.engine.evaluate import evaluate
from g2d.errors import UnsupportedError
from g2d.functional.calibration import fit_head_weights
from g2d.method import Method
from g2d.model import MultimodalModel


@torch.no_grad()
def calibrate(method: Method, model: MultimodalModel, source: Source, batch_size: int) -> None:
    """Set ``method.head_weights`` to the weights that fit the validation rows best.

    Args:
        method: The method whose prediction is a sum of heads.
        model: The trained model.
        source: The data.
        batch_size: Rows per evaluation step.

    Raises:
        UnsupportedError: The method's prediction is not a sum of its heads.
    """
    scale = head_scale(method, model) * len(method.modalities)
    method.head_weights.fill_(1)
    valid = evaluate(method, model, source, "valid", batch_size=batch_size, keep_rows=True)
    assert valid.unimodal_logits is not None
    assert valid.target is not None
    with torch.enable_grad():
        weights = fit_head_weights(
            [scale * valid.unimodal_logits[m] for m in method.modalities],
            valid.target,
            source.task.negative_log_likelihood,
        )
    method.head_weights.copy_(len(method.modalities) * weights)


def head_scale(method: Method, model: MultimodalModel) -> float:
    """Return s where the method predicts s * sum_m z^m.

    Raises:
        UnsupportedError: The method's prediction is not such a sum.
    """
    scale = method.head_scale(model)
    if scale is None:
        raise UnsupportedError(
            "calibrate must have an additive fusion (late, sum or concat) and a method that "
            f"predicts by its heads' sum, found {type(method).__name__} with "
            f"{type(model.fusion).__name__}."
        )
    return scale
