"""Targets of a store: what is fitted on a protocol's training rows, and the task they define."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError
from g2d.task import Classification, MultiLabel, Regression, Task

Floats = NDArray[np.float64]


def fit_target(plan: Mapping[str, Any], train: NDArray[Any]) -> dict[str, Any]:
    """Return scale and variance of a regression's training targets, or counts of classes or labels.

    Args:
        plan: Task of a :class:`~g2d.prepare.plan.Plan`.
        train: Targets of the training rows in the original unit. If there are several outputs,
            each has its own scale and variance.
    """
    if "classes" in plan:
        counts = np.bincount(train.astype(np.int64), minlength=len(plan["classes"]))
        return {"counts": counts.tolist()}
    if "labels" in plan:
        return {"counts": train.astype(np.int64).sum(0).tolist()}
    if not len(train):
        return {}
    values = _logarithm(plan, train)
    if plan.get("scale", "train") == "train":
        low, high = values.min(0), values.max(0)
    else:
        low, high = np.array(plan["scale"], np.float64)
    variance = _scaled(plan, values, low, high).var(0)
    fitted = {"low": low, "high": high, "variance": variance}
    return {name: _one_or_each(numbers) for name, numbers in fitted.items()}


def open_target(
    plan: Mapping[str, Any], fitted: Mapping[str, Any], target: NDArray[Any], output: str | None
) -> tuple[Task, NDArray[Any]]:
    """Return the task, and the targets in its form.

    Args:
        plan: Task of a :class:`~g2d.prepare.plan.Plan`.
        fitted: Result of :func:`fit_target`.
        target: Targets of all rows in the original unit.
        output: Output of a regression; None for that of the plan.

    Returns:
        The task; and class numbers ``(N,)`` int64, or scaled values or states of labels
        ``(N, C)`` float32.

    Raises:
        DataError: The training targets do not vary.
    """
    if "classes" in plan:
        return Classification(plan["classes"]), target.astype(np.int64)
    if "labels" in plan:
        return MultiLabel(plan["labels"]), target.astype(np.float32)
    if not np.min(fitted.get("variance", 0)) > 0:
        raise DataError("targets of the training rows must differ, found a single value or none.")
    kind: Any = output or plan.get("output", "sigmoid")
    task = Regression(plan.get("outputs", 1), output=kind, log=plan.get("log", False), **fitted)
    values = _logarithm(plan, target)
    scaled = _scaled(plan, values, np.array(task.low), np.array(task.high))
    return task, scaled.astype(np.float32)


def _one_or_each(numbers: NDArray[np.float64]) -> float | list[float]:
    """Return a single number as a float, several as a list."""
    return float(numbers.item()) if numbers.size == 1 else numbers.tolist()


def _logarithm(plan: Mapping[str, Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """Return targets as float64, as logarithms if the plan says so."""
    if not plan.get("log", False):
        return values.astype(np.float64)
    if values.size and values.min() <= 0:
        raise DataError(
            f"targets must be above 0 to predict their logarithm, found {values.min()}."
        )
    return np.log(values.astype(np.float64))


def _scaled(plan: Mapping[str, Any], values: Floats, low: Floats, high: Floats) -> Floats:
    """Return targets in the scaled unit, where ``low`` is 0 and ``high`` is 1."""
    scaled: Floats = (values - low) / np.where(high > low, high - low, 1.0)
    return scaled.clip(*plan["clip"]) if plan.get("clip") else scaled
