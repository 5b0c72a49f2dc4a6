"""AGM computes what the code of G²D's first author computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from g2d.functional.shapley import modulation_coefficients
from g2d.fusion import Concat
from g2d.methods import AGM
from support.golden import TOLERANCE, Different, Equal, Golden, Replay, check, replay

RELEASED = {"coalitions": "eval", "after_window": "keep", "clip": 1.0}
"""Options that make AGM the released code."""
FILES = ("agm_concat", "agm_concat_clipped", "agm_concat_batchnorm", "agm_concat_after_window")


def steps(golden: Golden, **options: Any) -> Replay:
    hyper = golden.hyper
    window = (int(hyper["first_epoch"]), int(hyper["last_epoch"]))
    model = golden.model(Concat)
    method = AGM(alpha=hyper["alpha"], cap=hyper["cap"], window=window, **options)
    return replay(golden, model, method.build(model, golden.task).double(), first_epoch=1)


@pytest.mark.parametrize("name", FILES)
def test_agm_with_the_switches_to_the_release_equals_it(name: str) -> None:
    check(steps(Golden(name), **RELEASED), Equal())


@pytest.mark.parametrize("name", ["agm_concat", "agm_concat_clipped"])
def test_without_batchnorm_reused_features_equal_the_release(name: str) -> None:
    check(steps(Golden(name), clip=1.0), Equal())


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "agm_concat_clipped",
            {"clip": None},
            Different(
                "agm",
                "Here nothing is clipped unless `clip` is set",
                loss=1e1,
                coefficient=1,
                after=2,
            ),
        ),
        (
            "agm_concat_batchnorm",
            {"coalitions": "reuse"},
            Different(
                "agm",
                "a coefficient can then be on the other side of 1",
                loss=5e-1,
                coefficient=6e-1,
                after=6e-2,
            ),
        ),
        (
            "agm_concat_after_window",
            {"after_window": "one"},
            Different(
                "agm",
                "their code applies the last coefficients to the rest of the run",
                loss=5,
                coefficient=1e-1,
                after=5e-1,
            ),
        ),
    ],
)
def test_the_defaults_differ_from_the_release_as_the_card_says(
    name: str, options: Mapping[str, Any], expected: Different
) -> None:
    check(steps(Golden(name), **RELEASED | options), expected)


def test_the_coefficients_of_three_modalities_equal_the_release() -> None:
    golden = Golden("agm_three_coefficients")
    columns = ("audio", "visual", "text")
    current, running = (golden.arrays[key].tolist() for key in ("share_loss", "running_share_loss"))
    ours = [
        modulation_coefficients(
            dict(zip(columns, now, strict=True)),
            dict(zip(columns, before, strict=True)),
            alpha=golden.hyper["alpha"],
            cap=golden.hyper["cap"],
        )
        for now, before in zip(current, running, strict=True)
    ]
    theirs = torch.from_numpy(golden.arrays["coefficient"])
    values = torch.tensor([list(c.values()) for c in ours], dtype=torch.float64)
    torch.testing.assert_close(values, theirs, rtol=TOLERANCE, atol=0)
    assert (theirs == theirs.max()).sum() == 39, "the cap acts"
