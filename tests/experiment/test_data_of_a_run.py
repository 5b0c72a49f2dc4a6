"""A run belongs to its data: a store may move, but another one of the same name is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from g2d.cli import app


def g2d(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def prepared(folder: Path, name: str, seed: int = 0, rows: int = 60, broken: int = 0) -> Path:
    """Prepare a small store of numbers and arrays, of which some cannot be read."""
    rng = np.random.default_rng(seed)
    raw = folder / f"raw-{name}-{seed}"
    raw.mkdir(parents=True)
    lines = []
    for i in range(rows):
        np.save(raw / f"{i}.npy", rng.normal(i % 2, 1, 4).astype(np.float32))
        if i < broken:
            (raw / f"{i}.npy").write_bytes(b"")
        lines.append(
            json.dumps(
                {
                    "id": f"r{i}",
                    "x": float(rng.normal(i % 2)),
                    "steps": f"{i}.npy",
                    "label": "ab"[i % 2],
                }
            )
        )
    (raw / "t.jsonl").write_text("\n".join(lines) + "\n")
    g2d(
        "data",
        "prepare",
        "manifest",
        "--source",
        raw / "t.jsonl",
        "--out",
        folder / name,
        "--workers",
        1,
        "--quiet",
        "--allow-partial",
    )
    return folder / name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare a store, and train on it with the recipe that was written into it."""
    folder = tmp_path_factory.mktemp("data")
    store = prepared(folder, "mine", broken=3)
    g2d("train", store / "recipe.yaml", "epochs=1", "--out", folder / "run", "--quiet")
    return folder


def test_partial_data_are_marked_in_every_table(place: Path) -> None:
    for output in (
        g2d("evaluate", place / "run"),
        g2d(
            "train", place / "mine" / "recipe.yaml", "epochs=1", "--out", place / "again", "--quiet"
        ),
    ):
        assert "Partial data: 57 of 60 samples" in output
        assert "strata-v1" in output, "the protocol is printed too"


def test_a_store_can_be_moved_with_its_recipe_and_its_runs(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(place / "run", tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(place / "mine", tmp_path / "elsewhere" / "mine")
    try:
        g2d(
            "train",
            tmp_path / "elsewhere" / "mine" / "recipe.yaml",
            "epochs=1",
            "--out",
            tmp_path / "other",
            "--quiet",
        )
        assert "there is no prepared store in" in g2d("evaluate", tmp_path / "run", code=2)
        monkeypatch.setenv("G2D_DATA", str(tmp_path / "elsewhere"))
        assert "fused" in g2d("evaluate", tmp_path / "run")
    finally:
        shutil.move(tmp_path / "elsewhere" / "mine", place / "mine")


def test_another_store_under_the_same_name_is_refused(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run", tmp_path / "run")
    shutil.move(place / "mine", tmp_path / "kept")
    try:
        prepared(place, "mine", seed=1, rows=57)
        source = place / "raw-mine-0" / "t.jsonl"
        for command in (
            ("evaluate", tmp_path / "run"),
            ("predict", tmp_path / "run", "--source", source, "--out", tmp_path / "p.csv"),
            (
                "train",
                place / "mine" / "recipe.yaml",
                "epochs=1",
                "--out",
                tmp_path / "run",
                "--quiet",
            ),
        ):
            assert "must be opened with the data it was trained on (content hash" in g2d(
                *command, code=2
            )
        (tmp_path / "run" / "result.json").unlink()  # as if it had been interrupted
        assert "found others under the same name" in g2d(
            "train",
            place / "mine" / "recipe.yaml",
            "epochs=1",
            "--out",
            tmp_path / "run",
            "--quiet",
            code=2,
        )
    finally:
        shutil.rmtree(place / "mine")
        shutil.move(tmp_path / "kept", place / "mine")


def test_a_relative_root_on_the_command_line_counts_from_where_it_is_given(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.parent)
    g2d(
        "train",
        place / "mine" / "recipe.yaml",
        f"data.root={place.name}",
        "epochs=1",
        "--out",
        tmp_path / "run",
        "--quiet",
    )
    monkeypatch.chdir(tmp_path)
    assert "fused" in g2d("evaluate", tmp_path / "run")


def test_a_split_without_test_rows_is_refused_before_anything_is_created(
    place: Path, tmp_path: Path
) -> None:
    lines = [
        json.loads(line) | {"split": "valid" if i % 3 else "train"}
        for i, line in enumerate((place / "raw-mine-0" / "t.jsonl").read_text().splitlines())
    ]
    (tmp_path / "t.jsonl").write_text(
        "\n".join(
            json.dumps({key: row[key] for key in ("id", "x", "label", "split")}) for row in lines
        )
        + "\n"
    )
    assert "no rows for test" in g2d(
        "data",
        "prepare",
        "manifest",
        "--source",
        tmp_path / "t.jsonl",
        "--out",
        tmp_path / "store",
        "--quiet",
    )
    output = g2d(
        "train",
        tmp_path / "store" / "recipe.yaml",
        "--watch",
        "tensorboard",
        "--out",
        tmp_path / "run",
        "--quiet",
        code=2,
    )
    assert "must have at least 1 test rows" in output
    assert not (tmp_path / "run").exists()


def test_a_copied_store_does_not_train_the_original(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "mine", place / "copy")
    try:
        output = g2d(
            "train",
            place / "copy" / "recipe.yaml",
            "epochs=1",
            "--out",
            tmp_path / "run",
            "--quiet",
            code=2,
        )
        assert "found 'mine' in copy. Write store: copy." in output
        g2d(
            "train",
            place / "copy" / "recipe.yaml",
            "data.store=copy",
            "epochs=1",
            "--out",
            tmp_path / "run",
            "--quiet",
        )
    finally:
        shutil.rmtree(place / "copy")


def test_predictions_are_not_written_into_a_folder(place: Path, tmp_path: Path) -> None:
    output = g2d(
        "predict",
        place / "run",
        "--source",
        place / "raw-mine-0" / "t.jsonl",
        "--out",
        tmp_path,
        code=2,
    )
    assert "--out must be a CSV file to write" in output
    assert not list(tmp_path.iterdir())
