"""DLMG's fitted schedule computes what its authors' code computes."""

from __future__ import annotations

import torch

from g2d.functional import fitted_weight
from g2d.fusion import Late
from g2d.methods.dlmg import DLMG
from support.golden import TOLERANCE, Different, Equal, Golden, check, check_cards, entry, replay

CLIPPED = Different("dlmg", "clipped to at most 1: the released one exceeds 1 in 12 of 200 epochs")


def test_the_fitted_schedule_equals_the_release() -> None:
    golden = Golden("dlmg_fitted")
    model, epochs = golden.model(Late), int(golden.hyper["epochs"])
    method = DLMG().build(model, golden.task).double()
    weights = {f"weight/{term}": entry(f"weight/{term}") for term in ("task", "matching")}
    check(replay(golden, model, method, epochs=epochs), Equal(), coefficients=weights)


def test_weights_of_the_task_differ_where_the_release_exceeds_1() -> None:
    golden = Golden("dlmg_schedule")
    theirs = golden.below("weight")["task"]
    epochs = [int(epoch) + 1 for epoch in golden.arrays["epoch"]]
    ours = torch.tensor(
        [fitted_weight(epoch, int(golden.hyper["epochs"])) for epoch in epochs],
        dtype=torch.float64,
    )
    beyond, apart = theirs > 1, (ours - theirs).abs()
    assert apart[~beyond].max() <= TOLERANCE
    assert beyond.sum() == 12
    assert 1.1e-2 / 2 <= apart[beyond].max() <= 1.1e-2 * 2
    check_cards(CLIPPED)
