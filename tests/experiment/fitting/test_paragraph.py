"""The paragraph of a fit is a function of its numbers: names do not matter, swaps turn it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from g2d.experiment.fitting.paragraph import paragraph
from g2d.runs import FitFacts

FACTS: dict[str, Any] = {
    "budget": "normal",
    "passes": 2,
    "metric": "accuracy",
    "modalities": ["picture", "noise"],
    "rows": 240,
    "members": [
        {
            "name": "teachers",
            "about": "the teachers",
            "teachers": True,
            "scores": {"fused": 0.6},
            "unimodal": {"picture": 0.8, "noise": 0.3},
        },
        {
            "name": "joint",
            "about": "the joint model",
            "scores": {"fused": 0.5},
            "unimodal": {"picture": 0.4, "noise": 0.3},
            "relies": {"picture": 0.2, "noise": 0.6},
        },
    ],
    "options": [
        {"members": ["teachers"], "passes": 1, "parameters": 10, "score": 0.8, "loss": 0.7,
         "behind": 0.05, "error": 0.01, "test": {"accuracy": 0.79}},
        {"members": ["joint"], "passes": 1, "parameters": 10, "score": 0.5, "loss": 1.5,
         "behind": 0.35, "error": 0.03, "test": {"accuracy": 0.51}},
        {"members": ["teachers", "joint"], "passes": 2, "parameters": 20, "score": 0.85,
         "loss": 0.6, "test": {"accuracy": 0.84}},
    ],
    "chosen": 2,
    "reference": 2,
    "single": 1,
    "ensemble": 0,
    "joint": 1,
    "teachers": {"picture": 0.8, "noise": 0.3},
    "own": {"picture": 0.8, "noise": 0.3},
    "heads": {"teachers 1: picture": 0.9, "teachers 1: noise": 0.1, "joint: fused": 1.0},
    "shares": {"teachers 1: picture": 0.45, "teachers 1: noise": 0.05, "joint: fused": 0.5},
    "interaction": {"state": "not found", "share": [0.02, 0.0, 0.04]},
    "unstable": None,
    "left_out": {"joint-2": "no room"},
    "seconds": 90.0,
}  # fmt: skip


def facts(**changes: Any) -> FitFacts:
    return FitFacts.model_validate(copy.deepcopy(FACTS) | changes)


def test_it_says_what_was_chosen_why_and_what_it_cost() -> None:
    assert paragraph(facts()) == (
        "The stack of the teachers and the joint model was chosen (validation accuracy 85.0 %):"
        " no cheaper model has a score within one standard error and no higher loss. The best "
        "single model is the joint model, with 50.0 % (35.0 points worse) and a loss of 1.5 "
        "instead of 0.6, for one forward pass per prediction instead of 2. In comparison, the "
        "calibrated teachers have 80.0 %. The heads that read one modality contribute 45 % "
        "(picture) and 5 % (noise) of its prediction. The head of the joint model contributes "
        "50 %; it relies most on noise, without which it loses 60 % of its score, then on "
        "picture (20 %). Joint training suppressed picture: 80.0 % alone, 40.0 % inside the "
        "joint model; the chosen model has it at 80.0 %; it is no longer suppressed. No "
        "interaction of the modalities was found: its share of the variance of the joint "
        "prediction is 0.02. It took 2 passes of the training rows per epoch and 1.5 min of "
        "training; not trained: joint-2. On the test rows, the chosen model reaches 84.0 %, the"
        " calibrated teachers 79.0 % and joint training 51.0 %."
    )


def test_renamed_results_give_the_same_sentences() -> None:
    renamed = json.loads(
        json.dumps(FACTS).replace("picture", "a").replace("noise", "b").replace("joint", "j")
    )
    renamed["joint"] = renamed.pop("j")
    changed = paragraph(FitFacts.model_validate(renamed))
    expected = paragraph(facts()).replace("picture", "a").replace("noise", "b")
    expected = expected.replace("the joint model", "the j model").replace("joint-2", "j-2")
    assert changed.replace("inside the joint", "inside the j") == expected


@pytest.mark.parametrize(
    ("changes", "there", "gone"),
    [
        (
            {"interaction": {"state": "found", "share": [0.4, 0.3, 0.5]}},
            "The answer is in the interaction of the modalities: its share of the variance of the "
            "joint prediction is 0.40",
            "No interaction",
        ),
        (
            {"interaction": {"state": "not tested"}},
            "was not tested",
            "No interaction",
        ),
        ({"own": {"picture": 0.4, "noise": 0.3}}, "it still is suppressed", "no longer"),
        (
            {"teachers": {"picture": 0.41, "noise": 0.3}},
            "suppressed no modality",
            "suppressed picture",
        ),
        (
            {"teachers": {"picture": 0.4, "noise": 0.8}},
            "Joint training suppressed noise: 80.0 % alone, 30.0 % inside",
            "suppressed picture",
        ),
        (
            {"at_chance": ["picture"]},
            "The teacher of picture is not above chance. Joint training suppressed no modality",
            "suppressed picture",
        ),
        (
            {"at_chance": ["picture", "noise"]},
            "The teachers of picture and noise are not above chance.",
            "suppressed picture",
        ),
        (
            {"undecided": True},
            "The validation rows (240) are too few to tell the models apart: no score differs from "
            "that of the chosen model by more than two standard errors. The best single model",
            "no higher loss. The best",
        ),
        ({"unstable": [0.1, 0.02]}, "10.0 points apart", "not apart"),
        (
            {"chosen": 0},
            "The weighted sum of the teachers was chosen (validation accuracy 80.0 %): it needs "
            "one forward pass instead of 2, and its score is within one standard error of that of "
            "the stack of the teachers and the joint model (a difference of 5.0 points ± 1.0 "
            "points)",
            "no cheaper",
        ),
        ({"left_out": {}}, "of training.", "not trained"),
        ({"passes": 1}, "It took 1 pass of", "1 passes"),
        ({"seconds": 0.2}, "less than 1 s of training", " 0 s"),
        (
            {"single": None},
            "the calibrated teachers have 80.0 % and joint training has 50.0 %",
            "best single",
        ),
        (
            {
                "options": FACTS["options"][:1],
                "chosen": 0,
                "reference": 0,
                "joint": None,
                "single": None,
                "shares": {"teachers 1: picture": 1.0},
            },
            "(validation accuracy 80.0 %): no other model was trained.",
            "cheaper",
        ),
    ],
)
def test_other_numbers_give_the_opposite_sentences(
    changes: dict[str, Any], there: str, gone: str
) -> None:
    text = paragraph(facts(**changes))
    assert there in text
    assert gone not in text


def test_swapped_members_swap_what_the_head_relies_on() -> None:
    swapped = copy.deepcopy(FACTS["members"])
    swapped[1]["relies"] = {"picture": 0.6, "noise": 0.01}
    text = paragraph(facts(members=swapped))
    assert "it relies most on picture, without which it loses 60 %" in text
    assert "hardly on noise" in text


def test_a_metric_of_errors_is_shown_as_its_own_value() -> None:
    options = copy.deepcopy(FACTS["options"])
    for one, score in zip(options, (-3.0, -4.0, -2.5), strict=True):
        one["score"], one["test"] = score, {"mae": -score}
    text = paragraph(facts(metric="mae", options=options))
    assert "validation mae 2.50" in text
    assert "the chosen model reaches 2.50, the calibrated teachers 3.00" in text
