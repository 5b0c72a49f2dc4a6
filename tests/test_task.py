from __future__ import annotations

import math

import pytest
import torch

from g2d.errors import ArgumentError
from g2d.task import Classification, Regression, task_from_config


def test_regression_refuses_targets_that_would_broadcast() -> None:
    task = Regression()
    for ask in (task.loss, task.confidence):
        with pytest.raises(
            ArgumentError,
            match=r"must have the shape of the logits, \(rows, outputs\) = \(4, 1\), found \(4,\)",
        ):
            ask(torch.zeros(4, 1), torch.zeros(4))


def test_the_loss_of_a_regression_squashes_first() -> None:
    assert Regression().loss(torch.zeros(3, 1), torch.full((3, 1), 0.25)).item() == pytest.approx(
        0.0625
    )
    assert Regression(output="identity").loss(
        torch.zeros(3, 1), torch.full((3, 1), 0.25)
    ).item() == pytest.approx(0.0625 * 1)


def test_metrics_of_a_regression_are_in_the_original_unit() -> None:
    task = Regression(output="identity", low=0.0, high=20.0)
    metrics = task.metrics()
    metrics.update(torch.tensor([[9 / 20], [22 / 20]]), torch.tensor([[10 / 20], [20 / 20]]))
    values = metrics.compute()
    assert values["mape"].item() == pytest.approx(10.0, abs=1e-4)
    assert values["mae"].item() == pytest.approx(1.5, abs=1e-5)
    assert values["r2"].item() == pytest.approx(1 - 5 / 50, abs=1e-5)


def test_a_logarithmic_scale_is_undone_by_the_prediction() -> None:
    task = Regression(output="identity", low=math.log(10), high=math.log(1000), log=True)
    torch.testing.assert_close(
        task.predict(torch.tensor([[0.5]])), torch.tensor([[100.0]]), rtol=1e-5, atol=1e-3
    )


def test_mape_leaves_out_targets_of_zero() -> None:
    task = Regression(output="identity")
    metrics = task.metrics()
    metrics.update(torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [0.0]]))
    assert metrics.compute()["mape"].item() == pytest.approx(50.0)
    assert metrics.compute()["zero_targets"].item() == 1


def test_metrics_start_anew_after_a_reset() -> None:
    for task, logits, target in (
        (Classification(2), torch.tensor([[2.0, 0.0]]), torch.tensor([1])),
        (Regression(), torch.zeros(2, 1), torch.rand(2, 1)),
    ):
        metrics = task.metrics()
        metrics.update(logits, target)
        first = metrics.compute()
        metrics.reset()
        metrics.update(logits, target)
        assert {k: v.item() for k, v in metrics.compute().items()} == {
            k: v.item() for k, v in first.items()
        }


def test_distillation_of_a_regression_is_the_distance_of_predictions() -> None:
    task = Regression(output="identity")
    teacher = torch.tensor([[1.0], [2.0]], requires_grad=True)
    student = torch.tensor([[0.0], [0.0]], requires_grad=True)
    loss = task.distillation(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(2.5)
    assert teacher.grad is None


@pytest.mark.parametrize(
    "task",
    [
        Classification(["cat", "dog"]),
        Regression(2, output="identity", low=[1.0, 0.0], high=[3.0, 1e8], variance=0.1),
    ],
)
def test_a_task_is_rebuilt_from_its_description(task: Classification | Regression) -> None:
    assert task_from_config(task.config()).config() == task.config()


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Classification(1), "classes must be two or more, found 1"),
        (lambda: Regression(0), "outputs must be one or more, found 0"),
        (lambda: Regression(variance=0.0), "variance of the training targets must be positive"),
        (lambda: Regression(output="tanh"), "output must be 'sigmoid' or 'identity', found 'tanh'"),
    ],
)
def test_nonsense_is_refused(build: object, text: str) -> None:
    assert callable(build)
    with pytest.raises(ArgumentError, match=text):
        build()


def test_every_output_has_a_scale_of_its_own_and_counts_the_same_in_r2() -> None:
    task = Regression(2, output="identity", low=[0.0, -1e8], high=[1.0, 1e8], variance=[0.1, 0.2])
    target = torch.tensor([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    assert task.predict(target).tolist() == [[0.0, -1e8], [0.5, 0.0], [1.0, 1e8]]
    logits = target.clone()
    logits[:, 0] = 0.5  # no better than the mean, for an output a hundred million times smaller
    metrics = task.metrics()
    metrics.update(logits, target)
    assert float(metrics.compute()["r2"]) == pytest.approx((0 + 1) / 2)
    error = torch.tensor([[0.5, 0.0]])
    expected = (math.exp(-0.25 / 0.1) + 1) / 2
    assert float(task.confidence(error, torch.zeros(1, 2))) == pytest.approx(expected)


def test_r2_of_a_single_row_is_not_defined() -> None:
    metrics = Regression(1, output="identity").metrics()
    metrics.update(torch.tensor([[0.3]]), torch.tensor([[0.4]]))
    assert math.isnan(float(metrics.compute()["r2"]))


def test_scales_must_be_one_or_as_many_as_outputs() -> None:
    with pytest.raises(
        ArgumentError, match=r"high must be one number, or one for each of the 3 outputs, found 2"
    ):
        Regression(3, low=0.0, high=[1.0, 2.0])


def test_a_target_of_zero_is_known_again_in_its_own_unit() -> None:
    task = Regression(1, output="identity", low=0.3, high=97.0)
    value = torch.tensor([[0.0], [0.3], [50.0]])
    scaled = ((value.double() - 0.3) / (97.0 - 0.3)).float()
    metrics = task.metrics()
    metrics.update(scaled, scaled)
    found = metrics.compute()
    assert (found["zero_targets"].item(), round(found["mape"].item(), 3)) == (1, 0.0)
