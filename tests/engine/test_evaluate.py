"""Evaluation: exact for every batch size, over the rows that have a modality."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from g2d.data import Source
from g2d.data.views import read_chain
from g2d.engine.evaluate import Evaluation, evaluate
from g2d.engine.fit import fit
from g2d.engine.options import TrainOptions
from g2d.errors import DataError
from g2d.fusion import Late
from g2d.methods import Joint
from g2d.model import MultimodalModel
from g2d.task import Regression
from g2d.types import Batch

HAVE = torch.arange(89) % 3 != 0
"""Rows of the toy problem that have the modality b."""


class Lacking(Source):
    """Source of which some rows lack b."""

    have = HAVE

    def gather(self, indices: Any) -> Batch:
        batch = super().gather(indices)
        assert batch.index is not None
        return Batch(batch.inputs, batch.target, batch.index, {"b": self.have[batch.index]})


def lacking(problem: Any, have: torch.Tensor = HAVE) -> Lacking:
    whole = problem.source()
    names = ("name", "task", "arrays", "target", "group", "split", "protocol", "views", "facts")
    source = Lacking(**{name: getattr(whole, name) for name in names})
    source.have = have
    return source


def trained(problem: Any) -> tuple[Any, Any]:
    _, model, method = problem.fit(epochs=2)
    return model, method


@pytest.mark.parametrize("batch_size", [1, 2, 8, 20, 21, 64])
def test_metrics_are_those_of_all_rows_at_once(toy: Any, batch_size: int) -> None:
    problem = toy()
    model, method = trained(problem)
    source = problem.source()
    rows = source.rows("test")
    target = torch.from_numpy(source.target[rows])
    with torch.no_grad():
        output = model.eval()(
            {m: torch.from_numpy(source.arrays[m][rows]) for m in source.modalities}, unimodal=True
        )
    result = evaluate(method, model, source, "test", batch_size=batch_size)
    for logits, loss, metrics, confidence in (
        (output.logits, result.loss, result.fused, result.confidence),
        *(
            (
                output.unimodal_logits[m],
                result.unimodal_loss[m],
                result.unimodal[m],
                result.unimodal_confidence[m],
            )
            for m in source.modalities
        ),
    ):
        guess = logits.argmax(1)
        recalls = [(guess[target == c] == c).float().mean().item() for c in range(3)]
        precisions = [
            (target[guess == c] == c).float().mean().nan_to_num().item() for c in range(3)
        ]
        f1 = [
            2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precisions, recalls, strict=True)
        ]
        assert loss == pytest.approx(F.cross_entropy(logits.double(), target).item(), rel=1e-6)
        assert metrics["accuracy"] == pytest.approx((guess == target).float().mean().item())
        assert metrics["unweighted_average_recall"] == pytest.approx(sum(recalls) / 3)
        assert metrics["macro_f1"] == pytest.approx(sum(f1) / 3)
        assert confidence == pytest.approx(
            logits.double().softmax(1)[torch.arange(21), target].mean().item(), rel=1e-6
        )
    assert (result.rows, result.index) == (21, None)


def test_regression_metrics_are_exact_and_in_the_original_unit(toy: Any) -> None:
    value = np.linspace(0.1, 0.9, 89, dtype=np.float32)[:, None]
    problem = toy(
        changed={"target": value, "task": Regression(1, low=10.0, high=30.0, variance=0.05)}
    )
    torch.manual_seed(0)
    model = MultimodalModel(
        {m: problem.encoder(m) for m in ("a", "b")}, Late({"a": 5, "b": 5}, 1)
    ).eval()
    source = problem.source()
    method = Joint().build(model, source.task)
    rows = source.rows("test")
    with torch.no_grad():
        output = model({m: torch.from_numpy(source.arrays[m][rows]) for m in source.modalities})
    predicted, truth = (
        10 + 20 * torch.sigmoid(output.logits.double()),
        10 + 20 * torch.from_numpy(value[rows]).double(),
    )
    result = evaluate(method, model, source, "test", batch_size=4)
    assert result.score == pytest.approx(
        (1 - (predicted - truth).square().sum() / (truth - truth.mean()).square().sum()).item(),
        rel=1e-4,
    )
    assert result.fused["mae"] == pytest.approx((predicted - truth).abs().mean().item(), rel=1e-5)
    assert result.fused["mape"] == pytest.approx(
        (100 * (predicted - truth).abs() / truth).mean().item(), rel=1e-5
    )


def test_kept_rows_are_in_the_order_of_the_split(toy: Any) -> None:
    problem = toy()
    model, method = trained(problem)
    source = problem.source()
    result = evaluate(method, model, source, "test", batch_size=8, keep_rows=True)
    assert result.index is not None
    assert result.target is not None
    assert result.logits is not None
    assert result.unimodal_logits is not None
    assert result.index.tolist() == source.rows("test").tolist()
    assert result.target.tolist() == source.target[source.rows("test")].tolist()
    torch.testing.assert_close(sum(result.unimodal_logits.values()) / 2, result.logits)
    assert (result.logits.argmax(1) == result.target).float().mean().item() == pytest.approx(
        result.score
    )


def test_rows_that_lack_a_modality_do_not_count_for_it(toy: Any) -> None:
    problem = toy()
    model, method = trained(problem)
    source = lacking(problem)
    rows = torch.from_numpy(source.rows("test"))
    result = evaluate(method, model, source, "test", batch_size=8, keep_rows=True)
    whole = evaluate(method, model, problem.source(), "test", keep_rows=True)
    assert whole.unimodal_logits is not None
    assert whole.target is not None
    have = HAVE[rows]
    right = (whole.unimodal_logits["b"].argmax(1) == whole.target)[have].float().mean().item()
    assert result.unimodal["b"]["accuracy"] == pytest.approx(right)
    assert result.unimodal["a"] == whole.unimodal["a"]
    assert result.rows == 21


def test_a_modality_that_no_row_has_gives_no_metrics_and_no_error(toy: Any) -> None:
    problem = toy()
    model, method = trained(problem)
    result = evaluate(method, model, lacking(problem, torch.zeros(89, dtype=torch.bool)), "test")
    assert result.unimodal.get("b", {}) == {}
    validation = result.to_validation()
    assert validation.unimodal_score["a"] == result.unimodal["a"]["accuracy"]
    assert all(
        math.isnan(value)
        for table in (validation.unimodal_score, validation.unimodal_loss)
        for m, value in table.items()
        if m == "b"
    )


def test_a_run_whose_rows_lack_a_modality_trains_and_resumes(toy: Any) -> None:
    problem = toy()
    model = problem.model()
    fitted = fit(
        problem.method(model, "g2d", tau=(1, 1)),
        model,
        lacking(problem),
        TrainOptions(epochs=2, batch_size=10),
    )
    assert all(
        math.isfinite(value) for record in fitted.history for value in record["train"].values()
    )


def test_evaluation_changes_neither_the_model_nor_the_random_state(toy: Any) -> None:
    problem = toy(dropout=0.5)
    model, method = trained(problem)
    model.train()
    model.encoders["a"].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    first, second = (evaluate(method, model, problem.source(), "test") for _ in range(2))
    assert first.fused == second.fused
    assert (model.training, model.encoders["a"].training, model.encoders["b"].training) == (
        True,
        False,
        True,
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


def test_a_split_without_rows_is_refused(toy: Any) -> None:
    problem = toy(changed={"split": np.repeat(np.array([0, 1, -1], np.int8), (48, 20, 21))})
    model, method = trained(problem)
    with pytest.raises(
        DataError, match="the test split of toy must have rows to evaluate, found none"
    ):
        evaluate(method, model, problem.source(), "test")


def test_the_score_is_the_headline_metric() -> None:
    evaluation = Evaluation("r2", 1.0, {"r2": 0.5, "mae": 2.0}, {}, {}, 0.1, {}, 3)
    assert evaluation.score == evaluation.to_validation().score == 0.5


def test_several_windows_of_a_recording_are_averaged(toy: Any) -> None:
    long = np.random.default_rng(1).standard_normal((89, 14)).astype(np.float32)
    narrow = toy().source()
    chain = read_chain("a", [{"name": "window", "samples": 6}])
    problem = toy(
        changed={
            "arrays": {"a": long, "b": narrow.arrays["b"]},
            "views": {"a": chain, "b": narrow.views["b"]},
        }
    )
    model, method = trained(problem)
    source = problem.source()
    rows = source.rows("test")
    b = torch.from_numpy(narrow.arrays["b"][rows])
    for windows, starts in ((1, (4,)), (2, (2, 6)), (3, (1, 4, 6))):
        with torch.no_grad():
            looks = [
                model.eval()({"a": torch.from_numpy(long[rows, s : s + 6]), "b": b}, unimodal=True)
                for s in starts
            ]
        result = evaluate(method, model, source, "test", windows=windows, keep_rows=True)
        assert result.logits is not None
        assert result.unimodal_logits is not None
        torch.testing.assert_close(
            result.logits, torch.stack([look.logits for look in looks]).mean(0)
        )
        torch.testing.assert_close(
            result.unimodal_logits["a"],
            torch.stack([look.unimodal_logits["a"] for look in looks]).mean(0),
        )
    with pytest.raises(DataError, match="2 windows"):
        evaluate(method, model, toy().source(), "test", windows=2)
