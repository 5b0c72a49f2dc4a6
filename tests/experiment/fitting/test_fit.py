"""``g2d fit``: members, the choice, resuming, and what the other commands do with its result."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import g2d
from g2d.cli import app
from g2d.engine.stack import Stack
from g2d.errors import ArgumentError, DataError, G2DError, RunError
from g2d.experiment.fitting import planning, previewed
from g2d.experiment.fitting.planning import members_of
from g2d.recipe import Recipe
from g2d.runs import read_plan, read_result, read_run

SMALL: dict[str, Any] = {"target": "kind", "epochs": 2, "train.threads": 1}
WORDS = ["fox", "hen", "runs", "sits", "near", "a", "the", "house", "tree", "today"]
QUIET: dict[str, Any] = {"progress": False, "say": lambda _: None}
TEACHERS: dict[str, Any] = {"name": "teachers", "about": "the teachers", "teachers": True}


def planned(folder: Path, members: list[dict[str, Any]]) -> Path:
    """Write a plan with some members."""
    plan = {"budget": "fast", "passes": 2, "members": members, "metric": "accuracy", "recipe": {}}
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder / "plan.json"


def arrays(rows: int = 120) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    label = np.arange(rows) % 3
    return {
        "sensor": rng.normal(label[:, None], 1, (rows, 4)).astype(np.float32),
        "other": rng.normal(size=(rows, 2)).astype(np.float32),
        "kind": np.array(["red", "green", "blue"])[label],
    }


def as_rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {name: values[i].tolist() for name, values in columns.items()}
        for i in range(len(columns["kind"]))
    ]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> g2d.Run:
    """Fit arrays in four passes of two epochs."""
    return g2d.fit(arrays(), out=tmp_path_factory.mktemp("fit") / "a", **SMALL, **QUIET)


def write_table(path: Path, rows: int = 80) -> None:
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["note", "size", "age", "label"])
        for i in range(rows):
            label = i % 2
            words = f"{'red' if label else 'blue'} {' '.join(rng.choices(WORDS, k=4))}"
            out.writerow([words, round(rng.gauss(label, 1), 3), i % 7, f"class {label}"])


def test_its_result_is_a_run_that_the_other_commands_open(fitted: g2d.Run) -> None:
    result = fitted.result
    assert result is not None
    assert result.fit is not None
    assert isinstance(fitted.method, Stack)
    assert fitted.evaluate().record()["fused"] == result.test.fused
    assert fitted.evaluate("valid").record()["fused"] == result.valid.fused
    assert g2d.load(fitted.folder).evaluate().record() == fitted.evaluate().record()
    batch = fitted.source.gather(fitted.source.rows("test")[:3])
    seen = fitted.source.view(batch, seed=0, epoch=0, train=False)
    assert len(fitted.predict(seen.inputs)) == 3
    for command in ("evaluate", "diagnose", "report"):
        done = CliRunner().invoke(app, [command, str(fitted.folder)])
        assert done.exit_code == 0, done.output
    page = (fitted.folder / "report.html").read_text()
    assert page.index(result.fit.paragraph[:40]) < page.index("Models to choose from")


def test_its_members_are_ordinary_runs_that_never_saw_the_test_rows(fitted: g2d.Run) -> None:
    plan = read_plan(fitted.folder / "plan.json")
    assert [one.name for one in plan.members] == ["teachers", "joint", "joint-2", "joint-warm"]
    for name in ("joint", "joint-2", "joint-warm"):
        record = read_run(fitted.folder / "members" / name)
        assert record.result.complete
        assert record.result.test.fused == {}
        assert record.result.valid.fused
        assert not (record.folder / "predictions").exists()
        assert g2d.load(record.folder).evaluate("valid").record()["fused"] == (
            record.result.valid.fused
        )
    facts = fitted.result and fitted.result.fit
    assert facts is not None
    assert set(plan.left_out) == set(facts.left_out)
    opened = {one.name for one in facts.options if one.test}
    allowed = {facts.options[i].name for i in (facts.chosen, facts.ensemble, facts.joint or 0)}
    assert opened == allowed


def test_the_scores_of_the_options_are_those_of_the_members(fitted: g2d.Run) -> None:
    result = fitted.result
    assert result is not None
    assert result.fit is not None
    joint = read_result(fitted.folder / "members" / "joint")
    assert joint is not None
    assert result.fit.member("joint").scores["fused"] == pytest.approx(
        joint.valid.fused["accuracy"]
    )
    one = result.fit.options[result.fit.joint or 0]
    assert one.score == pytest.approx(joint.valid.fused["accuracy"])  # one head: no other order
    assert (
        result.fit.options[result.fit.ensemble].test == result.controls["ensemble_calibrated"].test
    )
    assert result.fit.seconds > 0


class _Stop:
    """A console that is interrupted when a member begins."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, line: str) -> None:
        if line.startswith(self.word):
            raise KeyboardInterrupt


