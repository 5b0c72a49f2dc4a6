"""ReconBoost computes what its authors' code computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from g2d.fusion import Late
from g2d.methods import ReconBoost
from support.golden import Different, Equal, Golden, Replay, check, entry, of_module, replay

LOSSES = {
    "loss/residual": lambda record: sum(
        value for key, value in record.items() if key.startswith("loss/residual/")
    ),
    "loss/task": entry("loss/task"),
}


def steps(golden: Golden, **options: Any) -> Replay:
    hyper = golden.hyper
    model = golden.model(Late)
    method = ReconBoost(
        phases=(1, 1),
        weights=(hyper["weight_1"], hyper["weight_2"]),
        hidden=len(golden.initial["head.0.bias"]),
        pretrained=bool(hyper["pretrained"]),
        **options,
    )
    method = method.build(model, golden.task).double()
    named = of_module("head", method.head) | {"boost": (method.boost,)}
    return replay(golden, model, method, named=named)


@pytest.mark.parametrize("name", ["reconboost_scratch", "reconboost_pretrained"])
def test_reconboost_without_its_second_term_equals_the_release(name: str) -> None:
    check(steps(Golden(name), alpha=0), Equal(), losses=LOSSES)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "reconboost_scratch",
            {"alpha": 0, "members": "all"},
            Different(
                "reconboost",
                "`members: all` sums all modalities from the first stage on",
                loss=2e-1,
                after=6e-2,
            ),
        ),
        (
            "reconboost_pretrained",
            {"alpha": 0.5},
            Different(
                "reconboost",
                "both sides of the second term are constants, so that it has no effect",
                loss=3e-3,
                after=8e-4,
            ),
        ),
    ],
)
def test_reconboost_differs_from_the_release_as_its_card_says(
    name: str, options: Mapping[str, Any], expected: Different
) -> None:
    check(steps(Golden(name), **options), expected, losses=LOSSES)
