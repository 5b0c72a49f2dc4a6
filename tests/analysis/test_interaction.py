"""Share of the interaction of modalities, on functions with a known answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from g2d import analysis
from g2d.analysis import Interaction, Interval, Pool
from g2d.fusion import FUSIONS, build_fusion
from g2d.model import MultimodalModel, example_features, without_rows
from g2d.types import Batch, Encoded
from support.workbench import Bench


def pool(function: Callable[..., Tensor], target: Tensor, *inputs: Tensor) -> Pool:
    """Return rows whose logits are a function of the inputs of modalities a, b, c."""
    named = dict(zip("abc", inputs, strict=False))
    has = dict.fromkeys(named, torch.ones(len(target), dtype=torch.bool))
    blank = {m: torch.zeros_like(values) for m, values in named.items()}
    return Pool(
        lambda batch: function(*batch.inputs.values()),
        named,
        blank,
        has,
        target,
        np.arange(len(target)),
    )


@pytest.mark.parametrize(
    ("function", "share"),
    [
        (lambda a, b, c: a + 2 * b - c + 5, 0.0),
        (lambda a, b, c: a * b, 1.0),
        (lambda a, b, c: a * b * c, 1.0),
        (lambda a, b, c: a + b + a * b + 9, 1 / 3),
        (lambda a, b, c: 2 * a + b * c, 1 / 5),
    ],
)
def test_the_share_is_that_of_the_products_in_a_polynomial_of_signs(
    function: Callable[..., Tensor], share: float
) -> None:
    signs = torch.tensor(list(product((-1.0, 1.0), repeat=3))).repeat(50, 1)
    columns = [column[:, None] for column in signs.T]
    values = pool(function, torch.zeros(400, 1), *columns)
    # All 400 rows are partners, so that the expectations are exact.
    exact = analysis.interaction_share(values, partners=400)
    assert exact.share.value == pytest.approx(share, abs=1e-9)
    assert exact.additive == (share == 0)
    assert exact.rows == 400
    some = analysis.interaction_share(values)
    assert some.share.value == pytest.approx(share, abs=0.05)
    assert some.alarm == (share > 0)


def test_a_mean_over_classes_is_no_part_of_class_logits_but_one_of_values() -> None:
    a, b = (torch.randn(200, 1, generator=torch.Generator().manual_seed(s)) for s in (0, 1))

    def logits(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a + a * b, b + a * b], dim=1)

    classes, values = torch.zeros(200, dtype=torch.int64), torch.zeros(200, 2)
    assert analysis.interaction_share(pool(logits, classes, a, b)).additive
    assert analysis.interaction_share(pool(logits, values, a, b)).alarm


def test_an_alarm_needs_a_large_share_that_is_certain() -> None:
    assert Interaction(Interval(0.3, 0.2, 0.4), 100).state == "found"
    assert Interaction(Interval(0.09, 0.08, 0.1), 100).state == "not found"
    unsure = Interaction(Interval(0.3, 0.05, 0.8), 10)
    assert unsure.z == pytest.approx(0.3 / (0.75 / 3.92), rel=1e-3)
    assert unsure.state == "not found"
    assert "could not learn is not seen" in str(unsure)
    assert "must be read together: 30.0 % [20.0, 40.0]" in str(
        Interaction(Interval(0.3, 0.2, 0.4), 9)
    )
    constant = analysis.interaction_share(
        pool(lambda a: torch.ones_like(a), torch.zeros(9, 1), torch.randn(9, 1))
    )
    assert constant.state == "not tested"
    assert "not tested" in str(constant)


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("name", FUSIONS)
def test_kept_features_predict_as_the_whole_model_does(name: str, absent: bool) -> None:
    bench = Bench("joint", k=3, absent=absent)
    batches = list(bench.rows())
    encoders = {m: bench.encoder(m, 0) for m in bench.modalities}
    fusion = build_fusion(name, example_features(encoders, batches[0].inputs), 3)
    model = MultimodalModel(encoders, fusion).train()
    means = analysis.feature_means(model, batches)
    kept = analysis.feature_pool(model, batches, means)
    n = len(kept)

    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    picked = {**kept.own, "sight": order}
    inputs = {m: batches[0].inputs[m] for m in bench.modalities}
    whole = {
        m: torch.cat([batch.inputs[m].values for batch in batches])
        if hasattr(inputs[m], "mask")
        else torch.cat([batch.inputs[m] for batch in batches])
        for m in inputs
    }
    mask = torch.cat([batch.inputs["word"].mask for batch in batches])
    has = {m: torch.cat([batch.has(m) for batch in batches])[picked[m]] for m in inputs}
    swapped = Batch(
        {
            "sight": whole["sight"][order],
            "sound": whole["sound"],
            "word": type(inputs["word"])(whole["word"], mask),
        },
        kept.target,
        present=has if absent else None,
    )
    model.eval()
    with torch.no_grad():
        expected = model(swapped.inputs, present=swapped.present).logits
    torch.testing.assert_close(kept.logits(picked), expected)

    with torch.no_grad():
        encoded = model.encode(swapped.inputs)
        tokens = encoded["word"].tokens
        encoded["word"] = Encoded(
            means["word"].expand_as(encoded["word"].pooled),
            torch.zeros_like(tokens),
            torch.zeros(tokens.shape[:2], dtype=torch.bool),
        )
        for m in ("sight", "sound", "word"):
            encoded[m] = without_rows(encoded[m], has[m])
        without_word = model.fusion(encoded)[0]
    torch.testing.assert_close(kept.logits(picked, without={"word"}), without_word)
    assert analysis.interaction_share(kept).additive == fusion.additive
    assert all(model.encoders[m] is encoders[m] for m in encoders)
