from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from g2d.errors import ArgumentError
from g2d.task import Classification, MultiLabel, Regression, Task, task_from_config


def measured(task: Task, logits: Tensor, target: Tensor, *, rows: int = 100) -> dict[str, float]:
    """Return the metrics of a task after batches of at most ``rows`` rows."""
    metrics = task.metrics()
    for start in range(0, len(target), rows):
        metrics.update(logits[start : start + rows], target[start : start + rows])
    return metrics.compute()


@pytest.mark.parametrize("name", ["loss", "confidence"])
def test_regression_refuses_targets_that_would_broadcast(name: str) -> None:
    with pytest.raises(
        ArgumentError,
        match=r"must have the shape of the logits, \(rows, outputs\) = \(4, 1\), found \(4,\)",
    ):
        getattr(Regression(), name)(torch.zeros(4, 1), torch.zeros(4))


def test_the_loss_of_a_regression_is_computed_after_the_sigmoid() -> None:
    logits, target = torch.full((3, 1), 2.0), torch.full((3, 1), 0.25)
    squared = (1 / (1 + math.exp(-2.0)) - 0.25) ** 2
    assert Regression().loss(logits, target).item() == pytest.approx(squared)
    assert Regression(output="identity").loss(logits, target).item() == pytest.approx(1.75**2)


def test_metrics_of_a_classification_by_hand() -> None:
    target = torch.tensor([0, 0, 1, 2, 3, 6])
    first = torch.tensor([0, 1, 1, 2, 6, 5])  # predicted class of each row
    logits = torch.nn.functional.one_hot(first, 7).float() * 10 - torch.arange(7) / 10
    values = measured(Classification(7), logits, target, rows=4)
    assert list(values) == ["accuracy", "macro_f1", "top5", "unweighted_average_recall"]
    assert values["accuracy"] == pytest.approx(3 / 6)
    assert values["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1 + 0 + 0 + 0) / 6)
    assert values["unweighted_average_recall"] == pytest.approx((1 / 2 + 1 + 1 + 0 + 0 + 0) / 6)
    assert values["top5"] == pytest.approx(5 / 6)  # class 3 is the fifth, class 6 the seventh
    assert "top5" not in measured(Classification(5), logits[:4, :5], target[:4])


def test_metrics_of_a_regression_are_in_the_original_unit() -> None:
    task = Regression(output="identity", low=0.0, high=20.0)
    values = measured(task, torch.tensor([[9 / 20], [22 / 20]]), torch.tensor([[0.5], [1.0]]))
    assert values["mape"] == pytest.approx(10.0, abs=1e-4)
    assert values["mae"] == pytest.approx(1.5, abs=1e-5)
    assert values["r2"] == pytest.approx(1 - 5 / 50, abs=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 10])
def test_metrics_do_not_depend_on_the_size_of_a_batch(rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(10, 6, generator=generator)
    classes = torch.randint(6, (10,), generator=generator)
    values = torch.rand(10, 6, generator=generator)
    for task, target in ((Classification(6), classes), (Regression(6), values)):
        whole = measured(task, logits, target)
        assert measured(task, logits, target, rows=rows) == pytest.approx(whole, rel=1e-6)


def test_a_logarithmic_scale_is_undone_by_the_prediction() -> None:
    task = Regression(output="identity", low=math.log(10), high=math.log(1000), log=True)
    torch.testing.assert_close(
        task.predict(torch.tensor([[0.5]])), torch.tensor([[100.0]]), rtol=1e-5, atol=1e-3
    )


def test_r2_of_logarithms_is_that_of_the_scaled_unit() -> None:
    task = Regression(output="identity", low=math.log(10), high=math.log(1000), log=True)
    prediction, target = torch.tensor([[0.0], [0.4], [1.0]]), torch.tensor([[0.1], [0.5], [0.9]])
    values = measured(task, prediction, target)
    assert values["r2_log"] == pytest.approx(1 - 0.03 / 0.32)
    assert values["r2"] != pytest.approx(values["r2_log"], abs=0.01)
    assert "r2_log" not in measured(Regression(output="identity"), prediction, target)


def test_mape_leaves_out_targets_of_zero() -> None:
    task = Regression(output="identity")
    values = measured(task, torch.tensor([[1.0], [5.0]]), torch.tensor([[2.0], [0.0]]))
    assert values["mape"] == pytest.approx(50.0)
    assert values["zero_targets"] == 1


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
        MultiLabel(["happy", "sad"]),
    ],
)
def test_a_task_is_rebuilt_from_its_config(task: Task) -> None:
    assert task_from_config(task.config()).config() == task.config()


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (Classification(10), "Classification(classes=10, weights=None)"),
        (Classification(["cat", "dog"]), "Classification(classes=['cat', 'dog'], weights=None)"),
        (MultiLabel(10), "MultiLabel(labels=10)"),
        (
            Regression(2, low=[0.0, 1.0], log=True),
            "Regression(\n  outputs=2,\n  output='sigmoid',\n  low=[0.0, 1.0],\n  high=1.0,\n"
            "  log=True,\n  variance=1.0,\n)",
        ),
    ],
)
def test_repr_is_the_call_that_builds_the_task(task: Task, text: str) -> None:
    assert repr(task) == text
    assert eval(text).config() == task.config()


