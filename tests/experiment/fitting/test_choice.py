"""The choice among members and stacks, on made-up validation rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from g2d.experiment.fitting.choice import (
    MeasuredRows,
    Option,
    best_single,
    choose,
    combinations,
    crossed,
    far_apart,
    head_shares,
    measured,
    reason_against,
    undecided,
)
from g2d.experiment.fitting.planning import kind_of, members_of
from g2d.recipe import Recipe
from g2d.task import Classification, Regression

DRAWS = 50


def option(
    members: str, score: float, *, loss: float = 1.0, noise: float = 0.0, passes: int = 0
) -> Option:
    """Return an option whose draws differ from those without noise by a known standard error."""
    names = tuple(members.split())
    spread = noise * np.tile([1.0, -1.0], DRAWS // 2)
    return Option(names, passes or len(names), 10, score, loss, score + spread)


@pytest.mark.parametrize(
    ("options", "chosen", "reference"),
    [
        ([option("t", 0.7), option("j", 0.8), option("t j", 0.9)], "t j", "t j"),
        ([option("t", 0.7), option("j", 0.88, noise=0.03), option("t j", 0.9)], "j", "t j"),
        ([option("t", 0.7), option("j", 0.86, noise=0.03), option("t j", 0.9)], "t j", "t j"),
        # A cheaper one whose score is near but whose loss is not is no substitute.
        ([option("t", 0.89, noise=0.03, loss=1.01), option("t j", 0.9)], "t j", "t j"),
        # A member that is clearly ahead of the stack of all takes its place.
        ([option("t", 0.5), option("j", 0.95), option("t j", 0.9)], "j", "j"),
        # One that is ahead by chance does not; a control would.
        (
            [option("t", 0.5), option("j", 0.945, noise=0.03, loss=2.0), option("t j", 0.9)],
            "t j",
            "t j",
        ),
        (
            [option("t", 0.945, noise=0.03, loss=2.0), option("j", 0.5), option("t j", 0.9)],
            "t",
            "t",
        ),
        # Of two that are equally cheap the better one is chosen.
        (
            [option("t", 0.89, noise=0.05), option("j", 0.9, noise=0.05), option("t j", 0.9)],
            "j",
            "t j",
        ),
    ],
)
def test_the_cheapest_option_within_one_standard_error_is_chosen(
    options: list[Option], chosen: str, reference: str
) -> None:
    choice = choose(options, controls=[0])
    assert " ".join(options[choice.chosen].members) == chosen
    assert " ".join(options[choice.reference].members) == reference


def test_the_choice_is_never_clearly_behind_a_control() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        options = [
            option(
                members, rng.uniform(0.5, 1), loss=rng.uniform(0.5, 1), noise=rng.uniform(0, 0.1)
            )
            for members in ("t", "j", "w", "t j", "j w", "t j w")
        ]
        chosen = options[choose(options, controls=[0, 1]).chosen]
        best = max(options, key=lambda one: one.score)
        for control in (options[0], options[1]):
            error = np.std(control.scores - chosen.scores)
            assert chosen is best or control.score - chosen.score <= error + 1e-9


def heads_of(quality: float, seed: int, target: Tensor) -> Tensor:
    noise = torch.randn(len(target), 3, generator=torch.Generator().manual_seed(seed))
    return noise + quality * torch.nn.functional.one_hot(target, 3)


def test_weights_that_score_a_row_are_fitted_on_other_rows() -> None:
    target = torch.arange(60) % 3
    rows = MeasuredRows(target, np.arange(60), Classification(3), "accuracy")
    noise = [heads_of(0.0, seed, target) for seed in range(40)]
    assert rows.score(crossed(noise, rows)) < 0.55  # fitted on the same rows: far above
    useful = measured(("a",), [heads_of(3.0, 99, target)], 1, 5, rows)
    assert useful.score > 0.8
    assert useful.scores.std() == pytest.approx(
        (useful.score * (1 - useful.score) / 60) ** 0.5, rel=0.3
    )


def test_a_metric_of_errors_counts_with_its_sign_turned() -> None:
    target = torch.tensor([[0.0], [1.0], [2.0]])
    rows = MeasuredRows(target, np.arange(3), Regression(1, output="identity"), "mae")
    assert rows.score(target) == 0.0
    assert rows.score(target + 1.0) < 0.0


def test_two_models_are_far_apart_only_in_standard_errors() -> None:
    assert far_apart(option("a", 0.9, noise=0.02), option("b", 0.8))
    assert not far_apart(option("a", 0.9, noise=0.06), option("b", 0.8))


def test_a_choice_is_undecided_if_no_option_is_far_from_it() -> None:
    options = [option("t", 0.8, noise=0.06), option("j", 0.85, noise=0.06), option("t j", 0.9)]
    assert undecided(options, 2)
    assert not undecided([*options, option("w", 0.6)], 2)
    assert not undecided(options[:1], 0)


def test_what_a_head_contributes_does_not_depend_on_its_scale() -> None:
    target = torch.arange(60) % 3
    one, other = heads_of(3.0, 0, target), heads_of(3.0, 1, target)
    plain = head_shares([one, other], [1.0, 1.0], target)
    assert sum(plain) == pytest.approx(1)
    assert head_shares([10 * one, other + 5], [0.1, 1.0], target) == pytest.approx(plain, abs=1e-6)
    assert head_shares([one, other], [1.0, 0.0], target) == [1.0, 0.0]


def test_the_best_single_model_is_a_student_and_has_the_lower_loss_of_equal_scores() -> None:
    options = [
        option("t", 0.95),
        option("j", 0.9, loss=0.5),
        option("w", 0.9, loss=0.4),
        option("j w", 1.0),
    ]
    assert best_single(options, {"j": 1, "w": 1}) == 2
    assert best_single(options[:1], {}) is None


def test_methods_that_rely_on_teachers_wait_for_silence_and_a_weak_joint_model() -> None:
    weak, strong = option("j", 0.6), option("t", 0.8)
    assert reason_against("not found", weak, strong) is None
    assert "in the interaction" in str(reason_against("found", weak, strong))
    assert "is not behind" in str(reason_against("not found", strong, weak))


def test_a_model_is_never_chosen_among_copies_that_differ_only_in_the_seed() -> None:
    planned = members_of(Recipe.load("digits").changed(fusion="film"))
    options = combinations({one.name: kind_of(one) for one in planned})
    assert len(options) == len(set(options))
    alone = [names[0] for names in options if len(names) == 1]
    assert alone == ["teachers", "joint", "joint-warm", "additive", "g2d", "mses"]
    for copies in (("teachers", "teachers-2"), ("joint", "joint-2", "joint-3")):
        assert copies in options
    assert ("joint-warm", "joint-warm-2") in options
    assert tuple(one.name for one in planned) in options


def test_every_stack_that_a_smaller_budget_ends_with_can_be_chosen() -> None:
    names = ["teachers", "joint", "joint-2", "joint-warm"]
    options = combinations({name: name for name in names})
    assert all(tuple(names[:count]) in options for count in range(1, len(names) + 1))
