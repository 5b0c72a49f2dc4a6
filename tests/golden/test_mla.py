"""MLA computes what its authors' code computes, and would compute without its mistakes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from g2d.functional.certainty import certainty_weights
from g2d.fusion import Late
from g2d.method import TrainState
from g2d.methods import MLA
from support.golden import (
    TOLERANCE,
    Different,
    Golden,
    check_cards,
    distance,
    near,
    of_module,
    of_tensors,
    replay,
)

LATER_UPDATE = "The projector is updated after it was used"
FIRST_TURN = "in the very first turn of a run"
ELEMENTS = "it would divide by a matrix element by element"
FIRST = {"update_first": True}

EQUAL: list[tuple[str, dict[str, Any]]] = [
    ("mla_as_released", {"projection": False}),
    ("mla_projection", FIRST),
    ("mla_projection_normalized", FIRST | {"normalize": True}),
    ("mla_projection_first_turn_left_out", FIRST | {"skip_first_turn": True}),
]
DIFFERENT: list[tuple[str, dict[str, Any], Different]] = [
    ("mla_projection", {}, Different("mla", LATER_UPDATE, loss=2e-3, after=3e-2)),
    (
        "mla_projection_first_turn_left_out",
        FIRST,
        Different("mla", FIRST_TURN, loss=5e-4, coefficient=2e-1, after=5e-3),
    ),
    (
        "mla_projection_as_written",
        FIRST | {"normalize": True},
        Different("mla", ELEMENTS, loss=2e-3, coefficient=1, after=3e-2),
    ),
]


def steps(name: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    """Return the largest differences of losses, projectors, gradients and tensors over all turns.

    Projectors are called coefficients.
    """
    golden = Golden(name)
    model = golden.model(Late)
    method = MLA(**options).build(model, golden.task).double()
    projectors: list[dict[str, Tensor | None]] = []
    update = TrainState.update

    def updated(state: TrainState) -> None:
        update(state)
        projectors.append({"projector": method.projector.clone()})

    monkeypatch.setattr(TrainState, "update", updated)
    replayed = replay(
        golden,
        model,
        method,
        named=of_module("head", method.head),
        batches_per_epoch=int(golden.hyper["batches_per_epoch"]),
    )
    pairs: dict[str, list[tuple[float, float]]] = {
        kind: [] for kind in ("loss", "coefficient", "gradient", "after")
    }
    turns = len(golden.modalities)
    assert len(replayed.after) == golden.steps * turns
    for i, m in enumerate(golden.modalities):
        losses = torch.tensor(
            [record[f"loss/{m}"] for record in replayed.records], dtype=torch.float64
        )
        pairs["loss"].append(distance(losses, torch.from_numpy(golden.arrays[f"loss/{m}"])))
        projector = {"projector": golden.below("projector")[f"after_turn.{m}"]}
        pairs["coefficient"] += of_tensors(projector, projectors[i::turns])
        gradients = golden.below(f"gradient/turn.{m}")
        pairs["gradient"] += of_tensors(gradients, replayed.gradients[i::turns])
        pairs["after"] += of_tensors(golden.below(f"after_turn.{m}"), replayed.after[i::turns])
    return {kind: max(absolute for absolute, _ in each) for kind, each in pairs.items()}


@pytest.mark.parametrize(("name", "options"), EQUAL)
def test_mla_without_the_mistakes_of_the_release_equals_it(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    differences = steps(name, monkeypatch, **options)
    assert {kind: value for kind, value in differences.items() if value > TOLERANCE} == {}


@pytest.mark.parametrize(("name", "options", "expected"), DIFFERENT)
def test_mla_differs_as_its_card_says(
    name: str, options: dict[str, Any], expected: Different, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_cards(expected)
    differences = steps(name, monkeypatch, **options)
    for kind in ("loss", "coefficient", "after"):
        printed = getattr(expected, kind)
        if printed is not None:
            assert near(differences[kind], printed), f"{kind} differs by {differences[kind]}"


def test_the_weights_of_a_row_are_the_release_s_with_entropies_over_the_classes() -> None:
    golden = Golden("mla_gating")
    weights = certainty_weights(golden.below("logits"))
    for m, weight in weights.items():
        assert distance(weight, golden.below("weight_per_row")[m])[1] <= TOLERANCE
        released = golden.below("weight_as_released")[m].expand(len(weight))
        assert near(distance(weight, released)[0], 4e-1)
    check_cards(Different("mla", "The released code computes entropies over the batch"))
