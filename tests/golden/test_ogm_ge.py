"""OGM and OGM-GE compute what their authors' code computes."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from g2d.functional import gradient_noise
from g2d.fusion import Concat, Fusion, Sum
from g2d.methods import ogm_ge
from g2d.methods.ogm_ge import OGMGE
from support.golden import TOLERANCE, Different, Equal, Golden, Replay, check, replay

FUSIONS: dict[str, type[Fusion]] = {
    "ogm_concat": Concat,
    "ogm_sum": Sum,
    "ogm_ge_concat": Concat,
    "ogm_ge_sum": Sum,
}
WHOLE_ENCODERS = "The released code modulates parameters with four dimensions only"


def steps(golden: Golden, scope: Literal["all", "conv_only"]) -> Replay:
    model = golden.model(FUSIONS[golden.name])
    first, last = (int(golden.hyper[key]) + 1 for key in ("first_epoch", "last_epoch"))
    method = OGMGE(
        alpha=golden.hyper["alpha"],
        noise=bool(golden.hyper["noise"]),
        window=(first, last),
        scope=scope,
    )
    return replay(golden, model, method.build(model, golden.task).double())


@pytest.mark.parametrize("name", ["ogm_concat", "ogm_sum"])
def test_ogm_on_convolutions_equals_the_release(name: str) -> None:
    check(steps(Golden(name), "conv_only"), Equal())


@pytest.mark.parametrize("name", ["ogm_concat", "ogm_sum"])
def test_ogm_on_whole_encoders_differs_as_its_card_says(name: str) -> None:
    different = Different("ogm_ge", WHOLE_ENCODERS, loss=2e-1, coefficient=8e-2, after=1e-1)
    check(steps(Golden(name), "all"), different)


@pytest.mark.parametrize("name", ["ogm_ge_concat", "ogm_ge_sum"])
def test_ogm_ge_with_the_recorded_noise_equals_the_release(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = Golden(name)
    draws, scales = golden.below("noise"), golden.below("noise_scale")
    inside = [i for i, noise in enumerate(next(iter(draws.values()))) if not noise.isnan().any()]
    recorded = iter([(draws[key][i], scales[key][i].item()) for i in inside for key in draws])

    def noise(gradient: Tensor, generator: torch.Generator) -> Tensor:
        draw, scale = next(recorded)
        # A draw of ours has the recorded standard deviation: the same seed gives it times sigma.
        ours = gradient_noise(gradient, torch.Generator().manual_seed(1))
        plain = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(1))
        assert (ours - plain.to(gradient) * scale).abs().max().item() <= TOLERANCE
        return draw

    monkeypatch.setattr(ogm_ge, "gradient_noise", noise)
    check(steps(golden, "conv_only"), Equal())
    assert next(recorded, None) is None, "every recorded draw is used"
