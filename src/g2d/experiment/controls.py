"""What is free once teachers exist: the best of them alone, and their ensemble, raw and with calibrated heads."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from g2d.data import Source
from g2d.engine.calibration import calibrate
from g2d.engine.evaluate import evaluate
from g2d.engine.options import TrainOptions
from g2d.fusion import Late
from g2d.method import Method
from g2d.methods import UME
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task


def teacher_ensemble(teachers: Teachers, task: Task) -> tuple[MultimodalModel, Method]:
    """The mean of the teachers' logits, as a model and the method that asks it; the teachers themselves stay as they are."""
    encoders = {m: copy.deepcopy(teacher.encoders[m]) for m, teacher in teachers.models.items()}
    dims = {m: teacher.fusion.dims[m] for m, teacher in teachers.models.items()}
    model = MultimodalModel(encoders, Late(dims, task.outputs))
    model.to(next(next(iter(teachers.models.values())).parameters()).device)
    method: Method = UME(teachers=teachers).build(model, task)
    return model.eval(), method.to(next(model.parameters()).device)


def controls(
    teachers: Teachers,
    scores: Mapping[str, Mapping[str, Any]],
    source: Source,
    options: TrainOptions,
) -> dict[str, Any]:
    """The controls' part of a result.

    Args:
        scores: per modality the teachers' part of the result, with ``valid`` and ``test`` metrics; the best one is chosen on ``valid``.
    """
    best = max(scores, key=lambda m: scores[m]["valid"][source.task.headline])
    model, method = teacher_ensemble(teachers, source.task)
    raw = evaluate(method, model, source, "test", batch_size=options.eval_batch_size)
    calibrate(method, model, source, options.eval_batch_size)
    calibrated = evaluate(method, model, source, "test", batch_size=options.eval_batch_size)
    weights = dict(zip(method.modalities, method.head_weights.tolist(), strict=True))
    return {
        "best_teacher": {"modality": best, "test": scores[best]["test"]},
        "ensemble": {"test": raw.record()["fused"]},
        "ensemble_calibrated": {"test": calibrated.record()["fused"], "head_weights": weights},
    }
