"""Batches: their order, their edges, and who gets which part."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from g2d.data import Loader
from g2d.datasets.digits.options import DigitsOptions
from g2d.datasets.digits.problem import open_digits
from g2d.errors import ArgumentError
from g2d.types import Batch

SOURCE = open_digits(DigitsOptions(setting="balanced", eval_draws=1))


def loader(split: str = "train", batch_size: int = 100, **options: Any) -> Loader:
    return Loader(SOURCE, split, batch_size, **({"seed": 3, "shuffle": split == "train"} | options))


def ids(batches: list[Batch]) -> list[int]:
    return torch.cat([batch.index for batch in batches if batch.index is not None]).tolist()


def by_id(batches: list[Batch]) -> dict[str, torch.Tensor]:
    order = torch.tensor(ids(batches)).argsort()
    joined = {m: torch.cat([batch.inputs[m] for batch in batches]) for m in SOURCE.modalities}
    return {m: values[order] for m, values in joined.items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return torch.equal(a["image"], b["image"]) and torch.allclose(a["tone"], b["tone"], atol=1e-5)


def test_an_epoch_is_every_row_once_in_an_order_of_seed_and_epoch() -> None:
    first, second = ids(list(loader().epoch(1))), ids(list(loader().epoch(2)))
    assert sorted(first) == sorted(second) == list(range(1078))
    assert first != second
    assert first == ids(list(loader().epoch(1)))
    assert first != ids(list(loader(seed=4).epoch(1)))
    assert first == np.random.default_rng([3, 1]).permutation(1078).tolist()
    assert ids(list(loader("test").epoch(1))) == SOURCE.rows("test").tolist()


@pytest.mark.parametrize(
    "options", [{"batch_size": 7}, {"batch_size": 1078}, {"workers": 2}, {"shuffle": False}]
)
def test_views_are_the_same_whatever_the_batch_size_the_workers_or_the_order(
    options: dict[str, Any],
) -> None:
    assert same(by_id(list(loader().epoch(2))), by_id(list(loader(**options).epoch(2))))


def test_an_epoch_resumed_in_its_middle_goes_on_with_the_same_batches() -> None:
    whole, rest = list(loader().epoch(1)), list(loader().epoch(1, start=4))
    assert len(rest) == len(whole) - 4
    for a, b in zip(whole[4:], rest, strict=True):
        assert ids([a]) == ids([b])
        assert torch.equal(a.inputs["image"], b.inputs["image"])
        assert torch.equal(a.inputs["tone"], b.inputs["tone"])


def test_reading_draws_nothing_from_torchs_generator() -> None:
    before = torch.get_rng_state()
    list(loader(workers=1, batch_size=500).epoch(1))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_see_disjoint_parts_of_the_batches_of_one(processes: int) -> None:
    whole = [ids([batch]) for batch in loader().epoch(1)]
    parts = [
        [ids([batch]) for batch in loader(process=p, processes=processes).epoch(1)]
        for p in range(processes)
    ]
    assert [
        [i for part in together for i in part] for together in zip(*parts, strict=True)
    ] == whole
    assert (
        max(
            len(a) - len(b)
            for together in zip(*parts, strict=True)
            for a in together
            for b in together
        )
        <= 1
    )
    assert len(loader(process=1, processes=processes)) == len(whole)


@pytest.mark.parametrize(
    ("batch_size", "processes", "sizes"),
    [
        (1077, 1, [1078]),
        (1076, 1, [1076, 2]),
        (359, 1, [359, 359, 360]),
        (1075, 2, [1078]),
        (1074, 2, [1074, 4]),
        (5000, 1, [1078]),
    ],
)
def test_a_last_training_batch_too_small_for_a_variance_joins_the_one_before(
    batch_size: int, processes: int, sizes: list[int]
) -> None:
    made = loader(batch_size=batch_size, processes=processes)
    assert [cut.stop - cut.start for cut in made.cuts(1078)] == sizes
    assert len(made) == len(sizes)
    assert made.cuts(1078)[0].start == 0
    assert all(a.stop == b.start for a, b in pairwise(made.cuts(1078)))


def test_a_last_evaluation_batch_of_one_row_stays_alone() -> None:
    assert [len(batch) for batch in loader("test", 359).epoch(0)] == [359, 1]


def test_a_sample_is_a_share_of_the_rows_the_same_in_every_process() -> None:
    first = ids(list(loader(process=0, processes=2).sample(0.25, 1)))
    second = ids(list(loader(process=1, processes=2).sample(0.25, 1)))
    assert first == second
    assert len(first) == len(set(first)) == round(0.25 * 1078)
    assert first != ids(list(loader().sample(0.25, 2)))
    assert len(ids(list(loader().sample(1e-9, 1)))) == 1
    assert ids(list(loader().sample(1.0, 1))) == list(range(1078))


def test_every_process_must_get_a_row() -> None:
    with pytest.raises(
        ArgumentError, match=r"batch_size must be at least the number of processes \(4\), found 3"
    ):
        loader(batch_size=3, processes=4)