def test_an_interrupted_fit_continues_to_the_same_choice_and_trains_no_member_twice(
    fitted: g2d.Run, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        g2d.fit(arrays(), out=tmp_path / "b", **SMALL, progress=False, say=_Stop("joint-2"))
    done = tmp_path / "b" / "members" / "joint" / "result.json"
    before = done.stat().st_mtime_ns
    lines = list[str]()
    again = g2d.fit(arrays(), out=tmp_path / "b", **SMALL, progress=False, say=lines.append)
    taught = [line for line in lines if line.startswith("teacher of")]
    assert taught
    assert all("reused" in line for line in taught)
    assert done.stat().st_mtime_ns == before
    for run in (again, fitted):
        assert run.result is not None
    assert again.result is not None
    assert fitted.result is not None
    assert again.result.test == fitted.result.test
    assert again.result.fit is not None
    assert fitted.result.fit is not None
    assert again.result.fit.heads == fitted.result.fit.heads
    with pytest.raises(RunError, match="epochs was 2 and is now 3"):
        g2d.fit(arrays(), out=tmp_path / "b", **{**SMALL, "epochs": 3}, **QUIET)
    with pytest.raises(RunError, match="budget was 'normal' and is now 'fast'"):
        g2d.fit(arrays(), out=tmp_path / "b", budget="fast", **SMALL, **QUIET)


def test_from_a_table_to_predictions_on_the_command_line(tmp_path: Path) -> None:
    write_table(tmp_path / "my.csv")
    out = tmp_path / "fit"
    settings = ["epochs=3", "train.threads=1", "--budget", "fast", "--quiet", "--out", str(out)]
    command = ["fit", str(tmp_path / "my.csv"), "--target", "label", *settings]
    preview = CliRunner().invoke(app, [*command, "--recipe"])
    assert preview.exit_code == 0, preview.output
    assert "encoders:" in preview.stdout
    assert "# joint: the joint model" in preview.stdout
    assert not (out / "plan.json").exists()
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "was chosen" in done.output
    new = tmp_path / "new.csv"
    new.write_text("note,size,age\nred fox,1.5,2\nblue hen,-0.5,3\n")
    predicted = CliRunner().invoke(
        app, ["predict", str(out), "--source", str(new), "--out", str(tmp_path / "p.csv")]
    )
    assert predicted.exit_code == 0, predicted.output
    with (tmp_path / "p.csv").open() as file:
        assert {row["prediction"] for row in csv.DictReader(file)} <= {"class 0", "class 1"}
    moved = out.rename(tmp_path / "moved")
    assert len(g2d.load(moved).predict(new)) == 2


def test_seconds_become_a_list_of_members_once_and_another_fit_repeats_it(
    tmp_path: Path,
) -> None:
    first = g2d.fit(arrays(), out=tmp_path / "a", budget=0.001, **SMALL, **QUIET)
    plan = read_plan(first.folder / "plan.json")
    assert plan.seconds_per_pass is not None
    assert [one.name for one in plan.members] == ["teachers"]
    assert first.result is not None
    assert first.result.fit is not None
    assert "joint" in first.result.fit.left_out
    assert "not trained: joint" in first.result.fit.paragraph
    assert first.evaluate().record()["fused"] == first.result.test.fused
    ensemble = first.result.controls["ensemble_calibrated"].test["accuracy"]
    assert first.result.test.fused["accuracy"] == pytest.approx(ensemble)
    second = g2d.fit(
        arrays(), out=tmp_path / "b", plan=first.folder / "plan.json", **SMALL, **QUIET
    )
    assert [one.name for one in read_plan(second.folder / "plan.json").members] == ["teachers"]


@pytest.mark.parametrize("form", [arrays, lambda: as_rows(arrays())])
def test_arrays_and_rows_from_python_are_kept_with_the_result(form: Any, tmp_path: Path) -> None:
    run = g2d.fit(form(), "kind", out=tmp_path / "a", budget=1e-3, epochs=1, **QUIET)
    assert set(run.modalities) == {"sensor", "other"}
    again = g2d.load(tmp_path / "a")
    assert set(again.task.names) == {"red", "green", "blue"}
    assert again.evaluate().record() == run.evaluate().record()


def test_values_are_fitted_by_a_metric_of_errors_and_predicted_without_a_modality(
    tmp_path: Path,
) -> None:
    values = arrays()
    rng = np.random.default_rng(1)
    values["kind"] = values["sensor"].mean(1).astype(np.float64) + rng.normal(0, 0.1, 120)
    values["other"][::5] = np.nan
    run = g2d.fit(
        values, "kind", out=tmp_path / "a", budget="fast", metric="mae", epochs=2, **QUIET
    )
    assert run.result is not None
    assert run.result.fit is not None
    assert run.result.fit.options[run.result.fit.chosen].score < 0
    assert "validation mae 0." in run.result.fit.paragraph
    alone = g2d.load(tmp_path / "a").predict({"sensor": torch.randn(4, 4)})
    assert torch.isfinite(alone.values).all()


def test_modalities_can_be_chosen_and_one_alone_has_no_joint_model(tmp_path: Path) -> None:
    run = g2d.fit(
        arrays(), "kind", modalities="sensor", out=tmp_path / "a", budget="fast", epochs=1, **QUIET
    )
    assert run.modalities == ("sensor",)
    assert run.result is not None
    assert run.result.fit is not None
    assert [one.name for one in run.result.fit.members] == ["teachers", "teachers-2"]
    assert run.result.fit.interaction is None


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda out: g2d.fit("no.csv", "y", out=out), ArgumentError, "DATA must be .*'no.csv'"),
        (
            lambda out: g2d.fit("digits", budget="fats", out=out),
            ArgumentError,
            "Did you mean 'fast'",
        ),
        (lambda out: g2d.fit("digits", budget=-1, out=out), ArgumentError, "positive number"),
        (
            lambda out: g2d.fit("digits", budget=None, out=out),
            ArgumentError,
            "budget must be one of fast, normal, thorough, SECONDS, found None",
        ),
        (lambda out: g2d.fit("digits", budget=True, out=out), ArgumentError, "SECONDS, found True"),
        (
            lambda out: g2d.fit("digits", kinds={"note": "text"}, out=out),
            ArgumentError,
            "kinds must be given with raw data",
        ),
        (
            lambda out: g2d.fit("digits", modalities="image,tine", out=out),
            ArgumentError,
            "modalities must be some of image, tone, found tine. Did you mean 'tone'",
        ),
        (lambda out: g2d.fit(arrays(), out=out), ArgumentError, "target must name"),
        (lambda out: g2d.fit(arrays(), "knd", out=out), ArgumentError, "target must be among"),
        (lambda out: g2d.fit(3, "y", out=out), ArgumentError, "data must be a path.*found int"),
        (lambda out: g2d.fit(as_rows(arrays()), "knd", out=out), DataError, "a column 'knd'"),
        (lambda out: g2d.fit("digits", metric="acc", out=out), ArgumentError, "accuracy"),
        (lambda out: g2d.fit("digits", epoch=1, out=out), G2DError, "Did you mean 'epochs'"),
        (lambda out: previewed("digits", budget="", out=out), ArgumentError, "budget must be"),
    ],
)
def test_a_first_mistake_gets_a_sentence(
    call: Any, error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        call(tmp_path / "a")
    assert not (tmp_path / "a" / "plan.json").exists()


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"--out must be a new folder or one of g2d fit.*mine\.txt"):
        g2d.fit(arrays(), out=tmp_path, **SMALL, **QUIET)
    damaged = tmp_path / "a"
    damaged.mkdir()
    (damaged / "plan.json").write_text(json.dumps({"budget": 1}))
    with pytest.raises(RunError, match=r"plan\.json must be a plan of g2d fit, found damage: bud"):
        g2d.fit(arrays(), out=damaged, **SMALL, **QUIET)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([], "the first member must be teachers"),
        ([{"name": "joint", "about": "a"}], "the first member must be teachers"),
        (
            [TEACHERS] * 2,
            "names must be unique, of 1 to 200 bytes .*, found 'teachers'",
        ),
        (
            [TEACHERS, {"name": "../j", "about": "a"}],
            "found '../j'",
        ),
        (
            [TEACHERS, {"name": "late", "about": "a", "setting": {"fusion": "late"}}],
            "setting: no such key",
        ),
        (
            [TEACHERS, {"name": "half", "about": "a", "settings": {"data.modalities": ["other"]}}],
            "data.modalities must be the same for all members",
        ),
    ],
)
def test_a_plan_that_cannot_be_trained_is_refused(
    members: list[dict[str, Any]], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=rf"found damage: members.*{sentence}"):
        g2d.fit(arrays(), out=tmp_path / "a", plan=planned(tmp_path, members), **SMALL, **QUIET)


