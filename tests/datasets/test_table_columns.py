"""What the columns of a table become, decided by their cells."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from g2d.data.store.opening import StoreOptions
from g2d.datasets.table.opening import open_any
from g2d.datasets.table.reader import TableOptions, plan_table
from g2d.errors import DataError
from g2d.prepare import Plan, prepare
from support.media_files import tone, write_wav

Cell = Callable[[int], Any]
draw = random.Random(0)
NOISE = [draw.uniform(50, 90) for _ in range(500)]


def table(
    path: Path, rows: int, delimiter: str = ",", encoding: str = "utf-8", **columns: Cell
) -> Path:
    """Write a CSV file with a column of numbers and a label besides the given columns."""
    columns = {"x": lambda i: f"{NOISE[i % 500]:.4f}", "label": lambda i: "ab"[i % 2]} | columns
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(columns)
    writer.writerows([cell(i) for cell in columns.values()] for i in range(rows))
    path.write_bytes(file.getvalue().encode(encoding))
    return path


def planned(path: Path, **options: Any) -> Plan:
    return plan_table(path, TableOptions(**options))


def lines_of(plan: Plan, column: str) -> list[str]:
    return [line for line in plan.inferred if line.startswith(f"column {column!r}")]


def word(*words: str) -> Cell:
    return lambda i: words[i % len(words)]


@pytest.mark.parametrize(
    ("cell", "rows", "kind"),
    [
        (word("Beagle", "Poodle", "Golden Retriever"), 60, "category"),
        (word("TRUE", "FALSE"), 60, "category"),
        (word("Yes", "No", "NA"), 60, "category"),
        (word("N/S", "E/W"), 60, "category"),
        (word("constant"), 60, "category"),
        (lambda i: f"kind {i % 10}", 60, "category"),
        (lambda i: f"kind {i % 12}", 60, "text"),  # a share of 0.2
        (lambda i: f"kind {i % 50}", 300, "category"),
        (lambda i: f"kind {i % 51}", 300, "text"),
        (lambda i: f"kind {i % 10}", 49, "category"),
        (lambda i: f"kind {i % 11}", 49, "text"),
        (word("one two three four five", "six"), 60, "text"),
        (lambda i: f"a note about the row {i}", 60, "text"),
        (word("3", "4", "5"), 60, "number"),
        (lambda i: f"{NOISE[i]:.3e}", 60, "number"),
        (lambda i: i, 21, "row numbers"),
        (lambda i: 7 + i, 60, "row numbers"),
        (lambda i: f"{i}.0", 60, "row numbers"),
        (lambda i: i, 20, "number"),
        (lambda i: 2 * i, 60, "number"),
        (lambda i: i if i != 30 else 99, 60, "number"),
        (lambda i: f"2024-01-{1 + i % 28:02d}", 60, "dates"),
        (lambda i: f"{1 + i % 28}.12.2020 08:{i % 60:02d}", 60, "dates"),
        (lambda i: f"{1 + i % 12}/{1 + i % 28}/21", 60, "dates"),
        (lambda i: f"2024-01-01T00:{i % 60:02d}:00.5Z", 60, "dates"),
        (lambda i: f"{1 + i % 28} March 2021", 60, "dates"),
        (lambda i: f"Mar {1 + i % 28}, 2021", 60, "dates"),
        (lambda i: f"{i % 24}:{i % 60:02d} pm", 60, "dates"),
        (lambda i: f"2021-{1 + i % 12:02d}", 60, "dates"),
        (lambda i: f"Mon, {1 + i % 28} Jan 2021", 60, "dates"),
        (lambda i: f"anna{i}@example.com", 60, "text"),
        (lambda i: f"A/5 {i * 7919}", 60, "text"),
        (lambda i: f"k1_{i}", 60, "text"),
    ],
)
def test_the_kind_of_a_column_follows_from_its_cells(
    tmp_path: Path, cell: Cell, rows: int, kind: str
) -> None:
    plan = planned(table(tmp_path / "a.csv", rows, c=cell))
    (line,) = lines_of(plan, "c")
    assert line.startswith(f"column 'c': {kind}")
    choices = line.partition("kinds.c=")[2].split("|")
    assert {*choices} == {"number", "category", "text", "date", "leave-out"} - {kind.rstrip("s")}
    signals = {m: list(signal.facts.get("columns", ())) for m, signal in plan.signals.items()}
    in_table = ["x"] if kind in ("row numbers", "dates", "text") else None
    if in_table:
        assert signals == {"table": in_table} | ({"c": []} if kind == "text" else {})
    else:
        assert list(signals) == ["table"]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "Index", "Unnamed: 0.1"])
def test_row_numbers_under_an_index_name_are_left_out_in_any_order(
    tmp_path: Path, name: str
) -> None:
    shuffled = [*range(100, 130)]
    random.Random(1).shuffle(shuffled)
    source = table(
        tmp_path / "a.csv", 30, **{name: shuffled.__getitem__, "n": shuffled.__getitem__}
    )
    plan = planned(source)
    assert plan.signals["table"].facts["columns"] == ["x", "n"]
    assert "row numbers, left out" in lines_of(plan, name)[0]
    kept = planned(source, kinds={name: "number"})
    assert kept.signals["table"].facts["columns"] == ["x", name, "n"]


def test_a_counter_that_is_target_group_or_id_keeps_its_role(tmp_path: Path) -> None:
    rows = {"id": lambda i: i, "y": lambda i: i, "group": lambda i: i}
    plan = planned(table(tmp_path / "a.csv", 30, **rows), target="y", ignore=("label",))
    assert (plan.task["kind"], plan.samples[3].target, plan.samples[3].group) == (
        "regression",
        3.0,
        "3",
    )
    assert not any("row numbers" in line for line in plan.inferred)


def test_every_kind_can_be_overridden(tmp_path: Path) -> None:
    source = table(
        tmp_path / "a.csv", 60, zip=lambda i: 100 + i % 3, day=lambda i: f"2024-01-{1 + i % 3:02d}"
    )
    signals = planned(source, kinds={"zip": "category", "day": "category"}).signals
    assert signals["table"].shape == (7,)
    assert signals["table"].facts["categories"]["zip"] == ["100", "101", "102"]
    assert planned(source, kinds={"day": "text"}).signals["day"].kind == "text"
    assert planned(source, kinds={"zip": "leave-out"}).signals["table"].shape == (1,)
    with pytest.raises(DataError, match=r"number, category, date, leave-out\), found zip: smell"):
        planned(source, kinds={"zip": "smell"})
    many = table(tmp_path / "b.csv", 1200, c=str)
    with pytest.raises(DataError, match="at most 1000 values, found 1200 in 'c'"):
        planned(many, kinds={"c": "category"})


def test_categories_become_zeros_and_ones_and_unknown_ones_are_none_of_them(
    tmp_path: Path,
) -> None:
    split = {"split": lambda i: ("train", "train", "valid", "test")[i % 4]}
    breeds = {59: "Corgi", 7: "Corgi", 8: "NA"}
    columns = {"breed": lambda i: breeds.get(i, "Beagle" if i % 3 else "Poodle")}
    source = table(tmp_path / "a.csv", 60, **columns, **split)
    plan = planned(source)
    assert plan.signals["table"].facts["columns"] == ["x", "breed=Beagle", "breed=Poodle"]
    assert plan.warnings == (
        "breed: no training row has Corgi; rows with it have none of the categories",
    )
    prepare(plan, tmp_path, tmp_path / "store")
    source_rows = open_any(StoreOptions(store="store", root=str(tmp_path)))
    values = source_rows.arrays["table"][:]
    assert values[[0, 1, 7, 8, 59], 1:].tolist() == [[0, 1], [1, 0], [0, 0], [0, 0], [0, 0]]
    new = tmp_path / "new.csv"
    new.write_text("x,breed\n60,Poodle\n61,Corgi\n62,\n?,Beagle\n")
    _, batch = source_rows.read_rows(new)
    assert source_rows.remarks == [
        "breed: 'Corgi' is in no training row; rows with it have none of the categories"
    ]
    seen = batch.inputs["table"]
    assert isinstance(seen, torch.Tensor)
    assert torch.equal(seen[1, 1:], seen[2, 1:])
    assert not torch.equal(seen[0, 1:], seen[1, 1:])
    assert seen[3, 0] == 0


def test_training_starts_on_a_table_of_categories_alone(tmp_path: Path) -> None:
    rows = [{"c": "uv"[i % 2], "label": "ab"[i % 2]} for i in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = planned(tmp_path / "a.jsonl")
    assert prepare(plan, tmp_path, tmp_path / "store").facts["modalities"]["table"]["shape"] == [2]


STYLES = [
    # numbers as written, delimiter, options, decimal sign, expected
    (("72,5", "1,25", "3"), ";", {}, ",", (72.5, 1.25, 3)),
    (("1.234,5", "12.000,25", "7"), ";", {}, ",", (1234.5, 12000.25, 7)),
    (("1,234.5", "12,000.25", "7"), ",", {}, ".", (1234.5, 12000.25, 7)),
    (("1,234", "12,500", "987"), ",", {}, ".", (1234, 12500, 987)),
    (("1,234", "2,500", "987"), ";", {}, ",", (1.234, 2.5, 987)),
    (("1.234", "2.500", "9"), ";", {}, ".", (1.234, 2.5, 9)),
    (("1 234,5", "12\u00a0000,5", "7"), "\t", {}, ",", (1234.5, 12000.5, 7)),
    (("1'234.5", "12'000.5", "7"), ",", {}, ".", (1234.5, 12000.5, 7)),
    (("1,5E+03", "2,25e-1", "−7"), ";", {}, ",", (1500, 0.225, -7)),
    (("1.234", "2.500", "9"), ";", {"decimal": "comma"}, ",", (1234, 2500, 9)),
    (("1,234", "2,500", "9"), ";", {"decimal": "."}, ".", (1234, 2500, 9)),
]


@pytest.mark.parametrize(("cells", "delimiter", "options", "sign", "values"), STYLES)
def test_the_way_of_writing_numbers_is_decided_for_the_whole_file(
    tmp_path: Path,
    cells: Sequence[str],
    delimiter: str,
    options: Mapping[str, Any],
    sign: str,
    values: Sequence[float],
) -> None:
    source = table(
        tmp_path / "a.csv",
        30,
        delimiter,
        x=lambda i: cells[i % 3],
        label=word("a", "b"),
    )
    plan = planned(source, **options)
    assert plan.report["spelling"]["decimal"] == sign
    stored = [plan.decode(tmp_path, plan.samples[i]).values["table"] for i in range(3)]
    assert [float(value[0]) for value in stored if value is not None] == pytest.approx(values)
    rewritten = sign == "," or not {",", "'"}.isdisjoint(cells[0])
    assert any("numbers: decimal" in line for line in plan.inferred) == rewritten


def test_new_rows_are_read_with_the_decimal_sign_of_the_store(tmp_path: Path) -> None:
    source = table(tmp_path / "a.csv", 30, ";", x=lambda i: f"{NOISE[i]:.3f}".replace(".", ","))
    prepare(planned(source), tmp_path, tmp_path / "store")
    opened = open_any(StoreOptions(store="store", root=str(tmp_path)))
    seen = []
    for name, text in [
        ("a.csv", "x;z\n60,125;1"),
        ("b.csv", "x\n60.1250"),
        ("c.jsonl", '{"x": 60.125}'),
    ]:
        (tmp_path / name).write_text(text)
        seen.append(float(opened.read_rows(tmp_path / name)[1].inputs["table"][0, 0]))
    assert seen[0] == seen[1] == seen[2] != 0


def test_a_column_written_in_the_other_way_is_refused_by_name(tmp_path: Path) -> None:
    source = table(tmp_path / "a.csv", 60, ";", price=lambda i: f"{NOISE[i]:.2f}".replace(".", ","))
    with pytest.raises(
        DataError, match="'x' must write its numbers with the decimal comma"
    ) as error:
        planned(
            table(
                tmp_path / "a.csv",
                60,
                ";",
                **{
                    name: (lambda i: f"{NOISE[i]:.2f}".replace(".", ","))
                    for name in ("price", "size")
                },
            )
        )
    assert "kinds.x=text|leave-out" in str(error.value)
    assert source.exists()


@pytest.mark.parametrize("form", ["{:.2f}%", "${:.2f}", "€ {:.1f}", "{:.1f} kg", "{:.1f}km/h"])
def test_numbers_with_a_unit_are_refused_by_name(tmp_path: Path, form: str) -> None:
    source = table(tmp_path / "a.csv", 60, size=lambda i: form.format(NOISE[i]))
    with pytest.raises(DataError, match="'size' must hold numbers without a unit") as error:
        planned(source)
    assert "kinds.size=text|leave-out" in str(error.value)
    few = table(tmp_path / "b.csv", 60, size=word("500ml", "750ml", "1l"))
    assert planned(few).signals["table"].shape == (4,)


@pytest.mark.parametrize("form", ["[{0}, {1}]", "{0},{1}", "{0};{1}", "{0}/{1}", "({0} {1})"])
def test_several_numbers_in_a_cell_are_refused_by_name(tmp_path: Path, form: str) -> None:
    cells = [form.format(round(NOISE[i], 1), i) for i in range(60)]
    with pytest.raises(DataError, match=r"'pair' must .*kinds\.pair=text\|leave-out"):
        planned(table(tmp_path / "a.csv", 60, pair=cells.__getitem__))


def test_labels_follow_the_rules_of_cells(tmp_path: Path) -> None:
    measured = table(
        tmp_path / "a.csv", 60, ";", x=half, label=lambda i: f"{i / 7:.2f}".replace(".", ",")
    )
    plan = planned(measured)
    assert (plan.task["kind"], plan.samples[7].target) == ("regression", 1.0)
    classes = table(tmp_path / "b.csv", 60, ";", x=half, label=word("1,0", "2,0", "n/a", "1"))
    plan = planned(classes)
    assert plan.task["classes"] == ["1", "2.0"]
    assert len(plan.skipped) == 15
    assert any("target label (n/a 15); to keep them: missing=[]" in line for line in plan.inferred)
    names = table(tmp_path / "c.csv", 60, label=lambda i: f"name {i}")
    with pytest.raises(DataError, match="fewer classes than rows, found 60 classes in 60 rows"):
        planned(names)
    with pytest.raises(DataError, match="task=regression"):
        planned(names, task="classification")


def half(i: int) -> str:
    return f"{i / 2 + 0.25:.2f}".replace(".", ",")


@pytest.mark.parametrize("token", ["", " ", "NA", "n/a", "NULL", "?", "-", "None", "NaN", "#N/A"])
def test_cells_that_mean_nothing_are_empty_in_numbers_categories_and_texts(
    tmp_path: Path, token: str
) -> None:
    columns = {
        "age": lambda i: token if i == 3 else 5 * i % 17,
        "sex": lambda i: token if i == 3 else "mf"[i % 2],
        "note": lambda i: token if i == 3 else f"a note of row {i}",
    }
    plan = planned(table(tmp_path / "a.csv", 60, **columns))
    values = plan.decode(tmp_path, plan.samples[3]).values
    assert values["note"] is None
    assert values["table"] is not None
    assert np.isnan(values["table"]).tolist() == [False, True, False, False]
    assert values["table"][2:].tolist() == [0, 0]


def test_missing_adds_cells_that_mean_nothing_and_an_empty_list_leaves_blanks_only(
    tmp_path: Path,
) -> None:
    columns = {
        "age": lambda i: {3: -999, 4: "-999.0", 5: "NA"}.get(i, 5 * i % 17),
        "country": word("DE", "NA", "unknown"),
    }
    source = table(tmp_path / "a.csv", 60, **columns)
    plan = planned(source, missing=(-999, "unknown"))
    assert plan.signals["table"].facts["categories"] == {"country": ["DE"]}
    for row in (3, 4, 5):
        assert np.isnan(plan.decode(tmp_path, plan.samples[row]).values["table"][1])
    plan = planned(source, missing=())
    assert plan.signals["table"].facts["categories"] == {"country": ["DE", "NA", "unknown"]}
    assert plan.decode(tmp_path, plan.samples[3]).values["table"][1] == -999


@pytest.mark.parametrize("suffix", ["pt", "h5", "txt", "heic", "parquet", "7z"])
def test_files_of_unknown_kinds_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "f").mkdir()
    for i in range(30):
        (tmp_path / f"f/{i}.{suffix}").write_bytes(b"\x80something else")
    source = table(tmp_path / "a.csv", 30, heard=lambda i: f"f/{i}.{suffix}")
    with pytest.raises(
        DataError, match=rf"'heard' must name files .*\.wav.*\(\.{suffix}\)"
    ) as error:
        planned(source)
    assert "give kinds.heard=text|leave-out" in str(error.value)
    assert list(planned(source, kinds={"heard": "leave-out"}).signals) == ["table"]


def test_files_are_recognized_by_their_first_bytes(tmp_path: Path) -> None:
    for i in range(30):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.png").rename(tmp_path / f"{i}.dat")
        write_wav(tmp_path / f"{i}.wav", tone(0.1, 8000, 300), 8000)
        (tmp_path / f"{i}.wav").rename(tmp_path / f"sound-{i}")
        np.save(tmp_path / f"{i}.npy", np.arange(3.0))
        (tmp_path / f"{i}.npy").rename(tmp_path / f"{i}.vec")
    names = {"p": lambda i: f"{i}.dat", "s": lambda i: f"sound-{i}", "v": lambda i: f"{i}.vec"}
    plan = planned(table(tmp_path / "a.csv", 30, **names), size=8)
    assert {m: signal.kind for m, signal in plan.signals.items()} == {
        "table": "table",
        "p": "image",
        "s": "audio",
        "v": "table",
    }


def test_names_without_their_suffix_are_refused_with_a_file_that_exists(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for i in range(30):
        (tmp_path / f"images/i{i}x.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(
        DataError, match=r"'image_id' must .* in full, found 'i0x', where images/i\d+x\.jpg"
    ):
        planned(table(tmp_path / "a.csv", 30, image_id=lambda i: f"i{i}x"))


def test_paths_with_backslashes_lead_to_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for i in range(30):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"p/{i}.png")
    plan = planned(table(tmp_path / "a.csv", 30, photo=lambda i: rf"p\{i}.png"), size=8)
    assert plan.samples[4].files == ("p/4.png",)
    assert "paths: backslashes are read as slashes in photo" in plan.inferred
    assert prepare(plan, tmp_path, tmp_path / "store").facts["rows"] == 30


def test_constant_columns_rare_classes_and_leakage_are_reported_when_preparing(
    tmp_path: Path,
) -> None:
    label = {"label": lambda i: "rare" if i % 100 == 50 else "ab"[i % 2]}
    columns = {
        "site": word("here"),
        "code": lambda i: {"rare": 9, "a": 1, "b": 2}[label["label"](i)],
        "double": lambda i: "uv"[i % 2],
        "x": lambda i: f"{NOISE[i % 90]:.4f}",
    }
    plan = planned(table(tmp_path / "a.csv", 400, **columns, **label))
    facts = prepare(plan, tmp_path, tmp_path / "store").facts
    warnings = "\n".join(facts["warnings"])
    assert "site is 'here' on all rows" in warnings
    assert "the target label follows from code on all rows" in warnings
    assert "give kinds.code=leave-out" in warnings
    assert "follows from double" not in warnings
    assert "train has few rows of rare" in warnings
    assert "rows for validation or testing have the same content as a training row" in warnings
