"""PMR computes what its authors' code computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from g2d.fusion import Concat
from g2d.method import Method
from g2d.methods import PMR
from g2d.types import Batch
from support.golden import (
    TOLERANCE,
    Different,
    Equal,
    Golden,
    Replay,
    check,
    distance,
    entry,
    replay,
    total,
)

GOLDEN = Golden("pmr_concat")
LOSSES = {"loss/total": total, "loss/task": entry("loss/task")}
WEIGHTS = {f"weight/{m}": entry(f"beta/{m}", GOLDEN.hyper["alpha"]) for m in GOLDEN.modalities}


def steps(prototypes: list[dict[str, torch.Tensor]] | None = None, **options: Any) -> Replay:
    """Take the recorded steps; the prototypes of every step are added to a list."""
    hyper = GOLDEN.hyper
    model = GOLDEN.model(Concat)
    window = (int(hyper["first_epoch"]) + 1, int(hyper["last_epoch"]) + 1)
    method: Method = PMR(
        alpha=hyper["alpha"],
        momentum=hyper["momentum_of_prototypes"],
        mu=0,
        window=window,
        **options,
    )
    method = method.build(model, GOLDEN.task).double()
    rows = GOLDEN.below("prototype_rows")
    batch = Batch({m: rows[f"input/{m}"] for m in GOLDEN.modalities}, rows["target"])

    def keep(_: int) -> None:
        if prototypes is not None:
            prototypes.append(
                {m: method.get_buffer(f"prototypes_{m}").clone() for m in GOLDEN.modalities}
            )

    return replay(GOLDEN, model, method, before_step=keep, rows=lambda *_: [batch])


def test_pmr_with_full_weights_equals_the_release() -> None:
    prototypes: list[dict[str, torch.Tensor]] = []
    replayed = steps(prototypes, weighting="full")
    check(replayed, Equal(), losses=LOSSES, coefficients=WEIGHTS)
    inside = [i for i, epoch in enumerate(GOLDEN.arrays["epoch"]) if epoch <= 1]
    for m, recorded in GOLDEN.below("prototypes").items():
        for i in inside:
            assert distance(prototypes[i][m], recorded[i])[1] <= TOLERANCE
    for i in inside:
        (m,) = (m for m in GOLDEN.modalities if replayed.records[i][f"beta/{m}"])
        term = replayed.records[i][f"loss/prototype/{m}"] / GOLDEN.hyper["alpha"]
        assert term == pytest.approx(GOLDEN.arrays[f"term/prototype.{m}"][i], rel=TOLERANCE)


def test_pmr_with_the_weights_of_the_paper_differs_as_its_card_says() -> None:
    because = "The released code gives every slower modality the full weight"
    check(steps(), Different("pmr", because, loss=1, after=6e-2), losses=LOSSES)
