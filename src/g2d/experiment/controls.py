"""Controls that are free once teachers exist: the best teacher alone, and their ensemble."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from g2d.data import Source
from g2d.engine.calibration import calibrate
from g2d.engine.evaluate import evaluate
from g2d.fusion import Late
from g2d.method import Method
from g2d.methods import UME
from g2d.model import MultimodalModel, Teachers
from g2d.task import Task


def teacher_ensemble(teachers: Teachers, task: Task) -> tuple[MultimodalModel, Method]:
    """Return the mean of the teachers' logits as a model, and the method that predicts with it.

    Args:
        teachers: Not changed; the model has copies of their encoders.
        task: The kind of target.
    """
    encoders = {m: copy.deepcopy(teacher.encoders[m]) for m, teacher in teachers.models.items()}
    dims = {m: teacher.fusion.dims[m] for m, teacher in teachers.models.items()}
    model = MultimodalModel(encoders, Late(dims, task.outputs))
    device = next(next(iter(teachers.models.values())).parameters()).device
    method: Method = UME(teachers=teachers).build(model.to(device), task)
    return model.eval(), method.to(device)


def controls(
    teachers: Teachers, scores: Mapping[str, Mapping[str, Any]], source: Source, batch_size: int
) -> dict[str, Any]:
    """Evaluate the controls; return their part of ``result.json``.

    Args:
        teachers: The trained teachers.
        scores: The teachers' part of the result; ``valid`` chooses the best one.
        source: The data.
        batch_size: Rows per evaluation step.
    """
    best = max(scores, key=lambda m: scores[m]["valid"][source.task.headline])
    model, method = teacher_ensemble(teachers, source.task)
    raw = evaluate(method, model, source, "test", batch_size=batch_size)
    calibrate(method, model, source, batch_size)
    calibrated = evaluate(method, model, source, "test", batch_size=batch_size)
    weights = dict(zip(method.modalities, method.head_weights.tolist(), strict=True))
    return {
        "best_teacher": {"modality": best, "test": scores[best]["test"]},
        "ensemble": {"test": raw.record()["fused"]},
        "ensemble_calibrated": {"test": calibrated.record()["fused"], "head_weights": weights},
    }
