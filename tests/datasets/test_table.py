"""Your own data, from a table to a model."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from g2d.cli import app
from g2d.data.store.opening import StoreOptions, open_store
from g2d.datasets.base import PreparedOptions, open_prepared
from g2d.datasets.table.opening import open_any
from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.datasets.table.rows import TableFile
from g2d.datasets.table.rows import _Lines as Lines
from g2d.errors import ArgumentError, DataError, UnreadableError
from g2d.fusion import Late
from g2d.model import MultimodalModel
from g2d.prepare import prepare
from g2d.task import Classification, Regression
from g2d.types import Sequence as TokenSequence
from support.media_files import moving, tone, write_video, write_wav

COLORS = ("red", "green", "blue")


def g2d(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def everything(folder: Path, rows: int = 40) -> Path:
    """Write a table with a column of every kind, empty cells, a repeated id and broken files."""
    rng = np.random.default_rng(0)
    (folder / "files").mkdir(parents=True)
    table: list[dict[str, Any]] = []
    for i in range(rows):
        c = i % 3
        Image.fromarray(np.full((12, 16, 3), 60 * c + 20, np.uint8)).save(folder / f"files/{i}.png")
        write_wav(folder / f"files/{i}.wav", tone(0.3, 8000, 200 + 200 * c), 8000)
        write_video(folder / f"files/{i}.mp4", moving(6, (32, 48), i), 6)
        np.save(folder / f"files/{i}.npy", rng.normal(c, 1, (3 + i % 4, 5)).astype(np.float32))
        table.append(
            {
                "id": f"row {i}",
                "photo": f"files/{i}.png",
                "sound": f"files/{i}.wav",
                "film": f"files/{i}.mp4",
                "steps": f"files/{i}.npy",
            }
            | {
                "note": f'it is "{COLORS[c]}",\nor so',
                "size": round(float(rng.normal(c)), 3),
                "age": 3 * i % 50,
                "label": COLORS[c],
            }
        )
    table[4]["sound"] = ""
    table[6]["size"] = ""
    table[7]["label"] = ""
    table[8]["id"] = "row 1"
    table[9]["photo"] = "files/none.png"
    (folder / "files" / "10.wav").write_bytes(b"RIFF")
    with (folder / "mine.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return folder / "mine.csv"


def test_a_table_becomes_a_store_and_a_recipe_that_trains_at_once(tmp_path: Path) -> None:
    source = everything(tmp_path)
    output = g2d(
        "data",
        "prepare",
        "table",
        "size=32",
        "frames=2",
        "--source",
        source,
        "--out",
        tmp_path / "store",
        "--workers",
        1,
        "--quiet",
    )
    for line in (
        "photo: image",
        "sound: audio",
        "film: video",
        "steps: sequence",
        "note: text",
        "table: table from 2 columns (size, age)",
        "3 classes (blue, green, red)",
    ):
        assert line in output
    facts = json.loads((tmp_path / "store" / "dataset.json").read_text())
    assert {skip["id"]: skip["reason"] for skip in facts["skipped"]} == {
        "row 1": "duplicate",
        "row 7": "no-agreed-label",
        "row 9": "missing-file",
        "row 10": "undecodable",
    }
    assert "0 errors" in g2d("data", "check", tmp_path / "store")
    source_rows = open_store(StoreOptions(store="store", root=str(tmp_path)))
    assert isinstance(source_rows.task, Classification)
    assert source_rows.task.classes == ("blue", "green", "red")
    g2d(
        "train",
        tmp_path / "store" / "recipe.yaml",
        "epochs=1",
        "--out",
        tmp_path / "run",
        "--quiet",
    )
    assert json.loads((tmp_path / "run" / "result.json").read_text())["modalities"] == [
        "photo",
        "sound",
        "film",
        "steps",
        "note",
        "table",
    ]


def test_a_trained_model_answers_for_the_rows_of_another_table(tmp_path: Path) -> None:
    source = everything(tmp_path)
    g2d(
        "data",
        "prepare",
        "table",
        "size=32",
        "frames=2",
        "ignore=[film]",
        "--source",
        source,
        "--out",
        tmp_path / "store",
        "--workers",
        1,
        "--quiet",
    )
    g2d(
        "train",
        tmp_path / "store" / "recipe.yaml",
        "epochs=1",
        "--out",
        tmp_path / "run",
        "--quiet",
    )
    new = jsonl(
        tmp_path / "new.jsonl",
        [
            {
                "id": "x",
                "photo": "files/1.png",
                "steps": "files/2.npy",
                "note": "green",
                "size": 1,
                "age": None,
            },
            {"sound": "files/3.wav"},
        ],
    )
    g2d("predict", tmp_path / "run", "--source", new, "--out", tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open() as file:
        answers = list(csv.DictReader(file))
    assert [row["id"] for row in answers] == ["x", "2"]
    assert {row["prediction"] for row in answers} <= set(COLORS)
    jsonl(tmp_path / "bad.jsonl", [{"photo": "files/none.png"}])
    assert "none.png" in g2d(
        "predict",
        tmp_path / "run",
        "--source",
        tmp_path / "bad.jsonl",
        "--out",
        tmp_path / "more.csv",
        code=2,
    )


def test_manifest_is_another_name_of_table_with_the_same_result(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "a.jsonl", rows_of(30, x=half, label=ab))
    facts = []
    for name in ("table", "manifest"):
        g2d("data", "prepare", name, "--source", source, "--out", tmp_path / name, "--quiet")
        facts.append(json.loads((tmp_path / name / "dataset.json").read_text()))
    assert facts[0] == facts[1]
    assert facts[0]["name"] == "a"
    assert facts[0]["content_hash"].startswith("f627a2f94eb7c554bcd9ea793fde66fa")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_preparing_reads_the_table_four_times_and_a_sample_of_it_once(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(3000, id=str, x=half, note=lambda i: f"note {i}", label=ab)
    source = jsonl(tmp_path / f"a{suffix}", rows)
    monkeypatch.setattr("g2d.data.lengths.MEASURED", 100)
    if suffix == ".csv":
        lines = ["id,x,note,label", *(",".join(map(str, row.values())) for row in rows)]
        source.write_text("\n".join(lines))
    read = 0

    def counting(lines: Lines) -> Iterator[str]:
        nonlocal read
        for line in iterate(lines):
            read += 1
            yield line

    iterate = Lines.__iter__
    monkeypatch.setattr(Lines, "__iter__", counting)
    prepare(plan_table(source, TableOptions()), tmp_path, tmp_path / "store")
    assert 4 * 3000 + 100 <= read <= 4 * 3000 + 100 + 10


def test_a_change_of_the_table_or_of_a_role_is_another_plan(tmp_path: Path) -> None:
    split = {"split": lambda i: ("train", "valid", "test")[i % 3]}
    rows = rows_of(30, x=half, label=ab, person=lambda i: f"p{i}", **split)
    source = jsonl(tmp_path / "a.jsonl", rows)
    options = TableOptions(ignore=("person",))
    prepare(plan_table(source, options), tmp_path, tmp_path / "store")
    assert prepare(plan_table(source, options), tmp_path, tmp_path / "store").complete
    with pytest.raises(DataError, match="other files or with other options"):
        prepare(plan_table(source, TableOptions(group="person")), tmp_path, tmp_path / "store")
    jsonl(source, [*rows[:29], rows[29] | {"x": 0.5}])
    with pytest.raises(DataError, match="other files or with other options"):
        prepare(plan_table(source, options), tmp_path, tmp_path / "store")


def rows_of(count: int, **columns: Any) -> list[dict[str, Any]]:
    return [{name: make(i) for name, make in columns.items()} for i in range(count)]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def test_the_scale_of_a_regression_is_fitted_on_training_rows_only(tmp_path: Path) -> None:
    split = ["train"] * 6 + ["valid"] * 2 + ["test"] * 2
    source = jsonl(
        tmp_path / "a.jsonl",
        rows_of(
            10,
            x=lambda i: [float(i), 1.5],
            target=lambda i: 100.0 * i + 0.5,
            split=split.__getitem__,
        ),
    )
    prepare(plan_table(source, TableOptions()), tmp_path, tmp_path / "store")
    opened = open_store(StoreOptions(store="store", root=str(tmp_path)))
    task = opened.task
    assert isinstance(task, Regression)
    assert (task.low, task.high) == (0.5, 500.5)
    assert opened.target[:, 0].tolist() == pytest.approx([i / 5 for i in range(10)])
    assert opened.protocol == "a/given"
    assert opened.views["x"].config()["steps"][0]["mean"] == pytest.approx([2.5, 1.5])


def test_several_targets_and_a_task_option(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "a.jsonl", rows_of(30, x=half, y1=lambda i: i % 3, y2=lambda i: i / 7)
    )
    both = plan_table(source, TableOptions(target=("y1", "y2")))
    assert both.task["outputs"] == 2
    assert both.samples[4].target == (1.0, pytest.approx(4 / 7))
    assert plan_table(source, TableOptions(target="y1", ignore=("y2",))).task["classes"] == [
        "0",
        "1",
        "2",
    ]
    assert (
        plan_table(source, TableOptions(target="y1", task="regression", ignore=("y2",))).task[
            "kind"
        ]
        == "regression"
    )


def test_groups_stay_together_and_validation_is_taken_from_training(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "a.jsonl",
        rows_of(400, x=half, label=lambda i: "ab"[i % 2], group=lambda i: f"p{i // 4}"),
    )
    plan = plan_table(source, TableOptions())
    ((name, place),) = plan.protocols.items()
    assert name == "a/strata-v1"
    assert np.bincount(place).tolist() == [320, 40, 40]
    assert all(len(set(place[4 * g : 4 * g + 4])) == 1 for g in range(100))
    assert set(place) == {0, 1, 2}
    given = jsonl(
        tmp_path / "b.jsonl",
        rows_of(
            200,
            x=half,
            label=lambda i: "ab"[i % 2],
            split=lambda i: "test" if i % 4 == 0 else "train",
        ),
    )
    ((name, place),) = plan_table(given, TableOptions()).protocols.items()
    assert name == "b/given-valid-by-strata-v1"
    assert (place[::4] == 2).all()
    assert (place == 1).sum() == 15


def test_many_rows_are_divided_by_hash_and_few_still_have_every_split(
    tmp_path: Path,
) -> None:
    def divided(count: int) -> Any:
        source = jsonl(tmp_path / "a.jsonl", rows_of(count, x=half, label=lambda i: "ab"[i % 2]))
        return next(iter(plan_table(source, TableOptions()).protocols.items()))

    (name, many), (_, more) = divided(2000), divided(2500)
    assert name == "a/hash-v1"
    assert (many == more[:2000]).all()
    for count in (3, 5, 20):
        assert set(divided(count)[1]) == {0, 1, 2}


def test_columns_with_reserved_names_are_modalities_too(tmp_path: Path) -> None:
    names = ["train", "target", "present", "a.b", "a/b", "a b", "files", "../up", "mask", "é", "id"]
    notes = {name: (lambda i: f"word{i % 2} and {i}") for name in names}
    source = jsonl(
        tmp_path / "a.jsonl",
        rows_of(
            30,
            **notes,
            table=lambda i: f"{i} words",
            x=half,
            y=lambda i: i / 3,
            name=str,
            label=lambda i: "ab"[i % 2],
        ),
    )
    plan = plan_table(source, TableOptions(target="label", id="name"))
    expected = [
        "train_",
        "target_",
        "present_",
        "a_b",
        "a_b_",
        "a_b__",
        "files_",
        "up",
        "mask",
        "é",
        "id_",
        "table",
        "table_",
    ]
    assert list(plan.signals) == expected
    assert plan.signals["table_"].facts == {"columns": ["x", "y"]}
    prepare(plan, tmp_path, tmp_path / "store")
    assert {path.stem for path in (tmp_path / "store").glob("*.npy")} == {
        *expected,
        "target",
        "group",
    }
    source = open_store(StoreOptions(store="store", root=str(tmp_path)))
    model = MultimodalModel(
        {m: torch.nn.Linear(1, 2) for m in source.modalities},
        Late(dict.fromkeys(source.modalities, 2), 2),
    )
    assert model.modalities == tuple(expected)
    for name in ("train", "a.b", ""):
        with pytest.raises(ArgumentError, match="without dots"):
            Late({name: 2}, 2)


@pytest.mark.parametrize(
    ("suffix", "sign"), [(".csv", ";"), (".csv", "\t"), (".tsv", "\t"), (".csv", ",")]
)
def test_the_delimiter_is_inferred_from_the_header(tmp_path: Path, suffix: str, sign: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text(
        f"id{sign}note{sign}label\n1{sign}two; words{sign}x\n".replace(
            "two;", "two" if sign == ";" else "two;"
        ),
        encoding="utf-8",
    )
    assert list(TableFile(path).columns) == ["id", "note", "label"]


def test_unusual_cells_cost_only_their_own_row(tmp_path: Path) -> None:
    for i in range(30):
        np.save(tmp_path / f"{i}.npy", np.full((2 + i % 3, 5 + (i == 3)), float(i)))
    (tmp_path / "4.npy").write_bytes((tmp_path / "4.npy").read_bytes()[:-9])
    age = {6: "seven", 7: "inf", 8: ""}
    columns = {
        "steps": lambda i: f"{i}.npy",
        "list": lambda i: [0.5] * (2 + (i == 5)),
        "age": lambda i: age.get(i, i),
    }
    plan = plan_table(
        jsonl(tmp_path / "a.jsonl", rows_of(30, **columns, label=lambda i: "ab"[i % 2])),
        TableOptions(),
    )
    assert {m: signal.shape for m, signal in plan.signals.items()} == {
        "steps": (4, 5),
        "list": (2,),
        "table": (1,),
    }
    summary = prepare(plan, tmp_path, tmp_path / "store", allow_partial=True)
    assert [
        (int(skip["id"]), skip["reason"], skip["detail"]) for skip in summary.facts["skipped"]
    ] == [
        (3, "undecodable", "steps: its shape is (2, 6), most others have (steps, 5)"),
        (4, "undecodable", "steps: it is not a complete .npy file of plain numbers"),
        (5, "undecodable", "list: 3 numbers, most others have 2"),
        (6, "undecodable", "table: 'seven' is not a number"),
    ]
    assert summary.facts["rows"] == 26
    assert {m: count["absent"] for m, count in summary.facts["outcomes"].items()} == {
        "steps": 0,
        "list": 0,
        "table": 2,
    }


def test_a_protocol_without_training_rows_cannot_be_opened(tmp_path: Path) -> None:
    split = ["valid"] * 5 + ["test"] * 5
    source = jsonl(
        tmp_path / "a.jsonl",
        rows_of(10, x=half, label=lambda i: "ab"[i % 2], split=split.__getitem__),
    )
    prepare(plan_table(source, TableOptions()), tmp_path, tmp_path / "store")
    with pytest.raises(DataError, match="must have training rows, found none among 10"):
        open_store(StoreOptions(store="store", root=str(tmp_path)))


def test_an_infinite_target_is_skipped(tmp_path: Path) -> None:
    source = jsonl(
        tmp_path / "a.jsonl", rows_of(30, x=half, target=lambda i: "inf" if i == 4 else i / 7)
    )
    plan = plan_table(source, TableOptions())
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("00000004", "non-finite")]


def test_rows_are_read_one_by_one_whatever_their_cells_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        '\ufeffid,text\n1,"two\nlines, and a comma"\n\n2,"say ""hi"""\n', encoding="utf-8"
    )
    table = TableFile(path)
    assert (len(table), list(table.columns)) == (2, ["id", "text"])
    assert table[1] == {"id": "2", "text": 'say "hi"'}
    assert table[0]["text"] == "two\nlines, and a comma"
    assert list(table) == table.rows(0, 2) == [table[0], table[1]]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", (), "at least one row"),
        ("a,b\n", (), "at least one row"),
        ("a,a,label\n1,2,x\n", (), "different names"),
        ("a,label\n1\n", (), "2 cells"),
        ("a,b\n1,2\n", (), "a column for its target"),
        ("a,label\n1,x\n2,x\n", (), "at least two classes"),
        ("a,label\n1,\n2,\n", (), "must have values"),
        ("label\nx\ny\nx\n", (), "a column to learn from"),
        ("a,label,split\n1,x,train\n2,y,nowhere\n3,x,train\n", (), "train, valid or test"),
        ("a,label\n1,x\n2,y\n3,x\n", ("task=regression",), "numbers for a regression"),
        ("a,label\n1,x\n2,y\n3,x\n", ("kinds.a=smell",), "a kind"),
        ("a,label\n1,x\n2,y\n3,x\n", ("shade=1",), "shade"),
        ("a,label\n1,x\n2,y\n3,x\n", ("target",), "key=value"),
        (
            "a,label\n1,x\n2,y\n3,x\n",
            ("kinds.a=smell", "shade=1", "siz=9"),
            "siz: no such option (did you mean 'size'?)",
        ),
        (
            "a,person,label\n1,p,x\n2,q,y\n3,q,y\n",
            ("group=persn", "ignore=[A]", "id=z"),
            "id 'z', group 'persn' (did you mean 'person'?), ignore 'A' (did you mean 'a'?)",
        ),
        ("a,p,q\n1,2,3\n2,3,4\n", ("target=[p,p]",), "found 'p' more than once"),
        (
            "a,p,q\n1,2,3\n2,3,4\n",
            ("target=[p,q]", "task=classification"),
            "one target, found p, q",
        ),
        ('a,label\n1,x\n2,1"\n\n3,"y\n', (), "the row that begins in line 5"),
        ("a,label\n1,x\n\n2,y,z\n", (), "line 4 of"),
        ("a,label\r1,x\r2,y\r", (), "carriage returns alone"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, text: str, settings: tuple[str, ...], message: str
) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert message in g2d(
        "data",
        "prepare",
        "table",
        *settings,
        "--source",
        tmp_path / "a.csv",
        "--out",
        tmp_path / "store",
        "--quiet",
        code=2,
    )
    assert not (tmp_path / "store").exists()


