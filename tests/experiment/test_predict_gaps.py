"""Predictions for rows of which something is not given or cannot be read."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import g2d
from g2d.errors import ArgumentError, DataError
from support.command_line import command, write_csv
from support.media_files import tone, write_wav

ROWS = 40


def row(i: int) -> dict[str, Any]:
    """Return a row; training rows may lack the voice and the weight, but neither steps nor age."""
    return {
        "id": f"r{i}",
        "voice": "" if i % 5 == 0 else f"{i % 10}.wav",
        "steps": f"{i % 10}.npy",
        "age": i / 7,
        "weight": "" if i % 4 == 0 else i / 3,
        "label": "ab"[i % 2],
    }


def without(rows: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.items() if key not in columns} for one in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run on a table in which some rows lack the voice."""
    folder = tmp_path_factory.mktemp("gaps")
    for i in range(10):
        write_wav(folder / f"{i}.wav", tone(0.2, 8000, 200 + 20 * i), 8000)
        np.save(folder / f"{i}.npy", np.random.default_rng(i).normal(size=(4 + i % 2, 3)))
    write_csv(folder / "a.csv", [row(i) for i in range(ROWS)])
    command("data", "prepare", "table", "--source", folder / "a.csv", "--out", folder / "store",
            "rate=8000", "--workers", 1, "-q")  # fmt: skip
    command("train", folder / "store/recipe.yaml", "epochs=1", "--out", folder / "run", "-q")
    return folder


@pytest.mark.parametrize("fault", ["missing", "damaged", "silent", "shape"])
def test_a_row_that_cannot_be_read_stops_or_is_left_out_or_lacks_it(
    trained: Path, fault: str
) -> None:
    m = "steps" if fault == "shape" else "voice"
    file = f"{fault}.npy" if fault == "shape" else f"{fault}.wav"
    if fault == "damaged":
        (trained / file).write_bytes(b"RIFF")
    elif fault == "silent":
        write_wav(trained / file, 0 * tone(0.2, 8000, 300), 8000)
    elif fault == "shape":
        np.save(trained / file, np.zeros((4, 7)))
    rows = [row(1), row(2) | {m: file}, row(3)]
    source, out = write_csv(trained / f"{fault}.csv", rows), trained / "p.csv"
    predict = ("predict", trained / "run", "--source", source, "--out", out)
    message = command(*predict, code=2)
    assert "cannot read row r2" in message
    assert "--on-error absent" in message
    assert "--on-error skip" in message
    values: dict[str, list[dict[str, str]]] = {}
    for choice in ("skip", "absent"):
        printed = command(*predict, "--on-error", choice)
        assert ("rows left out: 1" if choice == "skip" else "without a cell that cannot") in printed
        with out.open() as opened:
            values[choice] = list(csv.DictReader(opened))
        assert [one["id"] for one in values[choice]] == ["r1", "r2", "r3"]
        assert [bool(one["problem"]) for one in values[choice]] == [False, True, False]
    assert (values["skip"][1]["prediction"], values["skip"][1]["probability[a]"]) == ("", "")
    assert values["absent"][1]["prediction"] in {"a", "b"}
    assert values["absent"][1][f"{m}.prediction"] == ""
    assert values["skip"][0] == values["absent"][0]
    run = g2d.load(trained / "run")
    assert [one.id for one in run.predict(source, on_error="skip").left_out] == ["r2"]
    assert list(run.predict(source, on_error="absent").faults) == [1]
    with pytest.raises(ArgumentError, match="on_error must be one of stop, absent, skip"):
        run.predict(source, on_error="keep")  # type: ignore[arg-type]


