"""Every figure compared with an independent computation and with theory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from g2d import analysis
from g2d.errors import ArgumentError
from g2d.functional.shapley import coalitions
from g2d.fusion import CrossAttention
from g2d.model import MultimodalModel
from g2d.task import Classification
from g2d.types import Batch, Output, Sequence
from support.workbench import Bench


def rows_of(bench: Bench, model: MultimodalModel) -> analysis.Rows:
    model.eval()
    return analysis.collect(
        lambda batch: model(batch.inputs, present=batch.present, unimodal=True), bench.rows()
    )


@pytest.mark.parametrize("k", [2, 3])
def test_a_shapley_value_of_late_fusion_is_the_distance_of_a_head_from_its_mean(k: int) -> None:
    """Compare with W_m (f^m - mean f^m) / k of the true class."""
    bench = Bench("joint", k=k)
    model = bench.model()
    means = analysis.feature_means(model, bench.rows())
    values = analysis.coalition_values(
        analysis.feature_pool(model, bench.rows(), means), bench.task
    )
    shapley = analysis.shapley_values(
        {subset: value for subset, (value, _) in values.items()}, model.modalities
    )
    rows = rows_of(bench, model)
    for m in model.modalities:
        by_hand = ((rows.features[m] - means[m]) @ model.fusion.weight(m).T / k).gather(
            1, rows.target[:, None]
        )[:, 0]
        torch.testing.assert_close(shapley[m], by_hand, rtol=1e-4, atol=1e-5)


def test_shapley_values_add_up_and_do_not_depend_on_the_order_of_modalities() -> None:
    bench = Bench("joint", k=3)
    dims = {"sight": 6, "sound": 5, "word": 8}
    model = MultimodalModel({m: bench.encoder(m, 0) for m in dims}, CrossAttention(dims, 3))
    values = {
        s: v[0]
        for s, v in analysis.coalition_values(
            analysis.feature_pool(model, bench.rows(), analysis.feature_means(model, bench.rows())),
            bench.task,
        ).items()
    }
    assert set(values) == {frozenset(), *coalitions(model.modalities)}
    shapley = analysis.shapley_values(values, model.modalities)
    torch.testing.assert_close(
        sum(shapley.values()), values[frozenset(dims)] - values[frozenset()], rtol=1e-4, atol=1e-5
    )
    permuted = analysis.shapley_values(values, ("word", "sight", "sound"))
    for m in dims:
        torch.testing.assert_close(shapley[m], permuted[m])


def test_the_mean_feature_leaves_out_rows_that_lack_the_modality() -> None:
    bench = Bench("joint", k=3, absent=True)
    model = bench.model()
    rows = rows_of(bench, model)
    for m, mean in analysis.feature_means(model, bench.rows()).items():
        torch.testing.assert_close(
            mean, rows.features[m][rows.has[m]].mean(0), rtol=1e-4, atol=1e-6
        )


def test_unimodal_accuracy_and_its_interval_agree_with_scipys_bootstrap() -> None:
    bench = Bench("joint")
    model = bench.train()[0]
    rows = rows_of(bench, model)
    for m, accuracy in analysis.unimodal_accuracy(rows, bench.task).items():
        right = (rows.unimodal[m].argmax(1) == rows.target).numpy().astype(float)
        assert accuracy.value == pytest.approx(right.mean())
        expected = stats.bootstrap(
            (right,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
        ).confidence_interval
        assert (accuracy.low, accuracy.high) == (
            pytest.approx(expected.low, abs=0.03),
            pytest.approx(expected.high, abs=0.03),
        )


def test_the_confidence_ratio_and_its_interval_agree_with_an_independent_computation() -> None:
    bench = Bench("g2d")
    model = bench.train()[0]
    rows, teachers = rows_of(bench, model), bench.teachers()
    outputs = {
        m: analysis.collect(lambda b, m=m, t=t: t({m: b.inputs[m]}, unimodal=True), bench.rows())
        for m, t in teachers.models.items()
    }
    for m, ratio in analysis.confidence_ratio(rows, outputs, bench.task).items():
        own, other = (
            z.softmax(1).gather(1, rows.target[:, None])[:, 0].numpy()
            for z in (rows.unimodal[m], outputs[m].logits)
        )
        assert ratio.value == pytest.approx(own.mean() / other.mean(), rel=1e-5)
        options = {
            "paired": True,
            "n_resamples": 5000,
            "method": "percentile",
            "rng": np.random.default_rng(1),
        }
        drawn = stats.bootstrap(
            (own, other), lambda a, b, axis: a.mean(axis) / b.mean(axis), **options
        )
        assert ratio.low == pytest.approx(drawn.confidence_interval.low, abs=0.05)
        assert ratio.high == pytest.approx(drawn.confidence_interval.high, abs=0.05)


def test_rows_of_a_group_are_drawn_together() -> None:
    values = np.repeat([0.0, 1.0] * 10, 30)
    alone = analysis.bootstrap_mean(values, np.arange(600))
    together = analysis.bootstrap_mean(values, np.repeat(np.arange(20), 30))
    assert alone.value == together.value == 0.5
    assert together.high - together.low > 4 * (alone.high - alone.low)


def test_differences_are_paired_and_leave_out_rows_that_lack_a_modality() -> None:
    g = np.random.default_rng(0)
    first = g.random(300)
    second = first - 0.1
    second[::3] = np.nan
    difference = analysis.bootstrap_difference(first, second, np.arange(300))
    assert difference.value == pytest.approx(first.mean() - np.nanmean(second))
    exact = analysis.bootstrap_difference(first, first - 0.1, np.arange(300))
    assert exact.low == pytest.approx(exact.high) == pytest.approx(0.1)


def test_alignment_gap_and_projection() -> None:
    assert analysis.feature_alignment(torch.eye(4), 3 * torch.eye(4)) == pytest.approx(1.0)
    with pytest.raises(
        ArgumentError,
        match=r"features must have the shape of the teacher's, \(4, 3\), found \(4, 4\)",
    ):
        analysis.feature_alignment(torch.eye(4), torch.ones(4, 3))
    bench = Bench("joint", k=2)
    rows = rows_of(bench, bench.model())
    clouds = {m: torch.nn.functional.normalize(f, dim=1).mean(0) for m, f in rows.features.items()}
    padded = torch.cat([clouds["sound"], torch.zeros(1)])
    assert analysis.modality_gap(rows)["sight", "sound"] == pytest.approx(
        (clouds["sight"] - padded).norm().item(), rel=1e-5
    )
    for method in ("pca", "tsne"):
        first, again = analysis.projected(rows, method), analysis.projected(rows, method)
        assert {m: flat.shape for m, flat in first.items()} == {"sight": (48, 2), "sound": (48, 2)}
        assert all(np.array_equal(first[m], again[m]) for m in first)


def test_the_pull_of_a_loss_is_the_norm_of_its_gradient_and_sets_no_grad() -> None:
    bench = Bench("joint")
    model = bench.model()
    batch = next(bench.rows())
    pull = analysis.gradient_pull(model, [batch], bench.task)
    model.eval()
    bench.task.loss(model(batch.inputs).logits, batch.target).backward()
    for m, encoder in model.encoders.items():
        assert pull[m].norm == pytest.approx(
            torch.cat([p.grad.flatten() for p in encoder.parameters()]).norm().item(), rel=1e-5
        )
        assert -1 <= pull[m].agreement <= 1
    model.zero_grad()
    analysis.gradient_pull(model, [batch], bench.task)
    assert all(p.grad is None for p in model.parameters())


def planted(informative: float = 3.0) -> tuple[analysis.Rows, analysis.Rows]:
    """Return rows of two modalities, of which only ``signal`` depends on the class."""
    g = torch.Generator().manual_seed(0)
    halves = []
    for _ in range(2):
        target = torch.randint(3, (300,), generator=g)
        features = {
            "signal": informative * torch.eye(3)[target] + torch.randn(300, 3, generator=g),
            "noise": torch.randn(300, 4, generator=g),
        }
        unimodal = {"signal": features["signal"], "noise": 30 * torch.randn(300, 3, generator=g)}
        all_rows = torch.ones(300, dtype=torch.bool)
        halves.append(
            analysis.Rows(
                sum(unimodal.values()) / 2,
                unimodal,
                features,
                target,
                dict.fromkeys(features, all_rows),
                np.arange(300),
            )
        )
    return halves[0], halves[1]


def test_a_probe_reads_the_class_from_informative_features_alone() -> None:
    train, test = planted()
    score = analysis.linear_probe(train, test, Classification(3))
    assert score["signal"] > 0.8
    assert abs(score["noise"] - 1 / 3) < 0.1


def test_weighting_the_heads_silences_a_head_of_noise() -> None:
    valid, test = planted()
    result = analysis.reweighed(valid, test, Classification(3))
    assert result.weights["signal"] > 1 > 0.2 > result.weights["noise"]
    assert result.after > 0.8 > 0.5 > result.before
    broken = replace(valid, logits=valid.logits + torch.randn(300, 3))
    with pytest.raises(
        ArgumentError, match="unimodal logits must add up to the fused logits to be weighed"
    ):
        analysis.reweighed(broken, test, Classification(3))


def test_recall_by_class_and_reliability_are_as_written_out() -> None:
    rows, _ = planted()
    for m, recalls in analysis.per_class(rows, Classification(3)).items():
        guess = rows.unimodal[m].argmax(1)
        assert recalls == pytest.approx(
            [(guess[rows.target == c] == c).float().mean().item() for c in range(3)]
        )
    curve = analysis.reliability(rows.unimodal["noise"], rows.target, Classification(3))
    p, guess = rows.unimodal["noise"].softmax(1).max(1)
    expected = 0.0
    for b in range(10):
        inside = [i for i in range(300) if min(int(p[i] * 10), 9) == b]
        if inside:
            expected += (
                len(inside)
                / 300
                * abs(
                    np.mean([guess[i] == rows.target[i] for i in inside])
                    - np.mean([p[i] for i in inside])
                )
            )
    assert curve.error == pytest.approx(expected, abs=1e-5)


def test_corruption_of_level_zero_is_the_score_and_noise_is_reproducible() -> None:
    bench = Bench("joint", k=3)
    model = bench.train(range(1, 40))[0].eval()

    def predict(batch: object) -> object:
        return model(batch.inputs, unimodal=True)

    rows = rows_of(bench, model)
    scores = analysis.under_corruption(predict, bench.rows(), bench.task, "sound", (0.0, 8.0))
    assert scores[0.0] == pytest.approx(rows.hits(bench.task).mean())
    assert analysis.under_corruption(
        predict, bench.rows(), bench.task, "word", levels=(4.0,)
    ) == analysis.under_corruption(predict, bench.rows(), bench.task, "word", levels=(4.0,))
    with pytest.raises(
        ArgumentError, match="modality must be one of sight, sound, word, found 'smell'"
    ):
        analysis.under_corruption(predict, bench.rows(), bench.task, "smell")


def test_corrupted_tokens_are_other_tokens_and_padding_does_not_change() -> None:
    mask = torch.arange(40) < torch.arange(1, 41)[:, None]
    ids = torch.where(
        mask, torch.randint(2, 50, (40, 40), generator=torch.Generator().manual_seed(0)), 0
    )
    seen: dict[int, Sequence] = {}

    def predict(batch: Any) -> Output:
        seen[len(seen)] = batch.inputs["words"]
        return Output(
            {"words": torch.zeros(40, 1)}, torch.zeros(40, 2), {"words": torch.zeros(40, 2)}
        )

    batch = Batch(
        {"words": Sequence(ids, mask, 50)}, torch.zeros(40, dtype=torch.int64), torch.arange(40)
    )
    analysis.under_corruption(predict, [batch], Classification(2), "words", levels=(0.0, 1.0, 4.0))
    shares = [float((tokens.values != ids)[mask].float().mean()) for tokens in seen.values()]
    assert shares == pytest.approx([0.0, 0.5 * 0.98, 16 / 17 * 0.98], abs=0.06)
    for tokens in seen.values():
        assert (
            tokens.symbols,
            int(tokens.values.max()) < 50,
            int(tokens.values[~mask].abs().sum()),
        ) == (50, True, 0)


def test_a_method_with_its_own_heads_predicts_by_its_own_rule() -> None:
    """MLA never trains the fusion of its model."""
    bench = Bench("mla")
    model, method, _ = bench.train()
    method.eval()
    means = analysis.feature_means(model, bench.rows())
    pool = analysis.feature_pool(
        model,
        bench.rows(),
        means,
        predict=lambda batch: method.predict(model, batch.inputs, batch.present),
    )
    values = analysis.coalition_values(pool, bench.task)
    rows = list(bench.rows())
    with torch.no_grad():
        whole = torch.cat([method.predict(model.eval(), batch.inputs).logits for batch in rows])
    target = torch.cat([batch.target for batch in rows])
    torch.testing.assert_close(
        values[frozenset(model.modalities)][0], whole.gather(1, target[:, None])[:, 0]
    )
    assert not torch.allclose(
        values[frozenset({"sight"})][0], values[frozenset(model.modalities)][0]
    )
    empty = values[frozenset()][0]
    assert all(
        torch.allclose(empty[target == c], empty[target == c][0], atol=1e-5) for c in range(3)
    )  # no modality of the row is used


def test_kept_features_are_those_of_a_method_that_also_encodes_inputs_of_zeros() -> None:
    """AGM's unimodal logits compare a modality with an input of zeros; calibration weighs them."""
    bench = Bench("agm")
    model, method, _ = bench.train()
    method.eval().head_weights.copy_(torch.tensor([0.5, 2.0]))
    pool = analysis.feature_pool(
        model,
        bench.rows(),
        analysis.feature_means(model, bench.rows()),
        predict=lambda batch: method.predict(model, batch.inputs, batch.present),
    )
    with torch.no_grad():
        predicted = [method.predict(model.eval(), batch.inputs).logits for batch in bench.rows()]
    torch.testing.assert_close(pool.logits(pool.own), torch.cat(predicted))
