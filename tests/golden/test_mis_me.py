"""MIS-ME computes what its authors' code computes, without dropout and a sigmoid."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from g2d.fusion import Late
from g2d.methods.mis_me import MISME
from support.golden import Equal, Golden, Named, check, entry, of_module, replay, total


def own_tensors(method: MISME) -> Named:
    """Return the tensors of the method's heads under the names of the files."""
    named: Named = {}
    if method.approach == "weighted":
        named |= {f"scalar.{m}": (scalar,) for m, scalar in method.scalars.items()}
    else:
        named |= of_module("joint_norm", method.normalize) | of_module("joint", method.joint)
    if method.approach != "concat":
        for m, head in method.heads.items():
            named |= of_module(f"head.{m}", head)
    return named


@pytest.mark.parametrize("approach", ["mis_me_concat", "mis_me_hybrid", "mis_me_weighted"])
def test_every_approach_equals_the_release(approach: str) -> None:
    golden = Golden(approach)
    options: dict[str, Any] = {"approach": approach.removeprefix("mis_me_")}
    losses = {"loss/total": total, "term/task": entry("loss/task")}
    if "delta" in golden.hyper:
        delta, gamma = golden.hyper["delta"], golden.per_modality("gamma")
        options |= {"delta": delta, "gamma": gamma}
        losses["term/task"] = entry("loss/task", 1 / delta)
        for m in golden.modalities:
            losses[f"term/unimodal.{m}"] = entry(f"loss/unimodal/{m}", 1 / gamma[m])
    model = golden.model(Late)
    method = MISME(**options).build(model, golden.task).double()
    for layer in method.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    check(replay(golden, model, method, named=own_tensors(method)), Equal(), losses=losses)
