"""Predictions for rows from Python: every form gives the values of the file of the same rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import g2d
from g2d.errors import ArgumentError, DataError
from support.command_line import command
from support.media_files import tone, write_wav

N = 40
Form = Callable[[dict[str, Any]], Any]


def as_rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows with cells of plain Python."""
    cells = [np.asarray(values).tolist() for values in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]


def without_target(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in columns.items() if name not in ("target", "label")}


def as_lists(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(values).tolist() for name, values in columns.items()}


class Frame:
    """The part of a data frame of pandas that is used."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns, self.rows = list(columns), as_rows(columns)

    def to_csv(self, path: Path, index: bool) -> None:
        assert not index
        lines = [self.columns, *(row.values() for row in self.rows)]
        path.write_text("\n".join(",".join(map(str, line)) for line in lines))

    def to_dict(self, form: str) -> list[dict[str, Any]]:
        assert form == "records"
        return self.rows


def arrays() -> dict[str, Any]:
    """Return arrays that are not in the form in which they are stored."""
    rng = np.random.default_rng(0)
    target = np.arange(N) % 2
    return {
        "sensor": rng.normal(target[:, None], 1, (N, 3)),
        "weight": rng.normal(size=N),
        "note": np.array([f"word{i % 3} sort{i % 2}" for i in range(N)]),
        "picture": rng.integers(0, 256, (N, 3, 8, 8)).astype(np.uint8),
        "target": target,
    }


def table() -> dict[str, Any]:
    """Return the columns of a table: a voice, numbers, a category."""
    return {
        "voice": [f"{i % 5}.wav" for i in range(N)],
        "size": [round(1 + i / 7, 3) for i in range(N)],
        "color": ["red" if i % 3 else "blue" for i in range(N)],
        "label": ["ab"[i % 2] for i in range(N)],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run on arrays and one on a table with decimal commas, and export the first one."""
    folder = tmp_path_factory.mktemp("forms")
    np.savez(folder / "arrays.npz", **arrays())
    for i in range(5):
        write_wav(folder / f"{i}.wav", tone(0.2, 8000, 200 + 20 * i), 8000)
    rows = as_rows(table())
    lines = [[str(cell).replace(".", ",") for cell in row.values()] for row in rows]
    text = "\n".join(";".join(line) for line in [list(rows[0]), *lines]).replace(",wav", ".wav")
    (folder / "table.csv").write_text(text)
    for name, file in (("arrays", "arrays.npz"), ("table", "table.csv")):
        command("data", "prepare", name, "--source", folder / file, "--out", folder / f"{name}-s",
                "--workers", 1, "-q")  # fmt: skip
        recipe = folder / f"{name}-s" / "recipe.yaml"
        command("train", recipe, "epochs=1", "--out", folder / name, "-q")
    g2d.export(folder / "arrays", to=folder / "model")
    return folder


@pytest.mark.parametrize("run", ["arrays", "model"])
@pytest.mark.parametrize(
    "form", [dict, as_lists, without_target, as_rows, lambda a: iter(as_rows(a))]
)
def test_arrays_and_rows_are_predicted_as_the_file_of_arrays_is(
    folder: Path, run: str, form: Form
) -> None:
    opened = g2d.load(folder / run)
    expected = opened.predict(folder / "arrays.npz")
    prediction = opened.predict(form(arrays()))
    assert torch.equal(prediction.output.logits, expected.output.logits)
    assert prediction.ids == expected.ids


def test_stored_values_inputs_and_a_batch_are_predicted_alike(folder: Path) -> None:
    run = g2d.load(folder / "arrays")
    batch = run.source.view(run.source.gather(np.arange(N)), seed=0, epoch=0, train=False)
    stored = {m: np.asarray(values) for m, values in run.source.arrays.items()}
    expected = run.predict(batch).output.logits
    for rows in (stored, batch.inputs):
        assert torch.equal(run.predict(rows).output.logits, expected)


@pytest.mark.parametrize("form", [Frame, as_rows, as_lists, without_target])
def test_rows_of_a_table_are_predicted_as_the_table_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    run = g2d.load(folder / "table")
    expected = run.predict(folder / "table.csv")
    monkeypatch.chdir(folder)  # paths in a data frame are relative to the working directory
    prediction = run.predict(form(table()))
    assert torch.equal(prediction.output.logits, expected.output.logits)
    assert prediction.ids == expected.ids
    assert not any(name.startswith("rows") for name in os.listdir(folder))


def test_a_data_frame_of_modalities_is_predicted_by_a_run_on_rows(tmp_path: Path) -> None:
    columns = {name: values for name, values in arrays().items() if values.ndim == 1}
    np.savez(tmp_path / "arrays.npz", **columns)
    command("data", "prepare", "arrays", "--source", tmp_path / "arrays.npz", "--out",
            tmp_path / "store", "--workers", 1, "-q")  # fmt: skip
    command("train", tmp_path / "store/recipe.yaml", "epochs=1", "--out", tmp_path / "run", "-q")
    run = g2d.load(tmp_path / "run")
    expected = run.predict(tmp_path / "arrays.npz").output.logits
    assert torch.equal(run.predict(Frame(columns)).output.logits, expected)


def test_shorter_sequences_are_padded_as_stored_ones_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"steps": rng.normal(size=(3 + i % 3, 2)), "other": rng.normal(size=2), "label": i % 2}
        for i in range(N)
    ]
    run = g2d.fit(rows, "label", out=tmp_path / "a", budget="fast", epochs=1, progress=False,
                  say=lambda _: None)  # fmt: skip
    expected = run.predict(rows).output.logits
    short = [row for row in rows if len(row["steps"]) == 3]
    some = expected[[len(row["steps"]) == 3 for row in rows]]
    assert torch.allclose(run.predict(short).output.logits, some, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sensor": torch.zeros(N, 3)}, ArgumentError, "found tensors for sensor alone"),
        ({"sensor": 1.5}, ArgumentError, "with one entry per row, found 1.5. A single row is"),
        ({"sensor": [[1.0], [1.0, 2.0]]}, ArgumentError, "lists of different lengths"),
        ({"sensor": np.zeros((N, 4))}, DataError, r"'sensor' in the rows must have the shape"),
        ({"sensor": np.array(["a"] * N)}, DataError, r"'sensor' in the rows must"),
        ({"note": np.zeros((N, 2, 2))}, DataError, r"'note' in the rows must have the shape"),
        ({"weight": np.zeros(3)}, DataError, "must have the same number of rows, found"),
        (3, ArgumentError, "rows must be a file, a data frame, arrays by name, .* found int"),
        ([1, 2], ArgumentError, "rows must be a file, .* found list"),
        ([], ArgumentError, "rows must hold one row or more, found none"),
    ],
)
def test_rows_that_cannot_be_used_get_a_sentence(
    folder: Path, change: Any, error: type[Exception], message: str
) -> None:
    rows = {**arrays(), **change} if isinstance(change, dict) else change
    with pytest.raises(error, match=message):
        g2d.load(folder / "arrays").predict(rows)


def test_a_column_that_is_missing_is_named_without_the_file_that_was_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run = g2d.load(folder / "table")
    with pytest.raises(DataError, match=r"^the rows must have the columns .* found no color"):
        run.predict([{"voice": "1.wav", "size": 1.0}])
    with pytest.raises(ArgumentError, match="columns of the rows must have the same length"):
        run.predict({"voice": ["1.wav"], "size": [1.0, 2.0], "color": ["red"]})
