"""MMPareto computes what its authors' code computes."""

from __future__ import annotations

import pytest

from g2d.fusion import Concat
from g2d.methods.mmpareto import MMPareto
from support.golden import Equal, Golden, check, entry, of_module, replay, total


@pytest.mark.parametrize("name", ["mmpareto_conflict", "mmpareto_mixed_gamma"])
def test_gradients_are_combined_as_in_the_release(name: str) -> None:
    golden = Golden(name)
    model = golden.model(Concat)
    method = MMPareto(gamma=golden.hyper["gamma"]).build(model, golden.task).double()
    heads = {}
    for m, head in method.heads.items():
        heads |= of_module(f"unimodal_head.{m}", head)
    losses = {f"loss/unimodal.{m}": entry(f"loss/unimodal/{m}") for m in golden.modalities}
    check(
        replay(golden, model, method, named=heads),
        Equal(),
        losses=losses | {"loss/task": entry("loss/task"), "loss/total": total},
        coefficients={f"cosine/{m}": entry(f"cosine/{m}") for m in golden.modalities},
    )
