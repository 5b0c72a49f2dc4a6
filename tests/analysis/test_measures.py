"""Use of modalities by models whose answer is known, and every measure by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import g2d
from g2d import analysis
from g2d.analysis import Measures
from g2d.errors import ArgumentError, UnsupportedError
from g2d.types import Batch, Sequence
from support.workbench import Bench

Function = Callable[[dict[str, Any]], Any]
COIN = torch.tensor(list(product((0, 1), repeat=2))).repeat(100, 1)
FIRST, SECOND = COIN.T


def shown(bits: Tensor) -> Tensor:
    """Return what a modality shows of a bit, one column per value of it."""
    return nn.functional.one_hot(bits, 2).float()


def diagnosed(function: Function, target: Tensor, **options: Any) -> Measures:
    inputs = {"image": shown(FIRST), "tone": shown(SECOND)}
    return g2d.diagnose(function, [(inputs, target)], **options)


def parity(inputs: dict[str, Tensor]) -> Tensor:
    image, tone = inputs["image"], inputs["tone"]
    same = (image * tone).sum(1, keepdim=True)
    return torch.cat([same, 1 - same], dim=1)


def image_alone(inputs: dict[str, Tensor]) -> Tensor:
    return inputs["image"] + 0 * inputs["tone"]


@pytest.mark.parametrize("drop", ["mean", "zero", "permutation"])
def test_parity_is_an_interaction_in_which_no_modality_is_ignored(drop: Any) -> None:
    measures = diagnosed(parity, FIRST ^ SECOND, drop=drop)
    assert measures.score.value == 1.0
    assert measures.chance == 0.5
    assert measures.interaction.state == "found"
    assert measures.ignored == []
    for use in measures.modalities.values():
        assert use.perceptual is not None
        assert use.perceptual.value == pytest.approx(0.5, abs=0.03)
        assert use.utilization is not None
        assert use.utilization.value == pytest.approx(0.5, abs=0.07)
        assert use.alone.value == pytest.approx(0.5, abs=0.07)
    assert "The modalities must be read together" in str(measures)
    assert repr(measures).startswith("Measures(accuracy 100.0 % on 400 rows; needs image 0.")


def test_a_modality_that_is_ignored_is_named_and_never_followed() -> None:
    measures = diagnosed(image_alone, FIRST)
    assert measures.ignored == ["tone"]
    assert measures.imbalance == pytest.approx(0.5)
    image, tone = (measures.modalities[m] for m in ("image", "tone"))
    assert image.follow is not None
    assert (image.follow.own.value, image.follow.rest.value) == (1.0, 0.0)
    assert tone.follow is not None
    assert (tone.follow.own.value, tone.follow.rest.value) == (0.0, 1.0)
    assert tone.utilization is not None
    assert (tone.utilization.low, tone.utilization.high) == (0.0, 0.0)
    assert "tone is ignored: 0.0 % [0.0, 0.0] of the accuracy is lost" in str(measures)
    assert "image is ignored" not in str(measures)


def test_utilization_and_row_level_shapley_values_are_those_of_the_formula() -> None:
    rows = np.arange(100)
    one, two, both = frozenset("1"), frozenset("2"), frozenset("12")
    rewards = {one: (rows < 75) * 1.0, two: (rows < 50) * 1.0, both: (rows < 80) * 1.0}
    rates = analysis.utilization(rewards, ("1", "2"), rows)
    assert rates["2"].value == pytest.approx(0.0625)
    assert rates["1"].value == pytest.approx(0.375)
    assert rates["2"].low < 0.0625 < rates["2"].high
    phi = analysis.row_contributions(rewards, ("1", "2"))
    # v(S) = |S| * right: rows 0-49 all right, 50-74 only 1 and both, 75-79 only both, 80-99 none.
    for start, first, second in ((0, 1.0, 1.0), (50, 1.5, 0.5), (75, 1.0, 1.0), (80, 0.0, 0.0)):
        assert (phi["1"][start], phi["2"][start]) == (first, second)
    assert np.allclose(phi["1"] + phi["2"], 2 * rewards[both])
    # Three modalities, of which the second alone is right, and all others are wrong with it.
    wrong = {frozenset(s): np.zeros(1) for s in ("a", "c", "ab", "ac", "bc", "abc")}
    phi = analysis.row_contributions({**wrong, frozenset("b"): np.ones(1)}, ("a", "b", "c"))
    assert {m: round(float(values[0]), 6) for m, values in phi.items()} == {
        "a": round(-1 / 6, 6),
        "b": round(1 / 3, 6),
        "c": round(-1 / 6, 6),
    }
    none = {subset: np.zeros(100) for subset in rewards}
    assert analysis.utilization(none, ("1", "2"), rows) == {}


def test_rows_that_a_modality_harms_are_counted() -> None:
    # The image shows the class in three rows of four, the tone always; the image decides.
    misled = FIRST ^ ((FIRST == 1) & (SECOND == 1)).long()
    inputs = {"image": shown(FIRST), "tone": shown(misled)}
    measures = g2d.diagnose(lambda x: 2 * x["image"] + x["tone"], [(inputs, misled)])
    harmed = {m: use.harmed.value for m, use in measures.modalities.items() if use.harmed}
    assert harmed == {"image": 0.25, "tone": 0.0}
    assert measures.error_table is not None
    assert measures.error_table.loss.value == 0.25
    assert dict(measures.modalities["image"].histogram) == {-0.5: 0.25, 1.0: 0.75}


def test_the_perceptual_score_and_the_follow_rate_are_means_over_all_pairs() -> None:
    g = torch.Generator().manual_seed(0)
    target = torch.randint(3, (30,), generator=g)
    inputs = {m: torch.randn(30, 3, generator=g) + shift for m, shift in (("a", 0), ("b", 1))}
    inputs["a"] = inputs["a"] + 2 * nn.functional.one_hot(target, 3)

    def logits(x: dict[str, Tensor]) -> Tensor:
        return x["a"] + x["b"] + x["a"] * x["b"]

    pool = _pool(logits, inputs, target)
    task = g2d.Classification(3)
    score = analysis.perceptual_scores(pool, task, rounds=800)["a"]
    follow = analysis.follow_rates(pool, task, rounds=800)["a"]
    pairs = [(i, j) for i in range(30) for j in range(30)]
    guess = {
        (i, j): int(logits({"a": inputs["a"][i], "b": inputs["b"][j]}).argmax()) for i, j in pairs
    }
    full = np.mean([guess[i, i] == target[i] for i in range(30)])
    permuted = np.mean([guess[i, j] == target[j] for i, j in pairs])
    assert score.value == pytest.approx((full - permuted) / full, abs=0.02)
    differ = [(i, j) for i, j in pairs if target[i] != target[j]]
    assert follow.own.value == pytest.approx(
        np.mean([guess[pair] == target[pair[0]] for pair in differ]), abs=0.02
    )
    assert follow.rest.value == pytest.approx(
        np.mean([guess[pair] == target[pair[1]] for pair in differ]), abs=0.02
    )


def _pool(function: Function, inputs: dict[str, Tensor], target: Tensor) -> analysis.Pool:
    has = dict.fromkeys(inputs, torch.ones(len(target), dtype=torch.bool))
    return analysis.Pool(
        lambda batch: function(dict(batch.inputs)),
        inputs,
        {m: torch.zeros_like(values) for m, values in inputs.items()},
        has,
        target,
        np.arange(len(target)),
    )


def test_co_information_is_minus_one_bit_for_parity_and_one_bit_for_a_copy() -> None:
    a, b = FIRST.numpy(), SECOND.numpy()
    assert analysis.co_information(a, b, a ^ b, corrected=False) == -1.0
    assert analysis.co_information(a, a, a, corrected=False) == 1.0
    assert analysis.co_information(a, b, a ^ b) == pytest.approx(-1.0, abs=0.01)
    assert analysis.co_information(a, a, a) == pytest.approx(1.0, abs=0.01)
    assert analysis.co_information(a[:12], b[:12], (a ^ b)[:12]) is None


def test_the_correction_removes_most_of_the_information_that_few_rows_seem_to_have() -> None:
    draws = np.random.default_rng(0).integers(4, size=(200, 2, 60))
    plain, corrected = (
        np.mean([analysis.mutual_information(x, y, corrected=c) for x, y in draws])
        for c in (False, True)
    )
    assert plain == pytest.approx(9 / (120 * np.log(2)), rel=0.2)
    assert abs(corrected) < 0.2 * plain


def test_only_rows_with_both_modalities_count_for_co_information() -> None:
    has = {"a": torch.arange(400) < 200, "b": torch.ones(400, dtype=torch.bool)}
    wrong = torch.where(torch.arange(400) < 200, FIRST, 1 - FIRST)
    pairs = analysis.co_informations({"a": wrong, "b": FIRST}, FIRST, has, g2d.Classification(2))
    assert pairs["a", "b"] == pytest.approx(1.0, abs=0.02)


def test_measures_of_values_are_those_that_are_defined() -> None:
    target = (FIRST + 2 * SECOND).float()

    def total(inputs: dict[str, Tensor]) -> Tensor:
        return inputs["image"][:, 1] + 2 * inputs["tone"][:, 1]

    measures = diagnosed(total, target)
    assert measures.metric == "R²"
    assert measures.score.value == pytest.approx(1.0)
    # Of the variance 1.25, the image explains 0.25 and the tone 1.
    rates = {m: use.utilization.value for m, use in measures.modalities.items() if use.utilization}
    assert rates == {"image": pytest.approx(0.2), "tone": pytest.approx(0.8)}
    assert measures.error_table is None
    assert measures.co_information == {}
    assert all(use.follow is use.contribution is None for use in measures.modalities.values())
    assert "contradicts" not in str(measures)
    pool = _pool(
        lambda x: total(x)[:, None], {"image": shown(FIRST), "tone": shown(SECOND)}, target[:, None]
    )
    task = g2d.Regression(output="identity")
    with pytest.raises(UnsupportedError, match="follow rates must have classes, found values"):
        analysis.follow_rates(pool, task)
    with pytest.raises(UnsupportedError, match="contributions of rows must have classes"):
        analysis.row_contributions(analysis.subset_rewards(pool, task), pool.modalities)
    with pytest.raises(UnsupportedError, match="co-information must have classes, found values"):
        analysis.co_informations({}, pool.target, pool.has, task)
    wrong = diagnosed(lambda x: 9 - total(x), target)
    assert all(use.utilization is use.perceptual is None for use in wrong.modalities.values())
    assert wrong.imbalance is None
    assert "without it the R² is" in str(wrong)


@pytest.mark.parametrize("drop", ["mean", "zero", "permutation"])
@pytest.mark.parametrize("absent", [False, True])
def test_a_model_of_this_library_is_diagnosed_like_its_function(drop: Any, absent: bool) -> None:
    bench = Bench("joint", k=3, absent=absent)
    model = bench.model().train()
    measures = g2d.diagnose(model, bench.rows(), drop=drop)
    assert tuple(measures.modalities) == bench.modalities
    assert measures.interaction.additive
    assert all(module.training for module in model.modules())
    if absent:
        return

    def function(inputs: dict[str, Any]) -> Tensor:
        logits: Tensor = model(inputs).logits
        return logits

    model.eval()
    same = g2d.diagnose(function, bench.rows(), bench.modalities, drop="permutation")
    assert same.score == measures.score
    if drop == "permutation":
        assert same.modalities == measures.modalities


def test_dropped_sequences_keep_their_length() -> None:
    mask = torch.arange(5) < torch.tensor([[1], [3], [5], [2]])
    values = torch.where(mask[..., None], torch.randn(4, 5, 2), 0.0)
    seen: list[Any] = []

    def function(inputs: dict[str, Any]) -> Tensor:
        seen.append(inputs["words"])
        return inputs["words"].values.sum(1)

    halves = [
        Batch({"words": Sequence(values[:2, :3], mask[:2, :3])}, torch.tensor([0, 1])),
        Batch({"words": Sequence(values[2:], mask[2:])}, torch.tensor([0, 1])),
    ]
    g2d.diagnose(function, halves)
    mean = values[mask].mean(0)
    whole = [sequence for sequence in seen if len(sequence) == 4]
    blank = next(some for some in whole if torch.allclose(some.values[2, 0], mean))
    torch.testing.assert_close(blank.values, torch.where(mask[..., None], mean, 0.0))
    assert torch.equal(blank.mask, mask)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (image_alone, {"drop": "noise"}, "drop must be one of mean, zero, permutation"),
        (image_alone, {"modalities": ["image"]}, r"name every input \(image, tone\), found image"),
        (lambda x: x["image"][:, :1], {}, r"logits of shape \(1, classes\), found \(1, 1\)"),
        (lambda x: 3.0, {}, r"logits of shape \(1, classes\), found float"),
        (lambda x: x["image"].sum(), {}, r"found \(\). Wrap it in a function that does"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(
    function: Function, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        diagnosed(function, FIRST, **options)


def test_integers_have_no_mean_and_no_rows_are_refused() -> None:
    ids = {"words": torch.arange(4)[:, None]}
    with pytest.raises(ArgumentError, match=r'must be real numbers to have a mean.*drop="zero"'):
        g2d.diagnose(lambda x: x["words"].float(), [(ids, torch.tensor([0, 1, 0, 1]))])
    with pytest.raises(ArgumentError, match="batches must hold rows to analyze, found none"):
        g2d.diagnose(image_alone, [])


def test_the_example_of_the_guide_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    guide = Path(__file__).parents[2] / "docs" / "guide" / "diagnosis.md"
    printed = re.search(
        r"<!-- example: any-model -->\s*```python\n(.*?)```",
        guide.read_text(encoding="utf-8"),
        re.S,
    )
    assert printed
    inputs = {"image": shown(FIRST), "tone": shown(SECOND)}
    exec(printed[1], {"net": lambda image, tone: image + 0 * tone, "batches": [(inputs, FIRST)]})
    text = capsys.readouterr().out
    assert "tone is ignored" in text
    assert "['tone'] not tested Interval(value=0.0, low=0.0, high=0.0)" in text
