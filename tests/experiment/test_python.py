"""Training and comparing from Python: ``g2d.train``, ``g2d.compare``, ``g2d.load``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import g2d
from g2d.cli import Watcher
from g2d.errors import ArgumentError, RecipeError, RunError
from g2d.experiment.console import WATCHERS
from g2d.experiment.training import as_recipe

SMALL: dict[str, Any] = {
    "encoders.image": {"name": "cnn", "widths": [4, 4], "pool": 1},
    "encoders.tone": {"name": "mlp", "widths": [8]},
    "data.eval_draws": 1,
    "teachers.epochs": 1,
}
SCREEN = 24 * 80
QUIET: dict[str, Any] = {"progress": False, "say": lambda _: None}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> g2d.experiment.Run:
    """Train G²D on digits for two epochs."""
    folder = tmp_path_factory.mktemp("train") / "run"
    return g2d.train("digits", folder, method="g2d", epochs=2, **SMALL, **QUIET)


def test_a_recipe_is_trained_by_name_with_keywords_and_returned_as_a_run(
    trained: g2d.experiment.Run,
) -> None:
    assert (trained.recipe.method.name, trained.recipe.train.epochs) == ("g2d", 2)
    assert trained.result is not None
    assert trained.evaluate().record()["fused"] == trained.result.test.fused
    batch = trained.source.gather(trained.source.rows("test")[:3])
    seen = trained.source.view(batch, seed=0, epoch=0, train=False)
    assert len(trained.predict(seen.inputs)) == 3


def test_a_trained_run_is_opened_again_with_equal_predictions(trained: g2d.experiment.Run) -> None:
    again = g2d.load(trained.folder)
    assert again.evaluate("valid").record() == trained.evaluate("valid").record()


def test_every_form_of_a_recipe_is_accepted(tmp_path: Path) -> None:
    recipe = g2d.Recipe.load("digits", ["epochs=3", "train.lr=0.1"])
    path = tmp_path / "mine.yaml"
    path.write_text(recipe.to_yaml())
    overrides = {"epochs": 3, "train": {"lr": 0.1}}
    for form in (recipe, path, str(path), recipe.resolved()):
        assert as_recipe(form, {}).resolved() == recipe.resolved()
    assert as_recipe("digits", overrides).resolved() == recipe.resolved()
    assert as_recipe("digits", {"epochs": 3, "train.lr": 0.1}).resolved() == recipe.resolved()


def test_a_mapping_with_a_name_replaces_a_section_and_another_one_changes_it() -> None:
    base = g2d.Recipe.load("digits", ["method=g2d"])
    changed = as_recipe(base, {"method": {"alpha": 2.0}})
    assert changed.method.options == {**base.method.options, "alpha": 2.0}
    replaced = as_recipe(base, {"method": {"name": "joint"}, "epochs": 2})
    assert replaced.method.name == "joint"


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: g2d.train(3), ArgumentError, "recipe must be a Recipe, the name of .*, found 3"),
        (lambda: g2d.train("digit"), RecipeError, "Did you mean 'digits'"),
        (lambda: g2d.train("digits", method="gd2"), RecipeError, "Did you mean 'g2d'"),
        (lambda: g2d.train("digits", epoch=2), RecipeError, "Did you mean 'epochs'"),
        (lambda: g2d.compare("digits", methods=["jont"]), RecipeError, "Did you mean 'joint'"),
        (lambda: g2d.train("digits", lr=0.1), ArgumentError, r'Write train={"lr": 0.1}'),
        (lambda: g2d.train("digits", alpha=2), ArgumentError, r'Write method={"alpha": 2}'),
        (lambda: g2d.compare([]), ArgumentError, "must have recipes and seeds, found 0 recipes"),
        (lambda: g2d.compare("digits", seeds=0), ArgumentError, "found 1 recipes and 0 seeds"),
        (lambda: g2d.load("no/run"), RunError, "cannot open run no/run: no such folder"),
        (lambda: g2d.load("."), RunError, r"cannot open run \.: it has no recipe\.yaml"),
    ],
)
def test_a_first_mistake_gets_a_sentence(
    call: Callable[[], Any], error: type[Exception], sentence: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=sentence):
        call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("raw/rows.csv", r"it has no recipe\.yaml"),
        ("raw/dataset.json", "it holds prepared data"),
        ("raw", "it is a file"),
    ],
)
def test_what_is_no_run_is_refused_with_what_a_run_is(
    tmp_path: Path, file: str, fault: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("{}")
    with pytest.raises(RunError, match=rf"{fault}\. A run is the folder .* g2d fit DATA --target"):
        g2d.export(tmp_path / "raw", to=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_opening_a_comparison_names_the_runs_inside(tmp_path: Path) -> None:
    g2d.compare("digits", methods="joint", seeds=1, out=tmp_path, epochs=1, **SMALL, **QUIET)
    with pytest.raises(RunError, match=r"not a run but contains some\. Open one .*joint/seed-0"):
        g2d.load(tmp_path)


def test_without_a_folder_a_run_gets_one_that_no_other_recipe_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [
        g2d.train("digits", method="joint", epochs=epochs, **SMALL, **QUIET).folder
        for epochs in (1, 2, 1)
    ]
    assert folders == [
        Path("runs", name) for name in ("digits-joint", "digits-joint-2", "digits-joint")
    ]


def test_a_comparison_has_rows_and_prints_as_tables(tmp_path: Path) -> None:
    result = g2d.compare(
        "digits", methods="joint, ogm_ge", seeds=1, out=tmp_path, epochs=1, **SMALL, **QUIET
    )
    names = [row["name"] for row in result.rows]
    assert {"joint", "ogm_ge", "joint-warm", "teacher ensemble"} <= set(names)
    text = str(result)
    assert all(name in text for name in names)
    assert max(map(len, text.splitlines())) < 200
    assert result.page == tmp_path / "report.html"
    assert "joint" in repr(result)


def test_every_repr_fits_one_screen(trained: g2d.experiment.Run, tmp_path: Path) -> None:
    evaluation = trained.evaluate(keep_rows=True)
    rows = trained.source.gather(trained.source.rows("test")[:20])
    seen = trained.source.view(rows, seed=0, epoch=0, train=False)
    comparison = g2d.compare(trained.recipe, seeds=1, out=tmp_path, controls=False, **QUIET)
    things = (trained.result, evaluation, trained.predict(seen.inputs), comparison)
    for thing in (trained, trained.recipe, *things):
        text = repr(thing)
        assert len(text) <= SCREEN, text
        assert len(text.splitlines()) <= 24
        assert " object at 0x" not in text
    assert "test accuracy: fused" in repr(trained)
    assert "fused: accuracy" in repr(evaluation).replace("'", "")


def test_the_command_line_offers_every_logger() -> None:
    assert {logger.value for logger in Watcher} == set(WATCHERS)


def test_only_checkpoints_that_exist_are_opened(
    trained: g2d.experiment.Run, tmp_path: Path
) -> None:
    assert g2d.load(trained.folder, "last").recipe == trained.recipe
    with pytest.raises(ArgumentError, match="checkpoint must be best or last, found 'lats'"):
        g2d.load(trained.folder, "lats")
    (tmp_path / "recipe.yaml").write_text(trained.recipe.to_yaml())
    with pytest.raises(RunError, match="it has no checkpoint yet"):
        g2d.load(tmp_path)