def test_a_score_of_a_modality_alone_counts_the_rows_that_have_it(tmp_path: Path) -> None:
    gaps = arrays() | {"sensor.present": np.arange(120) % 5 > 0}
    plan = planned(tmp_path, [TEACHERS])
    result = g2d.fit(gaps, out=tmp_path / "a", plan=plan, **SMALL, **QUIET).result
    assert result is not None
    assert result.fit is not None
    assert result.fit.own == result.fit.teachers  # the teachers are the chosen model
    alone = {m: result.teachers[m].test["accuracy"] for m in result.teachers}
    assert alone == {m: scores["accuracy"] for m, scores in result.test.unimodal.items()}


def test_the_time_of_an_epoch_leaves_out_what_only_the_first_call_costs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = {1: [2.0], 3: [0.4, 0.1, 0.2]}  # by the number of epochs
    trained = list[int]()

    def timed(method: Any, model: Any, source: Any, options: Any) -> Any:
        trained.append(options.epochs)
        return SimpleNamespace(history=[{"seconds": one} for one in seconds[options.epochs]])

    monkeypatch.setattr(planning, "fit", timed)
    recipe = Recipe.load("digits")
    assert planning.seconds_per_epoch(recipe, recipe.build_source()) == pytest.approx(2 * 0.1)
    assert trained == [1, 3, 1, 3]
    seconds[1] = [planning.SHORT + 1]
    assert planning.seconds_per_epoch(recipe, recipe.build_source()) == 2 * (planning.SHORT + 1)


def test_a_modality_without_validation_rows_is_no_obstacle(tmp_path: Path) -> None:
    split = np.repeat(["train", "valid", "test"], [80, 20, 20])
    gaps = arrays() | {"split": split, "other.present": split != "valid"}
    run = g2d.fit(gaps, out=tmp_path / "a", budget="fast", **SMALL, **QUIET)
    assert run.result is not None
    assert run.result.fit is not None
    assert "other" not in run.result.fit.at_chance


def test_a_fusion_of_ones_own_is_named_and_not_trained_twice() -> None:
    recipe = Recipe.load("digits").changed(fusion="late")
    members = {one.name: one.about for one in members_of(recipe)}
    assert members["joint"] == "the joint model (late fusion)"
    assert "additive" not in members
