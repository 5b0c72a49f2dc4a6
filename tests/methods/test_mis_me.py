"""MIS-ME: its three approaches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from g2d.errors import ArgumentError
from g2d.fusion import Late
from g2d.methods import MISME
from g2d.model import MultimodalModel
from g2d.task import Regression
from support.workbench import Bench, equal, predicted


def trained(**options: Any) -> tuple[Bench, Any, Any, list[dict[str, float]]]:
    """Return a bench, and its trained model, method and records."""
    bench = Bench("mis_me", regression=True, options=options)
    return bench, *bench.train()


def test_the_hybrid_loss_is_the_sum_of_the_joint_and_the_modalities_losses() -> None:
    bench = Bench(
        "mis_me", regression=True, options={"delta": 0.5, "gamma": {"sight": 2.0, "sound": 0.0}}
    )
    model = bench.model()
    method = bench.method(model)
    record = method.training_step(bench.state(method, model), next(bench.rows()))
    assert set(record) == {"loss/task", "loss/unimodal/sight"}
    assert all(parameter.grad is None for parameter in method.heads["sound"].parameters())


def test_with_weight_zero_the_heads_of_the_modalities_do_not_change() -> None:
    bench, _, method, _ = trained(gamma=0.0)
    start = bench.method(bench.model())
    assert equal(method.heads, start.heads)
    assert not equal(method.joint, start.joint)


def test_the_scalars_of_the_weighted_approach_act_twice() -> None:
    bench, model, method, _ = trained(approach="weighted")
    batch = next(bench.rows("valid"))
    output = predicted(method, model, batch)
    a = {m: method.scalars[m].item() for m in model.modalities}
    assert all(value != 1 for value in a.values())
    by_hand = {m: a[m] * method.heads[m](a[m] * output.features[m]) for m in model.modalities}
    torch.testing.assert_close(output.logits, sum(by_hand.values()))
    assert output.unimodal_logits is not None
    for m, z in output.unimodal_logits.items():
        torch.testing.assert_close(z, by_hand[m])


def test_the_unimodal_prediction_of_concat_uses_average_features_of_the_others() -> None:
    bench, model, method, _ = trained(approach="concat")
    batch = next(bench.rows("valid"))
    output = predicted(method, model, batch)
    assert output.unimodal_logits is not None
    shifted = method.joint(
        torch.cat(
            [
                method.normalize(torch.cat(tuple(output.features.values()), 1))[:, :6],
                torch.zeros(len(batch), 5),
            ],
            1,
        )
    )
    torch.testing.assert_close(output.unimodal_logits["sight"], shifted)


def test_wide_features_get_the_authors_image_head_and_narrow_ones_their_table_head() -> None:
    dims = {"image": 1280, "weather": 16}
    model = MultimodalModel({m: torch.nn.Linear(2, d) for m, d in dims.items()}, Late(dims, 1))
    method = MISME().build(model, Regression(1, output="identity"))
    widths = {
        m: [layer.out_features for layer in head.modules() if isinstance(layer, torch.nn.Linear)]
        for m, head in method.heads.items()
    }
    assert widths == {"image": [640, 320, 1], "weather": [1]}
    assert [layer.out_features for layer in method.joint if isinstance(layer, torch.nn.Linear)] == [
        256,
        128,
        1,
    ]
    assert [layer.p for layer in method.joint if isinstance(layer, torch.nn.Dropout)] == [0.3, 0.5]


def test_weights_that_do_not_name_every_modality_are_refused() -> None:
    with pytest.raises(
        ArgumentError,
        match=r"gamma must name every modality once \(sight, sound\), found sight",
    ):
        trained(gamma={"sight": 1.0})
