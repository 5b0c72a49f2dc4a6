"""UMT computes what the code of G²D's authors computes."""

from __future__ import annotations

import pytest

from g2d.fusion import Concat, Fusion, Late
from g2d.methods.umt import UMT
from support.golden import Equal, Golden, check, entry, replay, total


@pytest.mark.parametrize(("name", "fusion"), [("umt_late", Late), ("umt_concat", Concat)])
def test_umt_with_a_weight_per_modality_equals_the_release(name: str, fusion: type[Fusion]) -> None:
    golden = Golden(name)
    weight = golden.per_modality("alpha")
    model = golden.model(fusion)
    method = UMT(teachers=golden.teachers(), weight=weight).build(model, golden.task).double()
    losses = {"loss/total": total, "loss/task": entry("loss/task")}
    for m in golden.modalities:
        losses[f"term/feature.{m}"] = entry(f"loss/feature/{m}", 1 / weight[m])
    check(replay(golden, model, method), Equal(), losses=losses)
