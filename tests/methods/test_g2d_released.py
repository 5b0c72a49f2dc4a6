"""G²D as released: the fusions that it takes, and the initialization of its authors' code."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import nn

from g2d.errors import UnsupportedError
from g2d.fusion import BiGated, Concat, FiLM, Fusion, Late
from g2d.methods.g2d_released import G2DReleased
from g2d.model import MultimodalModel
from support.workbench import CLASSES, WIDTHS, Bench

AUTHORS = "self_modulation"
NARROW = {"sight": WIDTHS["sight"], "sound": WIDTHS["sound"]}


def build(fusion: Fusion, init: Literal["torch", "released"] = "torch", alpha: float = 1.0) -> None:
    """Build the method for a model with this fusion."""
    bench = Bench("g2d_released")
    model = MultimodalModel({m: bench.encoder(m, 0) for m in fusion.dims}, fusion)
    G2DReleased(teachers=bench.teachers(), init=init, alpha=alpha).build(model, bench.task)


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        (FiLM(NARROW, CLASSES, plus_one=True), "set fusion.plus_one=false"),
        (FiLM(NARROW, CLASSES, plus_one=False), "set fusion.unimodal=self_modulation"),
        (BiGated(NARROW, CLASSES, unimodal=AUTHORS), r"\(6\) .* found sound 5\."),
        (BiGated(NARROW, CLASSES, width=7, unimodal=AUTHORS), "found sight 6, sound 5"),
    ],
)
def test_a_fusion_that_the_released_code_lacks_is_refused(fusion: Fusion, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        build(fusion)


def test_projected_features_can_have_any_width_if_they_are_not_distilled() -> None:
    build(BiGated(NARROW, CLASSES, unimodal=AUTHORS), alpha=0.0)


@pytest.mark.parametrize("kind", ["late", "concat", "film"])
def test_released_initialization_is_xavier_normal_with_zero_biases(kind: str) -> None:
    equal = dict.fromkeys(NARROW, WIDTHS["sight"])
    outputs = 4000
    fusion: Fusion = {
        "late": Late(NARROW, outputs),
        "concat": Concat(NARROW, outputs),
        "film": FiLM(equal, outputs, plus_one=False, unimodal=AUTHORS),
    }[kind]
    before = [parameter.detach().clone() for parameter in fusion.parameters()]
    build(fusion, alpha=0.0)
    assert all(map(torch.equal, before, fusion.parameters())), "PyTorch's without the option"
    torch.manual_seed(0)
    build(fusion, "released", alpha=0.0)
    biases = [p for name, p in fusion.named_parameters() if name.endswith("bias")]
    assert not torch.cat(biases).any()
    heads = [
        layer
        for layer in fusion.modules()
        if isinstance(layer, nn.Linear) and layer.out_features == outputs
    ]
    for head in heads:
        inputs = sum(NARROW.values()) if kind == "concat" else head.in_features
        expected = math.sqrt(2 / (inputs + outputs))
        assert head.weight.std().item() == pytest.approx(expected, rel=0.03)