def test_missing_files_and_invalid_lines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*none\.csv: no such file"):
        TableFile(tmp_path / "none.csv")
    (tmp_path / "a.jsonl").write_text('{"x": 1}\nnonsense\n')
    with pytest.raises(DataError, match="line 2"):
        list(TableFile(tmp_path / "a.jsonl"))
    (tmp_path / "b.csv").write_bytes("a,label\né,ü\nö,ä\n".encode() + b"\xff,x\n")
    with pytest.raises(DataError, match=r"line 4 of .* must be text in UTF-8.*encoding=cp1252"):
        TableFile(tmp_path / "b.csv")
    (tmp_path / "c.json").write_text('{"x": "\\ud800"}')
    with pytest.raises(DataError, match=r"line 1 of .* \(JSONL has one per line\)"):
        list(TableFile(tmp_path / "c.json"))


def test_delimiters_are_counted_outside_quotes_and_a_cell_may_be_long(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.csv").write_text('"id";"x, mm";label\n1;' + "y" * 200_000 + ";a\n")
    table = TableFile(tmp_path / "a.csv")
    assert list(table.columns) == ["id", "x, mm", "label"]
    assert len(table[0]["x, mm"]) == 200_000


def half(i: int) -> float:
    return i / 2


def ab(i: int) -> str:
    return "ab"[i % 2]


@pytest.mark.parametrize("column", ["x", "note"])
def test_tables_that_differ_in_a_number_or_a_text_have_different_hashes(
    tmp_path: Path, column: str
) -> None:
    for i in range(4):
        np.save(tmp_path / f"{i}.npy", np.arange(3.0))
    rows = rows_of(4, id=str, v=lambda i: f"{i}.npy", x=half, note=lambda i: "no", label=ab)
    hashes = []
    for name in ("one", "same", "another"):
        if name == "another":
            rows[2] |= {column: {"x": 2.5, "note": "on"}[column]}
        plan = plan_table(jsonl(tmp_path / "a.jsonl", rows), TableOptions())
        hashes.append(prepare(plan, tmp_path, tmp_path / name).facts["content_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_usual_names_of_columns_are_found_in_any_case(tmp_path: Path) -> None:
    rows = rows_of(
        12,
        ID=lambda i: f"r{i}",
        Split=lambda i: ["train", "valid", "test"][i % 3],
        GROUP=lambda i: f"p{i % 3}",
        x=half,
        Label=ab,
    )
    plan = plan_table(jsonl(tmp_path / "a.jsonl", rows), TableOptions())
    assert (
        plan.samples[1].id,
        plan.samples[1].group,
        list(plan.protocols),
        list(plan.signals),
    ) == ("r1", "p1", ["a/given"], ["table"])
    assert "rows: names from the column 'ID', groups from the column 'GROUP'" in plan.inferred
    alone = plan_table(tmp_path / "a.jsonl", TableOptions(ignore=("Split", "GROUP")))
    assert (alone.samples[1].group, list(alone.protocols)) == ("r1", ["a/strata-v1"])
    assert any(
        "drawn by row" in line
        for line in plan_table(
            tmp_path / "a.jsonl", TableOptions(ignore=("Split", "GROUP", "ID"))
        ).inferred
    )


def test_unused_rows_and_divided_groups_of_a_given_split_are_reported(tmp_path: Path) -> None:
    split = ["train"] * 8 + ["valid"] * 4 + ["test"] * 4 + [""] * 3
    rows = rows_of(
        19,
        x=half,
        label=ab,
        split=split.__getitem__,
        person=lambda i: f"p{max(i, 6) if i < 9 else i}",
    )
    plan = plan_table(jsonl(tmp_path / "a.jsonl", rows), TableOptions(group="person"))
    assert "split: from the column 'split'; 3 rows where it is empty are unused" in plan.inferred
    assert plan.warnings == ()
    rows[8]["person"] = "p6"
    (warning,) = plan_table(
        jsonl(tmp_path / "a.jsonl", rows), TableOptions(group="person")
    ).warnings
    assert "1 groups (person) are in more than one split" in warning


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": lambda i: "train" if i < 6 else "valid"}, "no rows for test"),
        ({"split": lambda i: "unused"}, "no rows for train, valid, test"),
        (
            {"group": lambda i: "p"},
            "no rows for valid, test; a run needs three splits and three groups, found 1",
        ),
        (
            {"group": ab},
            "no rows for test; a run needs three splits and three groups, found 2",
        ),
        ({"y": lambda i: 1.5}, "the target y is the same on all training rows"),
        (
            {
                "split": lambda i: ("train", "valid", "test")[i % 3],
                "note": lambda i: f"a text of many words {i}" if i % 3 else "",
            },
            "no training row has note",
        ),
    ],
)
def test_data_that_cannot_train_are_reported_at_once(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    columns = {"x": half, "y": lambda i: i / 7} | change
    (warning,) = plan_table(
        jsonl(tmp_path / "a.jsonl", rows_of(10, **columns)), TableOptions()
    ).warnings
    assert message in warning


@pytest.mark.parametrize("groups", [3, 4, 7])
def test_three_groups_are_enough_for_three_splits(tmp_path: Path, groups: int) -> None:
    rows = rows_of(
        10 * groups, x=half, label=lambda i: "ab"[i // 5 % 2], group=lambda i: f"p{i // 10}"
    )
    plan = plan_table(jsonl(tmp_path / "a.jsonl", rows), TableOptions())
    assert set(plan.protocols["a/strata-v1"]) == {0, 1, 2}
    assert plan.warnings == ()


def test_equal_numbers_are_one_class_and_nan_is_an_empty_target(tmp_path: Path) -> None:
    labels = ["1.0", "1", "01", "2", "nan", "2.0", "inf"]
    plan = plan_table(
        jsonl(tmp_path / "a.jsonl", rows_of(7, x=half, label=labels.__getitem__)),
        TableOptions(),
    )
    assert plan.task["classes"] == ["1", "2"]
    assert [sample.target for sample in plan.samples] == [0, 0, 0, 1, 1]
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [
        ("00000004", "no-agreed-label"),
        ("00000006", "non-finite"),
    ]
    words = plan_table(
        jsonl(
            tmp_path / "b.jsonl",
            [
                {"x": i, "label": label}
                for i, label in enumerate(["None", None, "nan", "1", "2", "b", "b"])
            ],
        ),
        TableOptions(),
    )
    assert words.task["classes"] == ["1", "2", "b"]
    assert [skip.id for skip in words.skipped] == ["00000000", "00000001", "00000002"]
    kept = plan_table(tmp_path / "b.jsonl", TableOptions(missing=()))
    assert kept.task["classes"] == ["1", "2", "None", "b", "nan"]
    assert [skip.id for skip in kept.skipped] == ["00000001"]


def test_lists_of_the_usual_length_are_kept_and_a_list_of_one_is_a_number(tmp_path: Path) -> None:
    width = {3: 2, 4: 0}
    columns = {
        "one": lambda i: [i],
        "some": lambda i: [0.5] * width.get(i, 3 if i % 2 else 1),
        "none": lambda i: [],
        "words": lambda i: ["so", str(i)],
    }
    rows = rows_of(20, **columns, label=ab)
    for row in rows[10:]:
        row["some"] = [1, 2, None]
    plan = plan_table(jsonl(tmp_path / "a.jsonl", rows), TableOptions())
    assert {m: signal.shape for m, signal in plan.signals.items()} == {
        "table": (1,),
        "some": (3,),
        "words": (5,),
    }
    assert "ignored empty columns: 'none'" in plan.inferred
    assert plan.decode(tmp_path, plan.samples[11]).values["words"].tobytes() == b"so 11"
    faults = {}
    for sample in plan.samples:
        try:
            assert (
                plan.decode(tmp_path, sample).values["some"] is not None or sample.id == "00000004"
            )
        except UnreadableError as error:
            faults[int(sample.id)] = error.detail
    assert faults == {
        i: f"some: {width.get(i, 1)} numbers, most others have 3" for i in (0, 2, 3, 6, 8)
    }


def test_odd_cells_of_jsonl_cost_their_row_or_are_refused(tmp_path: Path) -> None:
    rows = rows_of(
        30, x=lambda i: 10**400 if i == 4 else i, y=lambda i: 10**400 if i == 5 else i / 7
    )
    plan = plan_table(jsonl(tmp_path / "a.jsonl", rows), TableOptions())
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("00000005", "non-finite")]
    with pytest.raises(UnreadableError, match="none of its numbers is finite"):
        plan.decode(tmp_path, plan.samples[4])
    strict = plan_table(tmp_path / "a.jsonl", TableOptions(invalid="skip"))
    with pytest.raises(UnreadableError, match="too large for float32"):
        strict.decode(tmp_path, strict.samples[4])
    with pytest.raises(DataError, match="one value per row, found lists in 10"):
        plan_table(
            jsonl(tmp_path / "b.jsonl", rows_of(10, x=half, y=lambda i: [i, i])), TableOptions()
        )


def test_long_codes_and_large_numbers_keep_their_differences_here_and_in_new_tables(
    tmp_path: Path,
) -> None:
    rows = rows_of(
        40,
        id=str,
        code=lambda i: str(10**24 + i),
        time=lambda i: 1_700_000_000 + 7 * i,
        size=lambda i: i / 7,
        note=lambda i: "a note of ten words, all of which are kept" if i < 3 else "a",
        label=ab,
    )
    kinds = {"code": "text", "note": "text"}
    plan = plan_table(jsonl(tmp_path / "a.jsonl", rows), TableOptions(kinds=kinds))
    assert any("time is stored relative to 1700000000" in line for line in plan.inferred)
    prepare(plan, tmp_path, tmp_path / "store")
    source = open_any(StoreOptions(store="store", root=str(tmp_path)))
    assert len({row.tobytes() for row in source.arrays["code"][:]}) == 40
    assert source.arrays["table"][:][:, 0].tolist() == list(range(0, 280, 7))
    new = [rows[7] | {"note": "it is long, and still read to its end"}, {"time": 1_700_000_049}]
    ids, batch = source.read_rows(jsonl(tmp_path / "new.jsonl", new))
    assert ids == ["7", "2"]
    scaled, note = batch.inputs["table"], batch.inputs["note"]
    assert isinstance(scaled, torch.Tensor)
    assert isinstance(note, TokenSequence)
    assert scaled[0, 0] == scaled[1, 0] != 0
    assert note.mask.sum(1)[0] == 10
    for cell in ("inf", 1e39, 10**400):
        with pytest.raises(DataError, match=r"row 1 of .*: table is absent: none"):
            source.read_rows(jsonl(tmp_path / "new.jsonl", [{"size": cell}]))


def test_silent_sound_is_skipped_but_not_channels_that_cancel(tmp_path: Path) -> None:
    sound = tone(0.2, 8000, 300)
    silent = {3: 0 * sound, 4: np.stack([sound, -sound], 1)}
    for i in range(30):
        write_wav(tmp_path / f"{i}.wav", silent.get(i, sound), 8000)
    plan = plan_table(
        jsonl(tmp_path / "a.jsonl", rows_of(30, s=lambda i: f"{i}.wav", label=ab)),
        TableOptions(rate=8000),
    )
    skipped = prepare(plan, tmp_path, tmp_path / "store").facts["skipped"]
    assert [(int(skip["id"]), skip["reason"]) for skip in skipped] == [(3, "no-audio")]


def test_an_array_of_another_shape_or_with_a_damaged_header_costs_its_row(tmp_path: Path) -> None:
    for i in range(30):
        np.save(tmp_path / f"{i}.npy", np.full((2, 6) if i == 3 else 6, 1e300 if i == 5 else i))
    whole = (tmp_path / "4.npy").read_bytes()
    (tmp_path / "4.npy").write_bytes(whole.replace(b"'shape'", b"(shape'"))
    plan = plan_table(
        jsonl(tmp_path / "a.jsonl", rows_of(30, v=lambda i: f"{i}.npy", label=ab)),
        TableOptions(),
    )
    skipped = prepare(plan, tmp_path, tmp_path / "store", allow_partial=True).facts["skipped"]
    assert [(int(skip["id"]), skip["detail"]) for skip in skipped] == [
        (3, "v: its shape is (2, 6), most others have (6,)"),
        (4, "v: it is not a complete .npy file of plain numbers"),
        (5, "v is absent: none of its numbers is finite"),
    ]


def test_defaults_are_listed_as_they_are() -> None:
    assert "kinds={}" in g2d("data", "list", "table")


def test_all_differing_options_of_a_store_are_reported_together(tmp_path: Path) -> None:
    prepare(
        plan_table(jsonl(tmp_path / "a.jsonl", rows_of(10, x=half, label=ab)), TableOptions()),
        tmp_path,
        tmp_path / "store",
    )
    options = PreparedOptions(
        store="store", root=str(tmp_path), prepare={"size": 9, "frames": 8, "rate": 8000}
    )
    with pytest.raises(
        DataError, match="prepared with size=9, rate=8000, found size=128, rate=16000"
    ):
        open_prepared(options)


def test_arrays_of_new_rows_hold_numbers_as_they_are_however_they_are_stored(
    tmp_path: Path,
) -> None:
    rows = rows_of(
        40, time=lambda i: 1_700_000_000 + 7 * i, size=lambda i: i / 7, label=lambda i: "ab"[i % 2]
    )
    prepare(
        plan_table(jsonl(tmp_path / "a.jsonl", rows), TableOptions()),
        tmp_path,
        tmp_path / "store",
    )
    source = open_store(StoreOptions(store="store", root=str(tmp_path)))
    source.write_rows(tmp_path / "rows.npz", np.array([3, 8]))
    with np.load(tmp_path / "rows.npz") as file:
        assert file["table"][:, 0].tolist() == [1_700_000_021, 1_700_000_056]
    seen = source.view(source.gather(np.array([3, 8])), seed=0, epoch=0, train=False)
    again = source.read_rows(tmp_path / "rows.npz")[1]
    assert torch.equal(again.inputs["table"], seen.inputs["table"])


def test_a_table_of_several_labels_becomes_a_run_with_predictions_and_a_page(
    tmp_path: Path,
) -> None:
    words = {"happy": "smile", "sad": "tear", "anger": "shout"}
    rows = [
        {
            "text": " ".join(words[n] for n in labels) or "nothing",
            "size": len(labels) + 0.1 * i,
            "label": labels,
        }
        for i, labels in enumerate([["happy"], ["sad", "anger"], [], ["happy", "sad"]] * 15)
    ]
    source = jsonl(tmp_path / "t.jsonl", rows)
    printed = g2d("data", "prepare", "table", "--source", source, "--out", tmp_path / "store")
    assert "several labels per row" in printed
    g2d(
        *("train", tmp_path / "store" / "recipe.yaml", "epochs=2", "method=g2d"),
        *(
            "teachers.epochs=2",
            "train.calibrate=true",
            "controls=true",
            "--out",
            tmp_path / "run",
            "--quiet",
        ),
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    fused = result["test"]["fused"]
    assert {"micro_f1", "macro_f1", "mean_average_precision", "subset_accuracy"} <= fused.keys()
    assert all(0 <= fused[name] <= 1 for name in ("micro_f1", "confidence", "subset_accuracy"))
    assert "ensemble_calibrated" in result["controls"]
    assert "chance" in g2d("diagnose", tmp_path / "run")
    g2d("report", tmp_path / "run")
    page = next(tmp_path.glob("run/**/report.html")).read_text()
    assert "micro_f1" in page
    assert "subset accuracy" in page
    g2d("predict", tmp_path / "run", "--source", source, "--out", tmp_path / "answers.csv")
    with (tmp_path / "answers.csv").open() as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == 60
    for row in answers:
        likely = [n for n in ("anger", "happy", "sad") if float(row[f"probability[{n}]"]) > 0.5]
        assert row["prediction"] == ("|".join(likely) or "[]")
