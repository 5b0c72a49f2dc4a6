"""Targets: what is learnt about them on a protocol's training rows, and the task that results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2d.errors import DataError
from g2d.task import Classification, Regression, Task


def fit_target(plan: Mapping[str, Any], train: NDArray[Any]) -> dict[str, Any]:
    """Scale and variance of a regression's training targets, of each output where there are several; of classes, how often each occurs.

    Args:
        plan: the task of :class:`~g2d.prepare.plan.Plan`. train: targets of the training rows, in the original unit.
    """
    if "classes" in plan:
        return {
            "counts": np.bincount(train.astype(np.int64), minlength=len(plan["classes"])).tolist()
        }
    if not len(train):
        return {}
    values = _logarithm(plan, train)
    low, high = (
        (values.min(0), values.max(0))
        if plan.get("scale", "train") == "train"
        else np.array(plan["scale"], np.float64)
    )
    variance = _scaled(plan, values, low, high).var(0)
    return {
        "low": _one_or_each(low),
        "high": _one_or_each(high),
        "variance": _one_or_each(variance),
    }


def open_target(
    plan: Mapping[str, Any], fitted: Mapping[str, Any], target: NDArray[Any], output: str | None
) -> tuple[Task, NDArray[Any]]:
    """The task, and targets as it takes them: class numbers, or values in the scaled unit ``(N, C)`` float32.

    Raises:
        DataError: the training targets do not vary.
    """
    if "classes" in plan:
        return Classification(plan["classes"]), target.astype(np.int64)
    if not np.min(fitted.get("variance", 0)) > 0:
        raise DataError(
            "targets of the training rows must differ, found a single value, or no rows."
        )
    kind: Any = output or plan.get("output", "sigmoid")
    task = Regression(plan.get("outputs", 1), output=kind, log=plan.get("log", False), **fitted)
    return task, _scaled(
        plan, _logarithm(plan, target), np.array(task.low), np.array(task.high)
    ).astype(np.float32)


def _one_or_each(numbers: NDArray[np.float64]) -> float | list[float]:
    return float(numbers.item()) if numbers.size == 1 else numbers.tolist()


def _logarithm(plan: Mapping[str, Any], values: NDArray[Any]) -> NDArray[np.float64]:
    if not plan.get("log", False):
        return values.astype(np.float64)
    if values.size and values.min() <= 0:
        raise DataError(
            f"targets whose logarithm is learnt must be positive, found {values.min()}."
        )
    return np.log(values.astype(np.float64))


def _scaled(
    plan: Mapping[str, Any],
    values: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = (values - low) / np.where(high > low, high - low, 1.0)
    return scaled.clip(*plan["clip"]) if plan.get("clip") else scaled