def test_repr_of_many_classes_is_short() -> None:
    many = Classification([f"class {i}" for i in range(500)])
    assert repr(many) == "Classification(classes=list(500 entries), weights=None)"


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Classification(1), "classes must be two or more, found 1"),
        (lambda: MultiLabel([]), "labels must be one or more, found none"),
        (lambda: MultiLabel(["a", "a"]), "labels must have different names, found 'a' twice"),
        (lambda: Regression(0), "outputs must be one or more, found 0"),
        (lambda: Regression(variance=0.0), "variance of the training targets must be positive"),
        (
            lambda: Regression(output="sigmod"),
            r"output must be one of sigmoid, identity, found 'sigmod'\. Did you mean 'sigmoid'\?",
        ),
        (
            lambda: Regression(3, low=0.0, high=[1.0, 2.0]),
            "high must be one number, or one for each of the 3 outputs, found 2",
        ),
    ],
)
def test_invalid_arguments_are_refused(build: Callable[[], Task], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        build()


def test_every_output_has_its_own_scale_and_counts_the_same_in_r2() -> None:
    task = Regression(2, output="identity", low=[0.0, -1e8], high=[1.0, 1e8], variance=[0.1, 0.2])
    target = torch.tensor([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    assert task.predict(target).tolist() == [[0.0, -1e8], [0.5, 0.0], [1.0, 1e8]]
    logits = target.clone()
    logits[:, 0] = 0.5  # no better than the mean, for an output a hundred million times smaller
    assert measured(task, logits, target)["r2"] == pytest.approx((0 + 1) / 2)
    error = torch.tensor([[0.5, 0.0]])
    expected = (math.exp(-0.25 / 0.1) + 1) / 2
    assert float(task.confidence(error, torch.zeros(1, 2))) == pytest.approx(expected)


def test_r2_of_a_single_row_is_not_defined() -> None:
    task = Regression(1, output="identity")
    assert math.isnan(measured(task, torch.tensor([[0.3]]), torch.tensor([[0.4]]))["r2"])


def test_a_target_of_zero_stays_zero_after_scaling() -> None:
    task = Regression(1, output="identity", low=0.3, high=97.0)
    value = torch.tensor([[0.0], [0.3], [50.0]])
    scaled = ((value.double() - 0.3) / (97.0 - 0.3)).float()
    values = measured(task, scaled, scaled)
    assert (values["zero_targets"], round(values["mape"], 3)) == (1, 0.0)


def test_a_task_of_several_labels_by_hand() -> None:
    task = MultiLabel(["happy", "sad"])
    logits = torch.tensor([[2.0, -1.0], [0.0, 3.0], [-0.5, -2.0]])
    target = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    p = [[1 / (1 + math.exp(-z)) for z in row] for row in logits.tolist()]
    true = [
        [v if y else 1 - v for v, y in zip(*rows, strict=True)]
        for rows in zip(p, target, strict=True)
    ]
    per_row = [-(math.log(a) + math.log(b)) / 2 for a, b in true]
    assert task.loss_per_row(logits, target).tolist() == pytest.approx(per_row)
    assert task.negative_log_likelihood(logits, target).item() == pytest.approx(2 * sum(per_row))
    assert task.confidence(logits, target.bool()).tolist() == pytest.approx(
        [(a + b) / 2 for a, b in true]
    )
    assert task.answers(logits) == [("happy",), ("sad",), ()]
    torch.testing.assert_close(task.probabilities(logits), torch.tensor(p))
    torch.testing.assert_close(task.logits_of(task.probabilities(logits)), logits)
    whole, parts = measured(task, logits, target), measured(task, logits, target.bool(), rows=2)
    assert whole == parts
    assert whole["subset_accuracy"] == pytest.approx(1 / 3)
    assert whole["micro_f1"] == pytest.approx(4 / 6)
    assert whole["macro_f1"] == pytest.approx((2 / 4 + 1) / 2)
    assert task.metrics().compute()["micro_f1"] == 0.0


def test_distillation_of_several_labels_is_that_of_two_classes_each() -> None:
    """A label with logit l is a classification with logits l and 0."""
    g = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 3, generator=g, requires_grad=True) for _ in range(2))
    present = torch.tensor([True, True, False, True, False])
    task, two = MultiLabel(3), Classification(2)
    for temperature in (1.0, 3.0):
        loss = task.distillation(student, teacher, temperature=temperature, present=present)
        each = [
            two.distillation(
                *(torch.stack([z[:, c], torch.zeros(5)], 1) for z in (student, teacher)),
                temperature=temperature,
                present=present,
            )
            for c in range(3)
        ]
        torch.testing.assert_close(loss, sum(each, torch.zeros(())) / 3)
    loss.backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad[~present].eq(0).all()
    far = task.distillation(
        torch.tensor([[200.0, -200.0, 0.0]]), torch.tensor([[-200.0, 200.0, 0.0]])
    )
    assert torch.isfinite(far)


def test_regression_has_no_probabilities() -> None:
    for ask in (Regression().probabilities, Regression().logits_of):
        with pytest.raises(ArgumentError, match="probabilities must belong to classes or labels"):
            ask(torch.zeros(1, 1))
