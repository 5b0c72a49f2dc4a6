"""Runs of several students: trained from seeds of their own, then stacked."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import g2d
from g2d.cli import app
from g2d.engine.stack import Stack
from g2d.errors import ArgumentError, RecipeError
from g2d.experiment.students import student_recipes
from g2d.methods import METHODS
from g2d.recipe import Recipe
from g2d.runs import read_run
from support.outcomes import timeless

from .conftest import SMALL

QUIET: dict[str, Any] = {"progress": False, "say": lambda _: None}
SHORT = [*SMALL, "epochs=2", "train.calibrate=true", "train.batch_size=64"]


def command(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def train(folder: Path, *overrides: str, code: int = 0) -> str:
    return command("train", "digits", *overrides, *SHORT, "--quiet", "--out", folder, code=code)


def outcome(folder: Path) -> dict[str, Any]:
    """Return all weights and results of a run and its students, without measured times."""
    results = {
        str(path.relative_to(folder)): timeless(json.loads(path.read_text()))
        for path in folder.rglob("result.json")
    }
    for result in results.values():
        for student in result["stack"]["students"].values():
            del student["teachers"]["folder"]  # next to the run
    weights = folder.rglob("*.safetensors")
    return results | {str(path.relative_to(folder)): path.read_bytes() for path in weights}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> g2d.Run:
    """Train two joint models, stacked."""
    folder = tmp_path_factory.mktemp("pair") / "a"
    train(folder, "method=joint-pair")
    return g2d.load(folder)


def test_every_command_works_on_a_run_of_two_students(pair: g2d.Run, tmp_path: Path) -> None:
    assert isinstance(pair.method, Stack)
    assert pair.result is not None
    assert list(pair.result.stack.head_weights) == [
        f"{name}: {m}" for name in ("student", "student-2") for m in ("image", "tone")
    ]
    assert pair.evaluate().record()["fused"] == pair.result.test.fused
    assert pair.evaluate("valid").record()["fused"] == pair.result.valid.fused
    for word in ("evaluate", "diagnose", "report"):
        command(word, pair.folder)
    batch = pair.source.gather(pair.source.rows("test")[:3])
    seen = pair.source.view(batch, seed=0, epoch=0, train=False).inputs
    bundle = g2d.export(pair, to=tmp_path / "b")
    assert bundle.predict(seen).output.logits.equal(pair.predict(seen).output.logits)
    assert str(pair.folder.parent) not in (tmp_path / "b" / "bundle.json").read_text()


def test_each_student_is_the_run_of_its_seed_and_never_sees_the_test_rows(
    pair: g2d.Run, tmp_path: Path
) -> None:
    second = read_run(pair.folder / "members" / "student-2")
    assert second.seed == 1000
    assert second.result.test.fused == {}
    assert not (second.folder / "predictions").exists()
    for seed, folder in ((0, pair.folder), (1000, second.folder)):
        train(tmp_path / str(seed), "method=joint", f"seed={seed}")
        alone = tmp_path / str(seed) / "checkpoints" / "best"
        own = folder / "checkpoints" / "best"
        assert sorted(path.name for path in alone.glob("*.safetensors"))
        for path in alone.glob("*.safetensors"):
            assert path.read_bytes() == (own / path.name).read_bytes()
    one = read_run(tmp_path / "0").result.cost
    both, other = read_run(pair.folder).result.cost, second.result.cost
    assert one.flops_per_step
    assert one.updates
    assert both.flops_per_step == 2 * one.flops_per_step
    assert (both.updates, both.epochs) == (2 * one.updates, 4)
    assert both.passes == {
        kind: {m: 2 * count for m, count in passes.items()} for kind, passes in one.passes.items()
    }
    assert both.seconds > other.seconds > 0


def test_it_continues_bit_for_bit_after_an_interruption_in_each_student(
    pair: g2d.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pair.result is not None
    epoch = (pair.result.cost.updates or 0) // 4
    # In both epochs of the second student, which is trained first, and then in the first one.
    moments = [epoch // 2, epoch + epoch // 2, 2 * epoch + epoch // 2]
    step, steps = METHODS["joint"].training_step, 0

    def counted(self: Any, state: Any, batch: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps in moments:
            signal.raise_signal(signal.SIGINT)
        return step(self, state, batch)

    monkeypatch.setattr(METHODS["joint"], "training_step", counted)
    for _ in moments:
        assert "Run the same command again" in train(tmp_path / "a", "method=joint-pair", code=130)
    train(tmp_path / "a", "method=joint-pair")
    assert outcome(tmp_path / "a") == outcome(pair.folder)


def test_students_of_neighboring_seeds_differ_and_share_the_teachers_of_their_run() -> None:
    out = Path("runs", "a")
    seeds = [
        student.train.seed
        for seed in range(20)
        for recipe in [Recipe.load("digits", [f"seed={seed}", "students=3", "method=g2d"])]
        for student in (recipe, *student_recipes(recipe, out).values())
    ]
    assert len(set(seeds)) == len(seeds) == 60
    recipe = Recipe.load("digits", ["seed=3", "students=2", "stack=1", "controls=true"])
    (second,) = student_recipes(recipe, out).values()
    assert second.teachers.train == recipe.teachers.train
    assert str(second.teachers.folder) == str(Path("runs", "teachers"))
    assert (second.is_stack, second.controls) == (False, False)
    assert second.method == recipe.method


def test_a_stack_within_a_fit_or_of_a_method_without_students_is_refused() -> None:
    with pytest.raises(RecipeError, match="students must be 1 for ume, which trains no student"):
        Recipe.load("digits", ["method=ume", "students=2", "epochs=1"])
    with pytest.raises(RecipeError, match="students must be greater than or equal to 1, found 0"):
        Recipe.load("digits", ["students=0"])
    with pytest.raises(ArgumentError, match="students must be left out of a fit"):
        g2d.fit("digits", students=2, **QUIET)


def test_a_recipe_of_one_student_has_the_keys_of_earlier_versions() -> None:
    assert "students" not in Recipe.load("digits").resolved()
    pair = Recipe.load("digits", ["method=joint-pair"])
    assert pair.resolved()["students"] == 2
    assert Recipe.from_mapping(pair.resolved()) == pair
