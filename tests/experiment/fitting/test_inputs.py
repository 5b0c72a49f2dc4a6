"""Raw data of ``g2d fit``: options of their preparation, early refusals, and rows from Python."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import g2d
from g2d.cli import app
from g2d.data.store.facts import read_facts
from g2d.datasets import DATASETS
from g2d.errors import ArgumentError, G2DError, RunError
from g2d.experiment.fitting import previewed
from g2d.experiment.fitting.inputs import RECORD, base_recipe
from g2d.experiment.fitting.keys import ANY_TASK
from g2d.experiment.fitting.raw import FILES, raw_data
from g2d.recipe.schema import Keys
from g2d.task import TASKS

QUIET: dict[str, Any] = {"say": lambda _: None}
SMALL: dict[str, Any] = {"budget": "fast", "epochs": 1, "progress": False, **QUIET}


def rows(count: int = 60) -> list[dict[str, Any]]:
    return [
        {
            "size": i % 3 + i / 100,
            "color": ["red", "blue"][i % 2],
            "note": f"the {'fox' if i % 3 else 'hen'} runs near house {i}",
            "kind": "abc"[i % 3],
        }
        for i in range(count)
    ]


def write_csv(path: Path, table: list[dict[str, Any]]) -> Path:
    lines = [",".join(table[0]), *(",".join(map(str, row.values())) for row in table)]
    path.write_text("\n".join(lines) + "\n")
    return path


def prepared(data: Any, out: Path, **options: Any) -> tuple[str, ...]:
    """Return the modalities of data that are prepared in a folder."""
    return base_recipe(data, "kind", [], out, options, **QUIET).modalities


def everything(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "fit"
    return g2d.fit(rows(), "kind", out=out, **SMALL).folder


def test_the_options_that_it_prints_can_be_assigned_on_the_command_line(tmp_path: Path) -> None:
    table, out = write_csv(tmp_path / "my.csv", rows()), tmp_path / "fit"
    command = ["fit", str(table), "--target", "kind", "--out", str(out), "--recipe"]
    first = CliRunner().invoke(app, command)
    assert "to change: kinds.note=number|category|date|leave-out" in first.stderr
    second = CliRunner().invoke(app, [*command, "kinds.note=leave-out", "epochs=3"])
    assert second.exit_code == 0, second.output
    assert "epochs: 3" in second.stdout
    assert "note:" in first.stdout
    assert "note:" not in second.stdout


def test_several_columns_of_a_target_are_a_list(tmp_path: Path) -> None:
    table = [row | {"kind": i % 2, "other": i % 3 // 2} for i, row in enumerate(rows())]
    write_csv(tmp_path / "my.csv", table)
    command = ["fit", str(tmp_path / "my.csv"), "target=[kind,other]", "--recipe"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "fit")])
    assert done.exit_code == 0, done.output
    task = read_facts(tmp_path / "fit" / "data")["task"]
    assert task["labels"] == ["kind", "other"]


@pytest.mark.parametrize("assignment", ["metric=accuracy", "target=kind", "progress=1"])
def test_an_option_of_the_command_is_no_assignment(assignment: str) -> None:
    done = CliRunner().invoke(app, ["fit", "my.csv", "--target", "kind", assignment])
    assert done.exit_code == 2
    assert "must be an option or argument of the command" in done.stderr


def test_a_table_with_missing_files_is_prepared_again_with_the_option_that_keeps_its_rows(
    tmp_path: Path,
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    table = [row | {"photo": f"{i}.png"} for i, row in enumerate(rows())]
    for i in range(40):
        image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    data, out = write_csv(tmp_path / "my.csv", table), tmp_path / "fit"
    with pytest.raises(G2DError, match="unreadable=lack keeps the rows"):
        prepared(data, out)
    assert "photo" in prepared(data, out, unreadable="lack")
    assert read_facts(out / "data")["rows"] == 60
    base_recipe(data, "kind", [], out, {}, allow_partial=True, **QUIET)
    assert read_facts(out / "data")["rows"] == 40


def test_a_resumed_fit_notices_other_options_of_the_preparation(finished: Path) -> None:
    before = everything(finished)
    with pytest.raises(RunError, match=r"kinds\.note was None and is now 'leave-out'"):
        g2d.fit(rows(), "kind", out=finished, kinds={"note": "leave-out"}, **SMALL)
    assert everything(finished) == before


def test_a_refused_call_changes_nothing_of_a_finished_fit(finished: Path) -> None:
    before = everything(finished)
    for data in (rows(50), {"size": [[1.0]] * 60, "kind": [0, 1] * 30}):
        with pytest.raises(RunError, match="must have the same data and options"):
            g2d.fit(data, "kind", out=finished, **SMALL)
    assert everything(finished) == before


def test_a_file_that_no_fit_wrote_is_never_replaced(tmp_path: Path) -> None:
    own = tmp_path / FILES["table"]
    own.write_text("mine")
    with pytest.raises(RunError, match=r"found another source\.csv"):
        previewed(rows(), "kind", out=tmp_path, **QUIET)
    assert own.read_text() == "mine"
    assert not (tmp_path / RECORD).exists()


def test_other_rows_are_prepared_as_long_as_nothing_is_planned(tmp_path: Path) -> None:
    assert prepared(rows(), tmp_path / "a") == ("table", "note")
    assert prepared(rows(50), tmp_path / "a") == ("table", "note")
    assert read_facts(tmp_path / "a" / "data")["rows"] == 50


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metric": "acuracy"}, "metric must be .*Did you mean 'accuracy'"),
        ({"metric": "mae"}, "metric must be one of accuracy.*, found 'mae'"),
        ({"plan": "no.json"}, "cannot read no.json"),
        ({"modalities": "note,foto"}, "modalities must be some of table, note, found foto"),
        ({"modalities": "size"}, "found size. It is a column of the modality table"),
        ({"train.lrr": 1}, "train.lrr is not a key of train. Did you mean 'train.lr'"),
        ({"lr": 1}, "lr must be in the section 'train'"),
        ({"train": {"lr": "much"}}, "train.lr must be a number"),
        ({"knids.note": "text"}, r"option of the preparation \(.*Did you mean 'kinds.note'"),
        ({"ephocs": 1}, r"a key of the recipe \(name, .*Did you mean 'epochs'"),
        ({"kinds": {"note": "txt"}}, "txt"),
        ({"unreadable": "no"}, "unreadable"),
    ],
)
def test_what_is_wrong_is_refused_before_the_preparation(
    options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    def preparing() -> Any:
        raise AssertionError("the preparation began")

    data = write_csv(tmp_path / "my.csv", rows())
    with pytest.raises(G2DError, match=sentence):
        g2d.fit(data, "kind", out=tmp_path / "a", preparing=preparing, **{**SMALL, **options})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"encoders.note": "transformer", "train": {"group_lr": {"note": 0.1}}},
        {"data.modalities": ["table"], "fusion": "late"},
    ],
)
def test_values_per_modality_are_checked_when_the_modalities_are_known(
    options: dict[str, Any], tmp_path: Path
) -> None:
    assert "table" in prepared(rows(), tmp_path, **options)
    with pytest.raises(G2DError, match="nte"):
        prepared(rows(), tmp_path, **{**options, "train": {"group_lr": {"nte": 0.1}}})


@pytest.mark.parametrize("key", ["method", "stack", "students"])
def test_what_a_fit_chooses_itself_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=f"{key} must be left out of a fit.* g2d train or"):
        prepared(rows(), tmp_path / "a", **{key: 1})
    assert not (tmp_path / "a").exists()


def test_paths_of_rows_from_python_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = rows()
    for i, row in enumerate(given):
        row["tone"] = f"{i}.wav"
        with wave.open(row["tone"], "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.random.default_rng(i).bytes(8000))
    prepared(given, tmp_path / "a")
    tones = np.load(tmp_path / "a" / "data" / "tone.npy", mmap_mode="r")
    assert tones.shape[1] == 8000  # half a second at 16 kHz, not the longest that is allowed


def test_no_option_of_a_preparation_is_also_a_key_of_a_recipe() -> None:
    for name in FILES:
        reader = DATASETS[name].reader
        assert reader is not None
        assert not reader.options.model_fields.keys() & Keys.model_fields.keys()
    assert {task.kind for task in ANY_TASK} == set(TASKS)


def test_rows_with_single_values_are_the_table_that_a_data_frame_is(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    given = rows()
    given[3]["size"] = None
    for name, data in (("frame", pandas.DataFrame(given)), ("rows", given), ("each", iter(given))):
        assert prepared(data, tmp_path / name) == ("table", "note")
    texts = {(tmp_path / name / FILES["table"]).read_text() for name in ("frame", "rows", "each")}
    assert len(texts) == 1


def test_a_mapping_of_splits_and_lists_of_labels_are_kept_in_the_table(tmp_path: Path) -> None:
    given = [row | {"kind": ["a", "b"] if i % 3 else ["b"]} for i, row in enumerate(rows())]
    parts = {"train": given[:40], "validation": given[40:50], "test": given[50:]}
    prepared(parts, tmp_path)
    facts = read_facts(tmp_path / "data")
    assert facts["task"]["labels"] == ["a", "b"]
    counts = next(iter(facts["protocols"].values()))["rows"]
    assert counts == {"train": 40, "valid": 10, "test": 10}


def test_classes_of_a_hugging_face_data_set_keep_their_names_in_the_table(tmp_path: Path) -> None:
    pytest.importorskip("datasets.arrow_dataset", reason="the library datasets is not installed")
    import datasets as hugging_face

    value, names = hugging_face.Value, hugging_face.ClassLabel(names=["c", "b", "a"])
    features = hugging_face.Features(
        size=value("float64"), color=value("string"), note=value("string"), kind=names
    )
    given = [row | {"kind": i % 3} for i, row in enumerate(rows())]
    stored = hugging_face.Dataset.from_list(given, features=features)
    assert prepared(stored, tmp_path) == ("table", "note")
    assert read_facts(tmp_path / "data")["task"]["classes"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "the data must have rows, found none"),
        ({}, "data must have arrays, found none"),
        ([{"x": 1.0, "kind": "a"}, {"x": 2.0}], "the column 'kind', found row 2 with x only"),
        (
            {"train": [{"x": [1.0], "kind": "a"}], "test": [{"kind": "b"}]},
            "the column 'x', found row 1 of test with kind only",
        ),
        ([1, 2], "rows must be mappings of columns to cells, found int"),
        ([{"x": 1, "knid": 2}], "a column 'kind', found x, knid. Did you mean 'knid'"),
    ],
)
def test_rows_that_cannot_be_used_are_named(data: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(G2DError, match=sentence):
        raw_data(data, "kind", tmp_path)


def test_a_run_and_an_exported_model_are_no_data(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(G2DError, match=r"found .*fit, the folder of a run. Give its store .*data"):
        g2d.fit(finished, "kind", out=tmp_path / "a", **SMALL)
    g2d.export(finished, tmp_path / "model")
    with pytest.raises(G2DError, match="an exported model, which has no rows"):
        g2d.fit(tmp_path / "model", "kind", out=tmp_path / "a", **SMALL)
