"""``g2d export``: a model that predicts exactly as its run, without the data."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import g2d
from g2d.engine.stack import Stack
from g2d.errors import ArgumentError, DataError, RunError
from g2d.experiment import exporting
from support.command_line import command, write_csv
from support.media_files import write_image

QUIET: dict[str, Any] = {"progress": False, "say": lambda _: None}
SMALL: dict[str, Any] = {
    "method": "joint",
    "encoders.image": {"name": "cnn", "widths": [4, 4], "pool": 1},
    "encoders.tone": {"name": "mlp", "widths": [8]},
    "data.eval_draws": 1,
    "epochs": 1,
}
COLORS = ("red", "blue")
WORDS = ["fox", "hen", "runs", "sits", "near", "the", "house"]


def row(i: int) -> dict[str, Any]:
    """Return a row; some rows lack the photo, a size or a color."""
    rng, label = random.Random(i), i % 2
    return {
        "id": f"r{i}",
        "photo": "" if i % 5 == 0 else f"{i % 4}.png",
        "note": f"{COLORS[label]} {' '.join(rng.choices(WORDS, k=3))}",
        "size": "" if i % 7 == 0 else round(rng.gauss(label, 1), 3),
        "hue": "" if i % 11 == 0 else COLORS[rng.randrange(2)],
        "age": rng.randrange(9) + 1e7,
        "label": f"class {label}",
    }


def without(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.items() if key not in columns} for one in rows]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a table with pictures, texts and numbers, and new rows with and without pictures."""
    folder = tmp_path_factory.mktemp("export") / "all"
    folder.mkdir()
    for i in range(4):
        write_image(folder / f"{i}.png", np.full((12, 12, 3), 60 * i, np.uint8))
    new = [row(i) for i in range(100, 110)]
    write_csv(folder / "new.csv", new)
    write_csv(folder / "no_photo.csv", without(new, "photo", "size"))
    write_csv(folder / "mine.csv", [row(i) for i in range(60)])
    command("data", "prepare", "table", "--source", folder / "mine.csv", "--out", folder / "store",
            "size=16", "--workers", 1, "-q")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def runs(place: Path) -> dict[str, g2d.Run]:
    """Train G²D, a stack and a fit."""
    recipe = g2d.Recipe.load(place / "store" / "recipe.yaml")
    short: dict[str, Any] = {"epochs": 4, "teachers.epochs": 1, "controls": False, **QUIET}
    return {
        "g2d": g2d.train(recipe, place / "g2d", method="g2d", **short),
        "stack": g2d.train(recipe, place / "stack", method="joint", stack=1, **short),
        "fit": g2d.fit(place / "store", out=place / "fit", budget="fast", epochs=1, **QUIET),
    }


def answers(run: g2d.Run, place: Path) -> list[torch.Tensor]:
    """Return all logits for the new rows, also without the photo."""
    outputs = [run.predict(place / name).output for name in ("new.csv", "no_photo.csv")]
    return [one for out in outputs for one in (out.logits, *(out.unimodal_logits or {}).values())]


def test_it_predicts_as_before_when_everything_else_is_gone(
    place: Path, runs: dict[str, g2d.Run], tmp_path: Path
) -> None:
    assert isinstance(runs["stack"].method, Stack)
    before = {name: answers(run, place) for name, run in runs.items()}
    scores = {name: run.evaluate(rows=place / "mine.csv").record() for name, run in runs.items()}
    predictions = tmp_path / "p.csv"
    printed = command("predict", place / "g2d", "--source", place / "no_photo.csv",
                      "--out", predictions)  # fmt: skip
    rows = predictions.read_text()
    for name in runs:
        assert "predicts exactly as" in command("export", place / name, "--to", tmp_path / name)
    moved = tmp_path / "rows"
    moved.mkdir()
    for path in (*place.glob("*.png"), *place.glob("*.csv")):
        shutil.copy(path, moved)
    gone = place.rename(place.with_name("gone"))
    try:
        for name, expected in before.items():
            bundle = g2d.load(tmp_path / name)
            for one, two in zip(answers(bundle, moved), expected, strict=True):
                assert torch.equal(one, two)
            assert bundle.evaluate(rows=moved / "mine.csv").record() == scores[name]
            text = (tmp_path / name / "bundle.json").read_text()
            assert str(gone.parent) not in text
            assert "r42" not in text
        again = command("predict", tmp_path / "g2d", "--source", moved / "no_photo.csv",
                        "--out", predictions)  # fmt: skip
        assert again == printed
        assert "photo is not given: it is absent in every row" in again
        assert predictions.read_text() == rows
        table = command("evaluate", tmp_path / "fit", "--source", moved / "mine.csv")
        assert f"{100 * scores['fit']['fused']['accuracy']:.1f}" in table
        with pytest.raises(DataError, match="found no note"):
            bundle.predict(write_csv(moved / "less.csv", without([row(1)], "note")))
        with pytest.raises(DataError, match="found 'class 7'"):
            bundle.evaluate(rows=write_csv(moved / "other.csv", [row(1) | {"label": "class 7"}]))
        zeros = bundle.source.gather(np.arange(1))
        seen = bundle.source.view(zeros, seed=0, epoch=0, train=False)
        assert len(bundle.predict(seen.inputs)) == 1
        assert "has no rows to evaluate" in command("evaluate", tmp_path / "fit", code=2)
        assert "has no rows to diagnose" in command("diagnose", tmp_path / "fit", code=2)
    finally:
        gone.rename(place)


