"""Rankings: orders, the log of the teachers' confidence, and warnings about it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import pytest
import torch

import g2d
from g2d.errors import ArgumentError, UnsupportedError
from g2d.fusion import Late
from g2d.method import Validation
from g2d.method.orders import REVERSED, order_of, random_order
from g2d.method.rankings import RankingLog
from g2d.types import Batch
from support.workbench import Bench, run


def logged(*updates: tuple[float, float]) -> RankingLog:
    """Return a log of the confidence of two teachers."""
    log = RankingLog()
    for image, tone in updates:
        log.add({"image": image, "tone": tone})
    return log


def test_the_summary_holds_means_flip_rate_and_margin() -> None:
    log = logged((0.2, 0.5), (0.4, 0.3), (0.3, 0.7), (0.1, 0.5))
    log.validation = {"image": 0.6, "tone": 0.4}
    assert log.summary() == pytest.approx(
        {
            "confidence/image": 0.25,
            "confidence/tone": 0.5,
            "confidence_validation/image": 0.6,
            "confidence_validation/tone": 0.4,
            "ranking/flip_rate": 0.25,
            "ranking/margin": 0.25,
        }
    )


@pytest.mark.parametrize(
    ("updates", "warnings"),
    [
        ([(0.2, 0.29)], {"margin"}),
        ([(0.2, 0.31)], set()),
        ([(0.2, 0.9)] * 7 + [(0.9, 0.2)], {"flip_rate"}),
        ([(0.2, 0.9)] * 11 + [(0.9, 0.2)], set()),
    ],
)
def test_a_tenth_separates_a_reliable_ranking_from_a_doubtful_one(
    updates: list[tuple[float, float]], warnings: set[str]
) -> None:
    assert logged(*updates).doubts().keys() == warnings


def test_a_ranking_that_the_validation_rows_contradict_is_doubtful() -> None:
    log = logged((0.2, 0.9))
    log.validation = {"image": 0.6, "tone": 0.4}
    assert "image < tone by training confidence and tone < image" in log.doubts()["disagreement"]
    log.validation = {"image": 0.4, "tone": 0.6}
    assert log.doubts() == {}


@pytest.mark.parametrize(
    ("by", "passes"), [("batch", 1), ("epoch", 4), ("dataset", 2), ("memorization", 3)]
)
def test_a_ranking_for_the_whole_run_passes_over_the_rows_once(by: str, passes: int) -> None:
    """The validation rows are passed over once more for the record."""
    bench = Bench("g2d", options={"ranking": by, "tau": (2, 2)})
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    splits: list[str] = []

    def rows(split: str, *_: object) -> list[Batch]:
        splits.append(split)
        return list(bench.rows(split))

    state._rows = rows
    for state.epoch in (1, 2, 3):
        method.epoch_start(state)
    assert len(splits) == passes


def learners(bench: Bench, epochs: int = 3) -> list[list[str]]:
    """Return the modalities that learned in the first update of every epoch."""
    _, _, records = bench.train(range(1, epochs + 1))
    return [
        [m for m in bench.modalities if record[f"kappa/{m}"]]
        for record in records[:: len(records) // epochs]
    ]


def g2d_bench(ranking: Any, **options: Any) -> Bench:
    """Return three modalities, of which two learn alone for an epoch each."""
    return Bench("g2d", 3, {"ranking": ranking, "tau": (1, 1, 1)} | options)


@pytest.mark.parametrize("order", [("word", "sight", "sound"), ["sound", "word", "sight"]])
def test_an_order_of_ones_own_is_the_order_of_learning(order: Any) -> None:
    everyone = list(g2d_bench(order).modalities)
    assert learners(g2d_bench(order)) == [[order[0]], [order[1]], everyone]


@pytest.mark.parametrize("by", ["batch", "epoch", "dataset", "validation", "memorization"])
def test_a_reversed_ranking_begins_with_the_last_modality(by: str) -> None:
    """With an epoch per stage, the middle modality of three learns second both ways."""
    forth, back = learners(g2d_bench(by)), learners(g2d_bench(by + REVERSED))
    assert forth[0] != back[0]
    assert forth[1] == back[1]


def test_modalities_of_unknown_score_are_last_both_ways() -> None:
    score = {"sight": float("inf"), "sound": 0.2, "word": 0.1, "tone": float("nan")}
    assert order_of(score) == ("word", "sound", "sight", "tone")
    assert order_of(score, reverse=True) == ("sound", "word", "sight", "tone")


def test_a_random_order_depends_on_the_seed_alone() -> None:
    names = ("sight", "sound", "word")
    assert {random_order(names, seed) for seed in range(60)} == set(permutations(names))
    bench = g2d_bench("random")
    model = bench.model()
    method = bench.method(model)
    for seed in (0, 1, 2):
        state = bench.state(method, model, generator=torch.Generator().manual_seed(seed))
        torch.rand(3, generator=state.generator)  # a resumed run has drawn before
        method.modulation.order = None
        method.epoch_start(state)
        assert method.modulation.order == random_order(names, seed)


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "values"])
@pytest.mark.parametrize(
    "by",
    ["memorization", "memorization-reversed", "dataset", "validation-reversed", "random"],
)
def test_the_order_of_rank_is_that_of_a_run(by: Any, regression: bool) -> None:
    bench = g2d_bench(by)
    bench.regression = regression
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    method.epoch_start(state)
    order = g2d.rank(
        bench.teachers(),
        bench.rows("train"),
        bench.rows("valid"),
        by=by,
        task=bench.task if regression else None,
    )
    assert order == method.modulation.order
    assert learners(g2d_bench(order))[0] == [order[0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "lag"}, "by must be a ranking that is known before training, found 'lag': the lag"),
        ({"by": "batch"}, "by must be a ranking of the whole run, found 'batch', which changes"),
        ({"by": "loudest"}, "by must be one of memorization, batch, epoch"),
        ({"valid": []}, "valid must hold batches, found none. An iterator that was used before"),
    ],
)
def test_rank_refuses_what_it_cannot_know(options: dict[str, Any], message: str) -> None:
    bench = Bench("g2d", 3)
    rows = {"train": bench.rows("train"), "valid": bench.rows("valid")}
    with pytest.raises(ArgumentError, match=message.replace(".", r"\.")):
        g2d.rank(bench.teachers(), **(rows | options))


def test_rank_needs_the_task_of_values() -> None:
    bench = Bench("g2d", 3, regression=True)
    with pytest.raises(ArgumentError, match=r"task must be given where targets are no class"):
        g2d.rank(bench.teachers(), bench.rows("train"), bench.rows("valid"))


@pytest.mark.parametrize(
    ("ranking", "options", "message"),
    [
        (
            ["sight", "sound"],
            {},
            "ranking must hold every modality once (sight, sound, word), found",
        ),
        (["sight", "sound", "sound"], {}, "ranking must hold every modality once"),
        ("lag", {"tau": (1, 1, 1)}, "tau must be left out with ranking='lag'"),
        ("lags", {}, "Did you mean 'lag'?"),
    ],
)
def test_a_wrong_ranking_is_refused_before_training(
    ranking: Any, options: dict[str, Any], message: str
) -> None:
    bench = Bench("g2d", 3, {"ranking": ranking, "tau": None} | options)
    with pytest.raises(ArgumentError) as caught:
        bench.method(bench.model())
    assert message in str(caught.value)


class Mute(Late):
    """A fusion of one's own that keeps its unimodal logits to itself."""

    has_unimodal_logits = False


