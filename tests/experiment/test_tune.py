"""Search: equal trials for every recipe, validation rows only, and continuing an old search."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from g2d.cli import app
from g2d.engine import evaluate as evaluating
from g2d.errors import ArgumentError, RecipeError, RunError
from g2d.experiment.console import Console
from g2d.experiment.searching import Search
from g2d.experiment.tune import read_space, search_space, tune, with_values
from g2d.method import Choice, Log, Whole
from g2d.methods import METHODS
from g2d.recipe import Recipe

from .conftest import SMALL

optuna = pytest.importorskip("optuna", reason="optuna is not installed")


def command(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def recipe(name: str, *overrides: str) -> Recipe:
    return Recipe.load("digits", [f"method={name}", *SMALL, *overrides])


def test_every_recipe_has_the_same_number_of_trials_and_starts_from_its_own_values(
    tmp_path: Path,
) -> None:
    result = command(
        "tune",
        "digits",
        "--methods",
        "joint,mslr,umt",
        "--trials",
        3,
        "--out",
        tmp_path,
        *SMALL,
        "epochs=1",
        "teachers.epochs=1",
    )
    assert result.exit_code == 0, result.output
    entries = json.loads((tmp_path / "tune.json").read_text())
    assert [(entry["name"], entry["trials"]) for entry in entries] == [
        ("joint", 3),
        ("mslr", 3),
        ("umt", 3),
    ]
    for entry in entries:
        assert entry["best"] >= entry["start"]
        tuned = Recipe.load(tmp_path / f"{entry['name']}.yaml")
        values = tuned.resolved()
        for key, value in entry["values"].items():
            section, _, option = key.partition(".")
            assert values[section][option] == pytest.approx(value)
        assert tuned.teachers.train.lr == 0.01  # the search does not change the teachers
    assert result.output.count("its own values") == 3
    again = command(
        "tune",
        "digits",
        "--methods",
        "joint",
        "--trials",
        4,
        "--out",
        tmp_path,
        *SMALL,
        "epochs=1",
        "teachers.epochs=1",
    )
    assert again.exit_code == 0, again.output
    assert again.output.count(", trial ") == 1  # the three that are finished are kept


def test_the_test_split_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits: list[str] = []
    rows = evaluating.Loader.__init__

    def watched(self: Any, source: Any, split: str, *rest: Any, **more: Any) -> None:
        splits.append(split)
        rows(self, source, split, *rest, **more)

    monkeypatch.setattr(evaluating.Loader, "__init__", watched)
    tune([recipe("joint", "epochs=1")], trials=2, out=tmp_path, say=lambda _: None)
    assert set(splits) == {"train", "valid"}
    assert not (tmp_path / "runs").exists()  # trials leave no folders
    with pytest.raises(
        RecipeError, match="select_on must be validation for a search, found test in digits-joint"
    ):
        tune([recipe("joint", "train.select_on=test")], out=tmp_path)


def test_a_method_without_anything_to_search_has_one_trial(tmp_path: Path) -> None:
    text = tune([recipe("ume", "teachers.epochs=1")], trials=5, out=tmp_path, say=lambda _: None)
    assert re.search(r"^digits-ume +1 ", text, re.M)


def test_the_mean_over_seeds_is_the_score(tmp_path: Path) -> None:
    for seeds, name in ((1, "one"), (2, "two")):
        tune(
            [recipe("joint", "epochs=1")],
            trials=1,
            seeds=seeds,
            out=tmp_path / name,
            say=lambda _: None,
        )
    tune(
        [recipe("joint", "epochs=1", "seed=1")],
        trials=1,
        out=tmp_path / "other",
        say=lambda _: None,
    )
    one, two, other = (
        json.loads((tmp_path / name / "tune.json").read_text())[0]["best"]
        for name in ("one", "two", "other")
    )
    assert two == pytest.approx((one + other) / 2)


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if kind.trains])
def test_the_space_of_every_method_fits_its_recipe(name: str) -> None:
    tau = (
        {"method": {"name": name, "tau": [1, 1]}}
        if "tau" in METHODS[name].__init__.__kwdefaults__ or name == "g2d_released"
        else {"method": name, "epochs": 2}
    )
    data = (
        {"data": "soil", "encoders": {"image": "cnn", "weather": "mlp"}}
        if "classification" not in METHODS[name].tasks
        else {}
    )
    content = {"data": "digits", "encoders": {"image": "cnn", "tone": "mlp"}, **tau, **data}
    given = Recipe.from_mapping(content)
    space = search_space(given)
    assert space["train.lr"] == Log(0.002, 0.05)
    for key, each in space.items():
        values = each.values if isinstance(each, Choice) else (each.low, each.high)
        for value in values:
            chosen = (
                dict.fromkeys(given.modalities, value)
                if isinstance(each, Log) and each.per_modality
                else value
            )
            section, _, option = key.partition(".")
            assert with_values(given, {key: chosen}).resolved()[section][option] == chosen


def test_a_space_can_be_written_on_the_command_line() -> None:
    assert read_space("method.alpha=0.1..10") == ("method.alpha", Log(0.1, 10.0))
    assert read_space("method.patience=2..9:whole") == ("method.patience", Whole(2, 9))
    assert read_space("method.strategy=keep|dynamic") == (
        "method.strategy",
        Choice(("keep", "dynamic")),
    )


@pytest.mark.parametrize(
    "text",
    [
        "method.alpha",
        "method.alpha=1",
        "method.alpha=5..1",
        "method.alpha=0..1",
        "method.alpha=a..b",
        "x=1..2:log",
    ],
)
def test_a_space_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"--search must be KEY=LOW\.\.HIGH"):
        read_space(text)


def test_what_cannot_be_searched_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    result = command(
        "tune", "digits", "method=joint", "--search", "method.alfa=0.1..1", "--out", tmp_path / "x"
    )
    assert result.exit_code == 2
    assert "method.alfa" in result.output
    assert not (tmp_path / "x").exists()
    result = command("tune", "digits", "digits", "method=joint")
    assert result.exit_code == 2
    assert "the names of recipes must differ, found 'digits-joint' twice" in result.output


def trials_of(search: Search) -> list[tuple[dict[str, Any], float | None]]:
    return [(trial.user_attrs["values"], trial.value) for trial in search._done()]


def test_commands_that_share_a_storage_share_the_trials(tmp_path: Path) -> None:
    given = recipe("joint", "epochs=1", "teachers.epochs=1")
    space, console = {"train.lr": Log(0.002, 0.05)}, Console(lambda text: None, progress=False)
    storage = f"sqlite:///{tmp_path}/trials.db"

    def search(trials: int, name: str) -> Search:
        return Search(given, space, 1, tmp_path / name, trials, storage)

    assert [cell.name for cell in search(4, "a").cells(2)] == [
        "digits-joint",
        "digits-joint, process 2",
    ]
    search(2, "a").run(console)
    states = optuna.trial.TrialState  # a process was killed during its trial
    killed = optuna.trial.create_trial(state=states.RUNNING, user_attrs={"values": {}})
    search(2, "a").study.add_trial(killed)
    tuned = search(3, "b").run(console)
    kept = trials_of(search(3, "b"))
    assert tuned.trials == len(kept) == 3
    assert [not values for values, _ in kept] == [True, False, False]
    assert len({str(values) for values, _ in kept}) == 3
    assert search(2, "c").run(console).trials == 2  # as many as wanted, although there are more
    assert trials_of(search(2, "c")) == kept[:2]
    file = tmp_path / "trials.log"
    assert Search(given, space, 1, tmp_path / "d", 3, str(file)).begin() == 0
    assert file.is_file()


def test_a_storage_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    given = [recipe("joint", "epochs=1")]
    with pytest.raises(ArgumentError, match="storage must be the path of a journal file or the"):
        tune(given, trials=1, out=tmp_path / "new", storage="nosuch://a", say=lambda _: None)
    assert not (tmp_path / "new").exists()


def test_a_search_that_fails_is_reported_and_the_others_are_finished(tmp_path: Path) -> None:
    given = [recipe("mis_me", "epochs=1"), recipe("joint", "epochs=1")]
    with pytest.raises(RunError, match="1 search failed; the rest is finished"):
        tune(given, trials=1, out=tmp_path, say=lambda _: None)
    assert [one["name"] for one in json.loads((tmp_path / "tune.json").read_text())] == [
        "digits-joint"
    ]
    script = command("tune", "digits", "method=joint", "--search", "train.lr=1|2", "--dry-run")
    assert "--search 'train.lr=1|2'" in script.output
    assert '--shard "${SLURM_ARRAY_TASK_ID:?}/1" &' in script.output