def test_its_card_says_what_it_is(runs: dict[str, g2d.Run], tmp_path: Path) -> None:
    result = g2d.export(runs["fit"], to=tmp_path / "a").result
    card = tmp_path / "a" / "README.md"
    parts = ("class 0", "columns note", "may be absent", "seed 0", "accuracy", "a stack", "lr:")
    for part in parts:
        assert part in card.read_text()
    assert runs["fit"].result is not None
    assert result is not None
    assert result.test == runs["fit"].result.test
    card.write_text("Mine.")
    assert g2d.load(tmp_path / "a").modalities == runs["fit"].modalities


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def whole(runs: dict[str, g2d.Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a run once."""
    return g2d.export(runs["g2d"], to=tmp_path_factory.mktemp("whole") / "a").folder


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["weights/model.safetensors", "weights/state.json", "bundle.json"])
def test_a_damaged_bundle_is_refused(
    whole: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(whole, tmp_path / "a")
    damage(tmp_path / "a" / name)
    with pytest.raises(RunError, match=r"undamaged|has no recipe"):
        g2d.load(tmp_path / "a")


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    runs: dict[str, g2d.Run], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="must be a new or empty folder"):
        g2d.export(runs["g2d"], to=tmp_path / "full")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="is exported already"):
        g2d.export(whole, to=tmp_path / "empty")
    save = exporting.checkpoints.save

    def other(folder: Path, model: g2d.MultimodalModel, method: g2d.Method) -> None:
        save(folder, model, method)
        with torch.no_grad():
            next(model.parameters()).mul_(1 + 1e-5)

    monkeypatch.setattr(exporting.checkpoints, "save", other)
    with pytest.raises(RunError, match="the bundle predicts other values"):
        g2d.export(g2d.load(runs["g2d"].folder), to=tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == ["empty", "full"]


@pytest.mark.parametrize("options", [{}, {"data.target": "value"}], ids=["classes", "values"])
def test_built_in_problems_leave_without_their_training_rows(
    options: dict[str, str], tmp_path: Path
) -> None:
    run = g2d.train("digits", out=tmp_path / "run", **SMALL, **options, **QUIET)
    rows = run.source.rows("test")[:20]
    run.source.write_rows(tmp_path / "rows.npz", rows)
    target = run.source.target[rows]
    if options:
        target = target * 9  # in the original unit
    with np.load(tmp_path / "rows.npz") as file:
        np.savez(tmp_path / "labeled.npz", target=target, **dict(file))
    bundle = g2d.export(run, to=tmp_path / "bundle")
    shutil.rmtree(tmp_path / "run")
    first, second = run.predict(tmp_path / "rows.npz"), bundle.predict(tmp_path / "rows.npz")
    assert torch.equal(first.output.logits, second.output.logits)
    error = run.task.loss_per_row(first.output.logits, torch.from_numpy(run.source.target[rows]))
    evaluated = bundle.evaluate(rows=tmp_path / "labeled.npz")
    assert evaluated.rows == 20
    assert evaluated.loss == pytest.approx(float(error.mean()), rel=1e-5)
    assert (tmp_path / "bundle" / "bundle.json").stat().st_size < 50_000
