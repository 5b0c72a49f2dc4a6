"""The log of the teachers' confidence, and the warnings about an unreliable ranking."""

from __future__ import annotations

import pytest

from g2d.method.rankings import RankingLog
from g2d.types import Batch
from support.workbench import Bench


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
