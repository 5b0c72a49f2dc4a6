"""Recipes and runs of earlier versions, whose defaults have changed since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from g2d.errors import RunError
from g2d.experiment.run import run
from g2d.recipe import Recipe
from g2d.runs import RECIPE, RESULT
from g2d.runs.earlier import ADDED, CHANGED
from support.written_runs import plain_result


def resolved_then(method: str) -> dict[str, Any]:
    """Return a resolved recipe as an earlier version wrote it."""
    then = {} if method != "g2d" else {"method.ranking": "batch"}
    content = Recipe.load("digits", [f"method={method}"]).changed(then).resolved()
    content["method"] |= CHANGED.get(method, {})
    for option in ADDED.get(method, {}):
        del content["method"][option]
    return content


@pytest.mark.parametrize("method", ["ogm_ge", "agm", "pmr", "reconboost", "g2d"])
def test_a_run_of_an_earlier_version_is_resumed_with_the_defaults_it_began_with(
    method: str, tmp_path: Path
) -> None:
    then = resolved_then(method)
    (tmp_path / RECIPE).write_text(yaml.safe_dump(then))
    (tmp_path / RESULT).write_text(json.dumps(plain_result(method, 0, 0.5)))
    before = CHANGED.get(method, {}) | ADDED.get(method, {})
    now = Recipe.load("digits", [f"method={method}"])
    messages: list[str] = []
    assert run(now, tmp_path, say=messages.append).test.fused["accuracy"] == 0.5
    for option, value in before.items():
        assert (
            f"{tmp_path} keeps method.{option} = {value}, the default when it was begun."
            in messages
        )
    # The recipe in the folder means what it meant.
    own = Recipe.load(tmp_path / RECIPE)
    assert {option: own.method.options[option] for option in before} == before
    assert run(own, tmp_path).test.fused["accuracy"] == 0.5
    # What a user asks for now is another run.
    today = now.method.options
    given = now.changed({f"method.{option}": today[option] for option in before})
    with pytest.raises(RunError, match=f"method.{next(iter(before))} was"):
        run(given, tmp_path)


def test_a_run_of_this_version_continues_with_its_own_values() -> None:
    for method in ("ogm_ge", "agm", "pmr", "reconboost", "g2d", "joint+smp"):
        now = Recipe.load("digits", [f"method={method}"])
        assert now.continuing(now.resolved()) == now
        assert Recipe.from_mapping(now.resolved()) == now
    assert Recipe.load("digits", ["method=reconboost"]).method.options["members"] == "growing"


def test_a_run_with_smp_of_an_earlier_version_keeps_the_ranking_it_began_with() -> None:
    earlier = {"method.modulation.ranking": "batch"}
    then = Recipe.load("digits", ["method=joint+smp"]).changed(earlier).resolved()
    del then["method"]["modulation"]["ranking"]
    now = Recipe.load("digits", ["method=joint+smp"])
    assert now.modulation.options["ranking"] == "lag"
    assert Recipe.from_mapping(then).modulation.options["ranking"] == "batch"
    assert now.continuing(then).modulation.options["ranking"] == "batch"
    given = now.changed({"method.modulation.ranking": "dataset"})
    assert given.continuing(then) == given


@pytest.mark.parametrize("method", ["g2d", "joint+smp"])
def test_a_run_ranked_by_the_former_default_is_continued_with_it(method: str) -> None:
    path = "method.modulation.ranking" if "+" in method else "method.ranking"
    now = Recipe.load("digits", [f"method={method}"])
    begun = now.changed({path: "memorization"})
    assert now.continuing(begun.resolved()).resolved() == begun.resolved()
    assert now.continuing(begun.resolved()) != now


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("vggsound", "ogm_ge", {"alpha": 0.1, "window": [0.0, 0.5]}),
        ("crema_d", "ogm_ge", {"alpha": 0.8}),
        ("vggsound", "agm", {"alpha": 1.5, "cap": 10.0, "clip": 1.0, "window": None}),
        ("av_mnist", "agm", {"alpha": 2.5, "cap": None, "clip": 1.0}),
        ("ur_funny", "agm", {"cap": 7.0, "clip": 5.0}),
        ("ur_funny", "mses", {"patience": 30}),
        ("av_mnist", "mslr", {"coefficients": {"audio": 1.3, "image": 0.7}}),
        ("vggsound", "reconboost", {"phases": [1, 1], "members": "growing"}),
    ],
)
def test_recipes_have_the_published_strengths(
    name: str, method: str, expected: dict[str, Any]
) -> None:
    options = Recipe.load(name, [f"method={method}"]).method.options
    assert {option: options[option] for option in expected} == expected
