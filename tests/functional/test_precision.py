"""Losses keep the precision of the model, and promote half precision."""

from __future__ import annotations

import pytest
import torch

from g2d.functional import at_least_float32
from g2d.task import Classification, Regression, Task


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int64, torch.int64),
        (torch.bool, torch.bool),
    ],
)
def test_half_precision_and_nothing_else_is_promoted(given: torch.dtype, kept: torch.dtype) -> None:
    values = torch.ones(3).to(given)
    assert at_least_float32(values).dtype == kept
    assert (at_least_float32(values) is values) == (given == kept)


@pytest.mark.parametrize("given", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    "task", [Classification(3), Regression(3), Regression(3, output="identity")]
)
def test_losses_and_scores_have_the_precision_of_the_logits(task: Task, given: torch.dtype) -> None:
    logits = torch.linspace(-1, 1, 6).view(2, 3).to(given)
    target = torch.tensor([0, 2]) if task.kind == "classification" else torch.rand(2, 3)
    expected = torch.float64 if given == torch.float64 else torch.float32
    values = {
        "loss": task.loss(logits, target),
        "confidence": task.confidence(logits, target),
        "distillation": task.distillation(logits, logits.flip(0)),
        "likelihood": task.negative_log_likelihood(logits, target),
    }
    assert {name for name, value in values.items() if value.dtype != expected} == set()