def test_what_is_not_given_is_absent_if_training_rows_lack_it_too(trained: Path) -> None:
    rows, out = [row(i) for i in range(1, 4)], trained / "p.csv"
    source = write_csv(trained / "less.csv", without(rows, "voice", "weight"))
    printed = command("predict", trained / "run", "--source", source, "--out", out)
    assert printed.count("voice is not given: it is absent in every row") == 1
    assert printed.count("weight not given: treated as empty cells") == 1
    with out.open() as opened:
        assert {one["voice.prediction"] for one in csv.DictReader(opened)} == {""}
    empty = [one | {"voice": "", "weight": ""} for one in rows]
    run = g2d.load(trained / "run")
    given = run.predict(write_csv(trained / "empty.csv", empty))
    assert torch.equal(run.predict(source).output.logits, given.output.logits)
    for columns in (("steps",), ("age",), ("voice", "steps", "age", "weight")):
        less = write_csv(trained / "less.csv", without(rows, *columns))
        with pytest.raises(DataError, match=f"found no .*{columns[-1]}"):
            run.predict(less)


def test_an_empty_cell_is_accepted_with_a_warning_if_no_training_row_has_one(
    trained: Path,
) -> None:
    rows, out = [row(1), row(2) | {"steps": ""}, row(3) | {"age": ""}], trained / "p.csv"
    source = write_csv(trained / "some.csv", rows)
    printed = command("predict", trained / "run", "--source", source, "--out", out)
    assert "warning: steps is absent in 1 of 3 rows, but in no training row\n" in printed
    with out.open() as opened:
        assert [bool(one["steps.prediction"]) for one in csv.DictReader(opened)] == [
            True,
            False,
            True,
        ]
    run = g2d.load(trained / "run")
    mean = np.mean([row(i)["age"] for i in run.source.rows("train")])
    given = run.predict(write_csv(trained / "filled.csv", [*rows[:2], row(3) | {"age": mean}]))
    empty = run.predict(source)
    assert torch.allclose(empty.output.logits, given.output.logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spelling", ["same", "dots", "link", "hard link"])
def test_predictions_never_replace_the_rows_they_are_for(
    trained: Path, tmp_path: Path, spelling: str
) -> None:
    source = write_csv(trained / "kept.csv", [row(1)])
    before = source.read_bytes()
    out = {
        "same": source,
        "dots": trained / ".." / trained.name / "kept.csv",
        "link": tmp_path / "link.csv",
        "hard link": tmp_path / "hard.csv",
    }[spelling]
    if spelling == "link":
        out.symlink_to(source)
    elif spelling == "hard link":
        out.hardlink_to(source)
    printed = command("predict", trained / "run", "--source", source, "--out", out, code=2)
    assert "--out must be another file than --source, found" in printed
    assert source.read_bytes() == before


def test_a_report_never_replaces_a_file_of_a_run(trained: Path) -> None:
    result = trained / "run" / "result.json"
    before = result.read_bytes()
    for more in ((), ("--format", "csv")):
        printed = command("report", trained / "run", "--out", result, *more, code=2)
        assert "--out must be a file for the report, found" in printed
    assert result.read_bytes() == before


def test_inputs_and_arrays_may_leave_out_a_modality_that_training_rows_lack(trained: Path) -> None:
    run = g2d.load(trained / "run")
    batch = run.source.view(run.source.gather(np.arange(4)), seed=0, epoch=0, train=False)
    inputs = {m: values for m, values in batch.inputs.items() if m != "voice"}
    prediction = run.predict(inputs)
    assert prediction.remarks == ("voice is not given: it is absent in every row",)
    assert prediction.present is not None
    assert not prediction.present["voice"].any()
    with pytest.raises(ArgumentError, match="found none for steps"):
        run.predict({"table": batch.inputs["table"]})
    with pytest.raises(ArgumentError, match="found none for"):
        run.predict({})
    run.source.write_rows(trained / "rows.npz", np.arange(4))
    with np.load(trained / "rows.npz") as file:
        kept = {name: file[name] for name in file.files if not name.startswith("voice")}
    kept["table"][1, 0] = np.inf
    kept["table"][2] = np.nan
    np.savez(trained / "less.npz", **kept)
    read = run.predict(trained / "less.npz")
    assert read.remarks[0] == "voice is not given: it is absent in every row"
    assert read.present is not None
    assert read.present["table"].tolist() == [True, True, False, True]
    assert torch.allclose(read.output.logits[0], prediction.output.logits[0], atol=1e-6)
    assert read.output.logits.isfinite().all()
