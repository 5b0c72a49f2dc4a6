"""Every method trains on several labels per row, or refuses them in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import g2d
from g2d import analysis
from g2d.errors import UnsupportedError
from g2d.methods import METHODS
from g2d.task import MultiLabel
from support.workbench import CLASSES, Bench, predicted

REFUSING = {"dlmg", "mis_me", "mla", "pmr", "reconboost"}
"""Methods whose formulas have a softmax or class means in them, or are defined for values alone."""


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_several_labels_or_refuses_them(name: str) -> None:
    bench = Bench(name, k=3, several=True, absent=True, batchnorm=True)
    if name in REFUSING:
        with pytest.raises(UnsupportedError, match=r"task of \w+ must be .*, found multilabel\.$"):
            bench.method(bench.model())
        return
    model, method, records = bench.train(optimizer="adamw")
    assert all(
        value == value and abs(value) < 1e6 for record in records for value in record.values()
    )
    batch = next(bench.rows("valid"))
    output = predicted(method, model, batch)
    assert output.logits.shape == (len(batch), CLASSES)
    assert output.unimodal_logits is not None
    assert all(z.shape == output.logits.shape for z in output.unimodal_logits.values())
    if METHODS[name].trains:
        start = bench.task.loss(predicted(method, bench.model(), batch).logits, batch.target)
        assert bench.task.loss(output.logits, batch.target) < start
        # A target that is no matrix of states is refused before it can broadcast.
        wrong = replace(batch, target=batch.target[:, 0].long())
        with pytest.raises(ValueError, match="target must hold 0 or 1 per label"):
            method.training_step(bench.state(method, model), wrong)


def test_an_ensemble_averages_the_probabilities_of_every_label() -> None:
    bench = Bench("ume", k=2, several=True, options={"combine": "probabilities"})
    model, method, _ = bench.train()
    output = predicted(method, model, next(bench.rows("valid")))
    assert output.unimodal_logits is not None
    mean = torch.stack([z.sigmoid() for z in output.unimodal_logits.values()]).mean(0)
    torch.testing.assert_close(output.logits.sigmoid(), mean, rtol=1e-5, atol=1e-6)


def test_a_dynamic_rate_takes_the_scores_of_several_labels() -> None:
    bench = Bench("mslr", several=True, options={"strategy": "dynamic", "queue": 1})
    assert len(bench.train()[2]) == 8


def planted(bits: torch.Tensor) -> tuple[Any, Any]:
    """Return a model whose labels show in one modality each, and its rows."""
    inputs = {"image": bits[:, :1] * 4.0 - 2, "tone": bits[:, 1:] * 4.0 - 2}

    def logits(x: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([x["image"], x["tone"]], 1)

    return logits, (inputs, bits.bool())


def test_a_diagnosis_scores_rows_by_all_their_labels() -> None:
    """Of two independent labels, without the image half of the rows are still right."""
    bits = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(60, 1)
    model, rows = planted(bits)
    measures = g2d.diagnose(model, [rows])
    assert measures.metric == "subset accuracy"
    assert (measures.score.value, measures.chance) == (1.0, 0.25)
    use = measures.modalities["image"]
    assert (use.lost.value, use.alone.value) == (0.5, 0.5)
    assert use.follow is not None
    # Rows of other labels differ in the image, in the tone, or in both.
    assert use.follow.own.value == pytest.approx(1 / 3, abs=0.05)
    assert use.follow.rest.value == pytest.approx(1 / 3, abs=0.05)
    assert measures.error_table is not None
    assert (measures.error_table.oracle.value, measures.error_table.rescue.value) == (0.75, 0.25)
    assert measures.error_table.loss.value == 0.0
    floats = g2d.diagnose(model, [(rows[0], rows[1].float())], task=MultiLabel(2))
    assert str(floats) == str(measures)


def test_figures_of_several_labels_are_as_written_out() -> None:
    g = torch.Generator().manual_seed(0)
    target = torch.rand(300, 3, generator=g) < torch.tensor([0.5, 0.2, 0.8])
    signal = torch.where(target, 2.0, -2.0) + torch.randn(300, 3, generator=g)
    noise = torch.randn(300, 3, generator=g)
    z, task = {"signal": signal, "noise": noise}, MultiLabel(3)
    has = dict.fromkeys(z, torch.ones(300, dtype=torch.bool))
    rows = analysis.Rows((signal + noise) / 2, z, z, target, has, torch.arange(300).numpy())
    figures = analysis.diagnose(rows, task)
    assert figures.fused.value == pytest.approx(
        ((rows.logits > 0) == target).all(1).double().mean()
    )
    assert figures.chance == pytest.approx(target.unique(dim=0, return_counts=True)[1].max() / 300)
    signed = {m: torch.where(target, v - v.mean(0), v.mean(0) - v).mean() / 2 for m, v in z.items()}
    assert {m: one.shapley for m, one in figures.modalities.items()} == pytest.approx(
        {m: value.item() for m, value in signed.items()}, abs=1e-5
    )
    recalls = analysis.per_class(rows, task)["signal"]
    assert recalls == pytest.approx(
        [(signal[target[:, c], c] > 0).float().mean().item() for c in range(3)]
    )
    sure = torch.tensor([[9.0, -9.0, 9.0, -9.0]])
    curve = analysis.reliability(sure, torch.tensor([[True, False, True, True]]), MultiLabel(4))
    assert curve.accuracy == [0.75]
    assert curve.error == pytest.approx(0.25, abs=1e-3)
    scores = analysis.linear_probe(rows, rows, task)
    assert scores["signal"] > 0.8 > scores["noise"]
    weighted = analysis.reweighed(rows, rows, task)
    assert weighted.weights["signal"] > 1 > weighted.weights["noise"]
    assert weighted.after > figures.fused.value
