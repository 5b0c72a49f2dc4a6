"""When a recipe may continue in a folder, and which runs are seeds of one experiment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from g2d.engine.options import TrainOptions
from g2d.errors import RunError
from g2d.runs import (
    DATA,
    MACHINE_OPTIONS,
    RECIPE,
    RESULT,
    claim,
    grouped,
    hashes_of,
    read_run,
    same_data,
)
from support.written_runs import plain_result, write_run

HASHES = {"content_hash": "c" * 64, "protocol_hash": "p" * 64}


def recipe(**changed: Any) -> dict[str, Any]:
    train = {"lr": 0.1, "decay_at": (0.5,), "device": "cpu", "workers": 0}
    return {
        "name": "joint",
        "seed": 0,
        "data": {"name": "digits", "root": "/a"},
        "train": train,
        "teachers": {"folder": None, "seed": 0, "train": dict(train)},
        **changed,
    }


def test_a_new_or_empty_folder_may_start(tmp_path: Path) -> None:
    assert claim(tmp_path / "new", recipe()) is None
    assert claim(tmp_path, recipe()) is None


def test_the_same_recipe_continues_and_a_finished_run_returns_its_result(tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(json.dumps(recipe()))
    assert claim(tmp_path, recipe()) is None
    (tmp_path / RESULT).write_text(json.dumps(plain_result("joint", 0, 0.5)))
    result = claim(tmp_path, recipe())
    assert result is not None
    assert result.test.fused["accuracy"] == 0.5


def test_only_places_and_the_machine_may_differ(tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(json.dumps(recipe()))
    elsewhere = recipe(data={"name": "digits", "root": "/b"})
    elsewhere["train"]["workers"] = elsewhere["teachers"]["train"]["workers"] = 4
    elsewhere["teachers"]["folder"] = "/teachers"
    assert claim(tmp_path, elsewhere) is None
    with pytest.raises(RunError, match="found another: seed was 0 and is now 1"):
        claim(tmp_path, recipe(seed=1))


def test_other_files_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="must be a new folder or a run folder, found other files"):
        claim(tmp_path, recipe())
    with pytest.raises(RunError, match="--out must be a folder, found the file"):
        claim(tmp_path / "notes.txt", recipe())


def test_options_of_the_machine_are_options_that_do_not_enter_a_teacher() -> None:
    options = TrainOptions(epochs=1, class_weights="balanced")
    assert set(vars(options)) - set(options.training()) == set(MACHINE_OPTIONS)


@dataclass
class Data:
    content_hash: str
    protocol_hash: str


def test_data_under_the_same_name_must_have_the_same_hashes(tmp_path: Path) -> None:
    same_data(tmp_path, HASHES)
    folder = write_run(tmp_path / "run", "joint", 0, 0.5)
    assert hashes_of(Data(**HASHES)) == HASHES  # type: ignore[arg-type]
    for begun in (False, True):
        if begun:
            (folder / DATA).write_text(json.dumps({"name": "toy", **HASHES}))
        same_data(folder, HASHES)
        same_data(folder, {"content_hash": HASHES["content_hash"]})
        with pytest.raises(
            RunError, match=r"trained on \(content hash cccccccccccc\), found others"
        ):
            same_data(folder, {**HASHES, "content_hash": "d" * 64})
    (folder / DATA).write_text("{}")
    with pytest.raises(RunError, match="must be what g2d train wrote, found damage"):
        same_data(folder, HASHES)


def test_runs_are_grouped_by_data_and_recipe(tmp_path: Path) -> None:
    def run(place: str, name: str, seed: int, lr: float = 0.1, **changed: Any) -> Any:
        given = {"train": {"lr": lr, "workers": seed}}
        return read_run(write_run(tmp_path / place, name, seed, 0.5, recipe=given, **changed))

    other = {**plain_result("joint", 0, 0.5)["data"], "content_hash": "d" * 64}
    runs = [
        run("a", "joint", 0),
        run("b", "joint", 1),
        run("c", "joint", 0, lr=0.2),
        run("d", "umt", 0),
        run("e", "umt", 0),
        run("f", "joint", 0, data=other),
        run("g", "joint", 0, modalities=["tone"]),
    ]
    runs += [
        run(output, output, 0, task={"kind": "regression", "output": output})
        for output in ("sigmoid", "identity")
    ]
    problems = grouped(runs)
    assert [len(problem.runs) for problem in problems] == [5, 1, 1, 2]
    assert {name: len(same) for name, same in problems[0].recipes.items()} == {
        "joint (train.lr=0.1)": 2,
        "joint (train.lr=0.2)": 1,
        f"umt ({tmp_path / 'd'})": 1,
        f"umt ({tmp_path / 'e'})": 1,
    }
    assert repr(problems[1]) == "Problem(toy/v1, runs of joint)"
    assert problems[0].seeds == [0, 1]
    assert problems[2].modalities == ["tone"]
