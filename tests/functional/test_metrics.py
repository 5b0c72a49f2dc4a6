from __future__ import annotations

import math

import pytest
import torch

from g2d.functional import metrics

CONFUSION = torch.tensor([[3, 1, 0, 0], [2, 2, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
"""Three classes that are true; the fourth is predicted once and never true."""


def test_the_confusion_matrix_counts_true_and_predicted_class() -> None:
    target = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2])
    predicted = torch.tensor([0, 0, 0, 1, 0, 0, 1, 1, 3])
    assert torch.equal(metrics.confusion_matrix(predicted, target, 4), CONFUSION)


def test_metrics_of_a_confusion_matrix_by_hand() -> None:
    assert metrics.accuracy(CONFUSION).item() == pytest.approx(5 / 9)
    recalls = (3 / 4, 2 / 4, 0, 0)
    assert metrics.unweighted_average_recall(CONFUSION).item() == pytest.approx(sum(recalls) / 4)
    f1 = (6 / 9, 4 / 7, 0, 0)
    assert metrics.macro_f1(CONFUSION).item() == pytest.approx(sum(f1) / 4)


def test_a_class_that_does_not_occur_does_not_count() -> None:
    wider = torch.zeros(6, 6, dtype=torch.int64)
    wider[:4, :4] = CONFUSION
    for metric in (metrics.accuracy, metrics.macro_f1, metrics.unweighted_average_recall):
        assert torch.equal(metric(wider), metric(CONFUSION))
        assert metric(torch.zeros(3, 3, dtype=torch.int64)).item() == 0


def r2(value: torch.Tensor, truth: torch.Tensor) -> float:
    sums = truth.sum(0), truth.square().sum(0), (truth - value).square().sum(0)
    return metrics.r2_score(len(truth), *sums).item()


def test_r2_is_one_minus_the_unexplained_share_averaged_over_outputs() -> None:
    truth = torch.tensor([[1.0, 4.0], [2.0, 2.0], [6.0, 0.0]])
    value = torch.tensor([[1.0, 3.0], [3.0, 2.0], [6.0, 1.0]])
    assert r2(value, truth) == pytest.approx(((1 - 1 / 14) + (1 - 2 / 8)) / 2)


@pytest.mark.parametrize(
    ("value", "truth", "expected"),
    [
        ([[5.0], [5.0]], [[5.0], [5.0]], 1.0),
        ([[4.0], [6.0]], [[5.0], [5.0]], 0.0),
        ([[5.0]], [[4.0]], math.nan),
        ([[math.nan], [5.0]], [[4.0], [6.0]], math.nan),
    ],
    ids=["exact", "constant-target", "one-row", "not-a-number"],
)
def test_r2_where_the_formula_is_not_defined(
    value: list[list[float]], truth: list[list[float]], expected: float
) -> None:
    assert r2(torch.tensor(value), torch.tensor(truth)) == pytest.approx(expected, nan_ok=True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:No positive class found")
@pytest.mark.parametrize("levels", [3, 10_000], ids=["many-ties", "few-ties"])
def test_metrics_of_several_labels_are_those_of_scikit_learn(levels: int) -> None:
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score

    g = torch.Generator().manual_seed(0)
    for shares in ([0.5, 0.1, 0.9], [0.3], [0.4, 0.0, 1.0, 0.2]):
        target = torch.rand(60, len(shares), generator=g) < torch.tensor(shares)
        scores = torch.randint(levels, target.shape, generator=g) / levels + target * 0.3
        predicted = (scores > 0.6) & (target.any(0) | (torch.tensor(shares) != 0))
        micro, macro = metrics.f1_of_labels(metrics.label_counts(predicted, target))
        y, p = target.numpy(), predicted.numpy()
        nan = {"zero_division": math.nan}
        if len(shares) == 1:  # scikit-learn takes one column for two classes
            assert micro.item() == macro.item() == pytest.approx(f1_score(y[:, 0], p[:, 0]))
        else:
            assert micro.item() == pytest.approx(f1_score(y, p, average="micro"))
            assert macro.item() == pytest.approx(f1_score(y, p, average="macro", **nan))
            right = (predicted == target).all(1).float().mean().item()
            assert right == pytest.approx(accuracy_score(y, p))
        known = target.any(0).numpy()
        expected = average_precision_score(y[:, known], scores.numpy()[:, known])
        assert metrics.mean_average_precision(scores, target).item() == pytest.approx(expected)


def test_metrics_of_labels_without_positives_are_defined() -> None:
    nothing = torch.zeros(4, 2, dtype=torch.bool)
    micro, macro = metrics.f1_of_labels(metrics.label_counts(nothing, nothing))
    assert (micro.item(), macro.item()) == (0.0, 0.0)
    assert math.isnan(metrics.mean_average_precision(torch.rand(4, 2), nothing).item())
