from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.functional.losses import (
    feature_distillation,
    feature_terms,
    logit_distillation,
    logit_terms,
)


def probabilities(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


def test_the_divergence_puts_the_teacher_first() -> None:
    teacher, student = probabilities((0.7, 0.3)), probabilities((0.5, 0.5))
    assert logit_distillation(student, teacher).item() == pytest.approx(0.082283, abs=1e-6)
    assert logit_distillation(teacher, student).item() == pytest.approx(0.0872, abs=1e-4)


def test_the_divergence_equals_a_written_out_loop() -> None:
    student, teacher = torch.randn(5, 4), torch.randn(5, 4)
    total = 0.0
    for i in range(5):
        p, q = student[i].double().softmax(0), teacher[i].double().softmax(0)
        total += sum(q[c].item() * math.log(q[c].item() / p[c].item()) for c in range(4))
    assert logit_distillation(student, teacher).item() == pytest.approx(total / 5, rel=1e-5)


def test_a_temperature_divides_the_logits_and_multiplies_the_loss_by_its_square() -> None:
    student, teacher = torch.randn(5, 4), torch.randn(5, 4)
    expected = 9 * logit_distillation(student / 3, teacher / 3)
    torch.testing.assert_close(logit_distillation(student, teacher, temperature=3.0), expected)


def test_feature_distance_is_averaged_over_rows_and_averaged_or_summed_over_features() -> None:
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.zeros(2, 2)
    assert feature_distillation(student, teacher, reduction="sum").item() == pytest.approx(
        (5 + 16) / 2
    )
    assert feature_distillation(student, teacher).item() == pytest.approx((2.5 + 8) / 2)


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    (feature_distillation(student, teacher) + logit_distillation(student, teacher)).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_rows_without_the_modality_add_nothing() -> None:
    student, teacher = torch.randn(4, 3), torch.randn(4, 3)
    present = torch.tensor([True, False, True, False])
    for loss in (feature_distillation, logit_distillation):
        half = loss(student[present], teacher[present])
        torch.testing.assert_close(loss(student, teacher, present=present), half / 2)


def test_features_of_different_width_are_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"must have the same shape, found \(2, 3\) and \(2, 4\)"
    ):
        feature_distillation(torch.zeros(2, 3), torch.zeros(2, 4))


def test_a_term_of_weight_zero_is_left_out() -> None:
    f = {"image": torch.randn(2, 3), "tone": torch.randn(2, 3)}
    assert list(feature_terms(f, f, {"image": 0.0, "tone": 2.0})) == ["feature/tone"]
    assert logit_terms(torch.randn(2, 3), f, 0.0) == {}


def test_a_term_is_multiplied_by_its_weight() -> None:
    student, teacher = {"tone": torch.randn(2, 3)}, {"tone": torch.randn(2, 3)}
    term = feature_terms(student, teacher, {"tone": 2.0})["feature/tone"]
    torch.testing.assert_close(term, 2 * feature_distillation(student["tone"], teacher["tone"]))