class Lagging(Bench):
    """A bench of six epochs whose student catches up with its teachers in a known way."""

    own: Mapping[str, list[float]]

    @property
    def epochs(self) -> int:
        return 6

    def validation(self, epoch: int) -> Validation:
        own = {m: values[epoch - 1] for m, values in self.own.items()}
        score = {m: value if self.regression else 0.0 for m, value in own.items()}
        return Validation(1.0, 0.5, dict.fromkeys(own, 1.0), score, own)


@pytest.mark.parametrize("regression", [False, True], ids=["classes", "values"])
@pytest.mark.parametrize(
    ("ranking", "alone"),
    [("lag", [None, "sight", "sight", "sound", None, None]), ("lag-reversed", [None, "sound"])],
)
def test_the_modality_furthest_behind_its_teacher_learns_alone(
    ranking: str, alone: list[str | None], regression: bool
) -> None:
    bench = Lagging("g2d", 2, {"ranking": ranking, "tau": None}, regression=regression)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    method.epoch_start(state)
    of = method.modulation.of_teachers
    lag = {"sight": [0.5, 0.4, 0.0, 0.0, 0.0, 0.9], "sound": [0.3, 0.3, 0.3, 0.1, 0.2, 0.9]}
    bench.own = {m: [of[m] - value for value in values] for m, values in lag.items()}
    kept: dict[str, torch.Tensor] = {}
    learned = []
    for epoch in range(1, 7):
        method = bench.method(model)  # as resumed: everything else is in the state dict
        method.load_state_dict(kept or method.state_dict())
        state = bench.state(method, model)
        record = run(bench, method, state, [epoch])[-1]
        kept = {name: value.clone() for name, value in method.state_dict().items()}
        who = [m for m in bench.modalities if record[f"kappa/{m}"]]
        learned.append(who[0] if len(who) == 1 else None)
    assert learned[: len(alone)] == alone
    assert sum(one is not None for one in learned) <= 3


def test_the_lag_of_values_is_the_difference_of_r2() -> None:
    bench = Bench("g2d", 2, {"ranking": "lag"}, regression=True)
    model = bench.model()
    method = bench.method(model)
    method.epoch_start(bench.state(method, model))
    rows = list(bench.rows("valid"))
    target = torch.cat([batch.target for batch in rows])
    for m, value in method.modulation.of_teachers.items():
        predicted = torch.cat([bench.teachers()(batch).logits[m] for batch in rows])
        error, spread = (target - predicted).square().sum(), (target - target.mean()).square().sum()
        assert value == pytest.approx(float(1 - error / spread), abs=1e-5)


def test_the_lag_needs_unimodal_logits_and_validation() -> None:
    bench = Bench("g2d", 2, {"ranking": "lag"})
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    method.epoch_start(state)
    with pytest.raises(ArgumentError, match="validation must hold the student's unimodal"):
        method.epoch_end(state, None)
    model.fusion.__class__ = Mute
    with pytest.raises(UnsupportedError, match="fusion must have unimodal logits with ranking"):
        bench.method(model)


@pytest.mark.parametrize(
    "options", [{"ranking": "memorization", "tau": (1, 1)}, {"ranking": "auto", "tau": None}]
)
def test_a_ranking_of_rows_without_rows_names_the_ways_out(options: dict[str, Any]) -> None:
    bench = Bench("g2d", 2, options)
    model = bench.model()
    method = bench.method(model)
    state = bench.state(method, model)
    state._rows = None
    with pytest.raises(ArgumentError, match=r"ranking=g2d\.rank\(teachers, train, valid\)"):
        method.epoch_start(state)
